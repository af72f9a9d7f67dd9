package iam

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// OIDCProvider is an OpenID Connect provider whose tokens an account trusts:
// sts:AssumeRoleWithWebIdentity believes an issuer only if the role's account
// has its provider.
type OIDCProvider struct {
	Account     string       `cbor:"1,keyasint"`
	URL         string       `cbor:"2,keyasint"` // of the issuer, without "https://"; has case
	Created     table.Millis `cbor:"3,keyasint"`
	ClientIDs   []string     `cbor:"4,keyasint,omitempty"` // accepted audiences
	Thumbprints []string     `cbor:"5,keyasint,omitempty"` // SHA-1 of certificates, lower-case hex; none: the public authorities are trusted
	Tags        []policy.Tag `cbor:"6,keyasint,omitempty"`
}

// OIDCProviders holds them by account and URL.
var OIDCProviders = table.Collection[OIDCProvider]{
	Name:  "iam.oidc",
	Key:   func(p *OIDCProvider) table.Key { return table.K(p.Account, p.URL) },
	Clone: (*OIDCProvider).clone,
}

func (p *OIDCProvider) clone() *OIDCProvider {
	c := *p
	c.ClientIDs, c.Thumbprints, c.Tags = slices.Clone(p.ClientIDs), slices.Clone(p.Thumbprints), slices.Clone(p.Tags)
	return &c
}

// ARN is the provider's ARN in a partition: the Federated principal of trust policies.
func (p *OIDCProvider) ARN(partition string) string {
	return arnOf(partition, p.Account, "oidc-provider", "/", p.URL)
}

// Issuer is the "iss" claim of the provider's tokens.
func (p *OIDCProvider) Issuer() string { return issuerScheme + p.URL }

const issuerScheme = "https://"

// FindOIDCProvider finds an account's provider by the "iss" claim of a token;
// table.ErrNotFound if it has none. The record is shared: not to be changed.
func FindOIDCProvider(tx *table.Tx, account, issuer string) (*OIDCProvider, error) {
	u, ok := strings.CutPrefix(issuer, issuerScheme)
	if !ok {
		return nil, table.ErrNotFound
	}
	return OIDCProviders.Get(tx, table.K(account, u))
}

// The quotas of "IAM and AWS STS quotas" and of CreateOpenIDConnectProvider.
const (
	maxOIDCProviders = 100
	maxClientIDs     = 100 // of a provider
	maxThumbprints   = 5   // of a provider
	maxClientID      = 255 // characters
)

func (s *Service) oidcProviderOperations() []api.Bound {
	return []api.Bound{
		api.Bind(iamapi.CreateOpenIDConnectProvider, resolveCreateOIDCProvider, createOIDCProvider),
		api.Bind(iamapi.GetOpenIDConnectProvider, onProvider(&oidcKind, func(in *iamapi.GetOpenIDConnectProviderInput) *string { return in.OpenIDConnectProviderArn }), getOIDCProvider),
		api.Bind(iamapi.ListOpenIDConnectProviders, onNothing[iamapi.ListOpenIDConnectProvidersInput], listOIDCProviders),
		api.Bind(iamapi.DeleteOpenIDConnectProvider, onProvider(&oidcKind, func(in *iamapi.DeleteOpenIDConnectProviderInput) *string { return in.OpenIDConnectProviderArn }), deleteOIDCProvider),
		api.Bind(iamapi.AddClientIDToOpenIDConnectProvider, onProvider(&oidcKind, func(in *iamapi.AddClientIDToOpenIDConnectProviderInput) *string { return in.OpenIDConnectProviderArn }), addClientID),
		api.Bind(iamapi.RemoveClientIDFromOpenIDConnectProvider, onProvider(&oidcKind, func(in *iamapi.RemoveClientIDFromOpenIDConnectProviderInput) *string {
			return in.OpenIDConnectProviderArn
		}), removeClientID),
		api.Bind(iamapi.UpdateOpenIDConnectProviderThumbprint, onProvider(&oidcKind, func(in *iamapi.UpdateOpenIDConnectProviderThumbprintInput) *string {
			return in.OpenIDConnectProviderArn
		}), updateThumbprint),
		api.Bind(iamapi.TagOpenIDConnectProvider, resolveTagOIDCProvider, tagOIDCProvider),
		api.Bind(iamapi.UntagOpenIDConnectProvider, resolveUntagOIDCProvider, untagOIDCProvider),
		api.Bind(iamapi.ListOpenIDConnectProviderTags, onProvider(&oidcKind, func(in *iamapi.ListOpenIDConnectProviderTagsInput) *string { return in.OpenIDConnectProviderArn }), listOIDCProviderTags),
	}
}

type oidcTarget = providerTarget[OIDCProvider] // its name is the URL

var oidcKind = providerKind[OIDCProvider]{
	resource: "oidc-provider", absent: "OpenIDConnect Provider not found for arn ",
	rows: &OIDCProviders, tags: func(p *OIDCProvider) []policy.Tag { return p.Tags },
}

// parseProviderURL checks the URL of a provider and returns it without scheme:
// https, a host, perhaps a path ("Obtain the thumbprint", CreateOpenIDConnectProvider). AWS
// advises against a port; on one's own machines providers have one.
func parseProviderURL(text string) (string, error) {
	invalid := iamapi.InvalidInputException("Invalid Open ID Connect Provider URL")
	rest, ok := strings.CutPrefix(text, issuerScheme)
	if !ok {
		return "", invalid
	}
	// The URL becomes part of an ARN and of condition keys: what could be read
	// differently there than by a client has no place in it.
	for i := range len(rest) {
		if c := rest[i]; c <= ' ' || c >= 0x7F || strings.IndexByte(`"'<>\^{|}*?#@%$,`+"`", c) >= 0 {
			return "", invalid
		}
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.String() != text || !validHost(u.Hostname()) {
		return "", invalid
	}
	return rest, nil
}

// validHost reports whether s is a host name or an address.
func validHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(fold(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// parseThumbprints checks thumbprints: SHA-1 digests in hexadecimal.
func parseThumbprints(list []string) ([]string, error) {
	if len(list) > maxThumbprints {
		return nil, iamapi.InvalidInputException("Thumbprint list must contain fewer than 5 entries.")
	}
	var out []string
	for _, t := range list {
		if b, err := hex.DecodeString(t); err != nil || len(b) != 20 {
			return nil, iamapi.InvalidInputException("Invalid thumbprint")
		}
		if t = strings.ToLower(t); !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out, nil
}

func resolveCreateOIDCProvider(r *api.Request, in *iamapi.CreateOpenIDConnectProviderInput) (*OIDCProvider, api.Access, error) {
	url, err := parseProviderURL(*in.Url)
	if err != nil {
		return nil, api.Access{}, err
	}
	p := &OIDCProvider{Account: r.Account, URL: url, Created: table.At(r.Time)}
	e := entity{r: r, kind: "oidc-provider", path: "/", name: url}
	a := e.access()
	a.RequestTags = requestTags(in.Tags)
	return p, alsoTagging(a, "iam:TagOpenIDConnectProvider"), nil
}

// alsoTagging adds what making something with tags needs besides: the permission to tag
// ("Tagging IAM resources").
func alsoTagging(a api.Access, action string) api.Access {
	if len(a.RequestTags) > 0 {
		tag := a
		tag.Action = action
		a.Also = []api.Access{tag}
	}
	return a
}

func createOIDCProvider(r *api.Request, in *iamapi.CreateOpenIDConnectProviderInput, p *OIDCProvider) (_ *iamapi.CreateOpenIDConnectProviderOutput, err error) {
	if p.Thumbprints, err = parseThumbprints(in.ThumbprintList); err != nil {
		return nil, err
	}
	if p.Tags, err = mergeTags(nil, in.Tags); err != nil {
		return nil, err
	}
	for _, id := range in.ClientIDList {
		if err := p.addClientID(id); err != nil {
			return nil, err
		}
	}
	if _, err := OIDCProviders.Get(r.Tx, OIDCProviders.Key(p)); err == nil {
		return nil, iamapi.EntityAlreadyExistsException("Provider with url " + p.Issuer() + " already exists.")
	} else if !errors.Is(err, table.ErrNotFound) {
		return nil, err
	}
	n := 0
	for _, err := range OIDCProviders.Scan(r.Tx, table.Range{Prefix: table.K(r.Account)}) {
		if err != nil {
			return nil, err
		}
		n++
	}
	if n >= maxOIDCProviders {
		return nil, iamapi.LimitExceededException("Cannot exceed quota for OpenIdConnectProvidersPerAccount: 100")
	}
	if err := OIDCProviders.Insert(r.Tx, p); err != nil {
		return nil, err
	}
	return &iamapi.CreateOpenIDConnectProviderOutput{OpenIDConnectProviderArn: new(p.ARN(r.Partition())), Tags: shownTags(p.Tags)}, nil
}

// addClientID adds an audience; one that is there stays.
func (p *OIDCProvider) addClientID(id string) error {
	switch {
	case slices.Contains(p.ClientIDs, id):
		return nil
	case id == "" || len(id) > maxClientID:
		return iamapi.InvalidInputException("Invalid client ID")
	case len(p.ClientIDs) >= maxClientIDs:
		return iamapi.LimitExceededException("Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100")
	}
	p.ClientIDs = append(p.ClientIDs, id)
	return nil
}

func getOIDCProvider(r *api.Request, _ *iamapi.GetOpenIDConnectProviderInput, t oidcTarget) (*iamapi.GetOpenIDConnectProviderOutput, error) {
	p, err := t.found()
	if err != nil {
		return nil, err
	}
	return &iamapi.GetOpenIDConnectProviderOutput{
		Url: &p.URL, ClientIDList: append([]string{}, p.ClientIDs...), ThumbprintList: append([]string{}, p.Thumbprints...),
		CreateDate: p.Created.Ptr(), Tags: shownTags(p.Tags),
	}, nil
}

func listOIDCProviders(r *api.Request, _ *iamapi.ListOpenIDConnectProvidersInput, _ struct{}) (*iamapi.ListOpenIDConnectProvidersOutput, error) {
	out := &iamapi.ListOpenIDConnectProvidersOutput{OpenIDConnectProviderList: []iamapi.OpenIDConnectProviderListEntry{}}
	for e, err := range OIDCProviders.Scan(r.Tx, table.Range{Prefix: table.K(r.Account)}) {
		if err != nil {
			return nil, err
		}
		out.OpenIDConnectProviderList = append(out.OpenIDConnectProviderList, iamapi.OpenIDConnectProviderListEntry{Arn: new(e.Value.ARN(r.Partition()))})
	}
	return out, nil
}

// deleteOIDCProvider: "This operation is idempotent; it does not fail or return an
// error if you call the operation for a provider that does not exist."
func deleteOIDCProvider(r *api.Request, _ *iamapi.DeleteOpenIDConnectProviderInput, t oidcTarget) (*iamapi.DeleteOpenIDConnectProviderOutput, error) {
	out := &iamapi.DeleteOpenIDConnectProviderOutput{}
	if t.provider == nil { // or one of another partition: not what was authorized
		return out, nil
	}
	return out, OIDCProviders.Delete(r.Tx, table.K(t.account, t.name))
}

func addClientID(r *api.Request, in *iamapi.AddClientIDToOpenIDConnectProviderInput, t oidcTarget) (*iamapi.AddClientIDToOpenIDConnectProviderOutput, error) {
	return &iamapi.AddClientIDToOpenIDConnectProviderOutput{}, t.change(r, func(p *OIDCProvider) error { return p.addClientID(*in.ClientID) })
}

// removeClientID: removing what is not there is no error.
func removeClientID(r *api.Request, in *iamapi.RemoveClientIDFromOpenIDConnectProviderInput, t oidcTarget) (*iamapi.RemoveClientIDFromOpenIDConnectProviderOutput, error) {
	return &iamapi.RemoveClientIDFromOpenIDConnectProviderOutput{}, t.change(r, func(p *OIDCProvider) error {
		p.ClientIDs = slices.DeleteFunc(p.ClientIDs, func(id string) bool { return id == *in.ClientID })
		return nil
	})
}

func updateThumbprint(r *api.Request, in *iamapi.UpdateOpenIDConnectProviderThumbprintInput, t oidcTarget) (*iamapi.UpdateOpenIDConnectProviderThumbprintOutput, error) {
	return &iamapi.UpdateOpenIDConnectProviderThumbprintOutput{}, t.change(r, func(p *OIDCProvider) (err error) {
		p.Thumbprints, err = parseThumbprints(in.ThumbprintList)
		return err
	})
}

func resolveTagOIDCProvider(r *api.Request, in *iamapi.TagOpenIDConnectProviderInput) (oidcTarget, api.Access, error) {
	t, a, err := oidcKind.locate(r, *in.OpenIDConnectProviderArn)
	a.RequestTags = requestTags(in.Tags)
	return t, a, err
}

func tagOIDCProvider(r *api.Request, in *iamapi.TagOpenIDConnectProviderInput, t oidcTarget) (*iamapi.TagOpenIDConnectProviderOutput, error) {
	return &iamapi.TagOpenIDConnectProviderOutput{}, t.change(r, func(p *OIDCProvider) (err error) {
		p.Tags, err = mergeTags(p.Tags, in.Tags)
		return err
	})
}

func resolveUntagOIDCProvider(r *api.Request, in *iamapi.UntagOpenIDConnectProviderInput) (oidcTarget, api.Access, error) {
	t, a, err := oidcKind.locate(r, *in.OpenIDConnectProviderArn)
	a.TagKeys = in.TagKeys
	return t, a, err
}

func untagOIDCProvider(r *api.Request, in *iamapi.UntagOpenIDConnectProviderInput, t oidcTarget) (*iamapi.UntagOpenIDConnectProviderOutput, error) {
	return &iamapi.UntagOpenIDConnectProviderOutput{}, t.change(r, func(p *OIDCProvider) error {
		p.Tags = withoutTags(p.Tags, in.TagKeys)
		return nil
	})
}

func listOIDCProviderTags(r *api.Request, in *iamapi.ListOpenIDConnectProviderTagsInput, t oidcTarget) (*iamapi.ListOpenIDConnectProviderTagsOutput, error) {
	p, err := t.found()
	if err != nil {
		return nil, err
	}
	tags, next, err := tagPage(p.Tags, in.Marker, in.MaxItems)
	return &iamapi.ListOpenIDConnectProviderTagsOutput{Tags: tags, Marker: next, IsTruncated: new(next != nil)}, err
}

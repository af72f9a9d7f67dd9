package iam

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"strconv"
	"time"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// SAMLProvider is a SAML 2.0 identity provider whose assertions an account
// trusts (sts:AssumeRoleWithSAML).
type SAMLProvider struct {
	Account      string       `cbor:"1,keyasint"`
	Name         string       `cbor:"2,keyasint"` // has case
	UUID         string       `cbor:"3,keyasint"` // as answers show it
	Created      table.Millis `cbor:"4,keyasint"`
	ValidUntil   table.Millis `cbor:"5,keyasint"` // from then on assertions are refused
	EntityID     string       `cbor:"6,keyasint"` // the Issuer of its assertions
	Certificates [][]byte     `cbor:"7,keyasint"` // DER; any of their keys signs assertions
	Tags         []policy.Tag `cbor:"8,keyasint,omitempty"`
}

// SAMLProviders holds them by account and name.
var SAMLProviders = table.Collection[SAMLProvider]{
	Name:  "iam.saml",
	Key:   func(p *SAMLProvider) table.Key { return table.K(p.Account, p.Name) },
	Clone: (*SAMLProvider).clone,
}

func (p *SAMLProvider) clone() *SAMLProvider {
	c := *p
	c.Certificates, c.Tags = slices.Clone(p.Certificates), slices.Clone(p.Tags)
	return &c
}

// ARN is the provider's ARN in a partition: the Federated principal of trust policies.
func (p *SAMLProvider) ARN(partition string) string {
	return arnOf(partition, p.Account, "saml-provider", "/", p.Name)
}

// SigningCertificates are the certificates whose keys sign the provider's
// assertions. Their dates and issuers mean nothing: the metadata vouches for them.
func (p *SAMLProvider) SigningCertificates() ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	if len(p.Certificates) > maxSAMLKeys {
		return nil, fmt.Errorf("iam: SAML provider with %d certificates", len(p.Certificates))
	}
	for _, der := range p.Certificates {
		c, err := signingCertificate(der)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// The moduli of RSA keys that assertions are verified with, in bits.
const minSAMLKey, maxSAMLKey = 2048, 8192

// signingCertificate reads a certificate, whose key must be RSA or on a NIST curve and of a usual size.
// Whoever knows the provider's name can have a signature tried with all of its keys, and the
// time that takes grows with the square of the modulus, times the length of the exponent.
func signingCertificate(der []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minSAMLKey || bits > maxSAMLKey || int64(key.E) >= 1<<31 {
			return nil, fmt.Errorf("iam: an RSA key of %d bits, or of an exponent that is too large", bits)
		}
		return c, nil
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return c, nil
		}
	}
	return nil, fmt.Errorf("iam: a certificate with a key of algorithm %s that signs no assertions", c.PublicKeyAlgorithm)
}

// FindSAMLProvider finds a provider by its ARN; table.ErrNotFound if there is
// none. The record is shared: not to be changed.
func FindSAMLProvider(tx *table.Tx, text string) (*SAMLProvider, error) {
	a, name, err := parseARN(text, "saml-provider")
	if err != nil {
		return nil, table.ErrNotFound
	}
	return SAMLProviders.Get(tx, table.K(a.Account, name))
}

// SAMLMetadata is the metadata document of a provider, which only GetSAMLProvider
// needs: it can be large.
type SAMLMetadata struct {
	Account string `cbor:"1,keyasint"`
	Name    string `cbor:"2,keyasint"`
	Text    string `cbor:"3,keyasint"`
}

// SAMLMetadatas holds them by account and provider.
var SAMLMetadatas = table.Collection[SAMLMetadata]{
	Name:    "iam.samlmetadata",
	Key:     func(m *SAMLMetadata) table.Key { return table.K(m.Account, m.Name) },
	NoCache: true,
}

// The quotas of "IAM and AWS STS quotas".
const (
	maxSAMLProviders = 100
	maxSAMLKeys      = 10 // of a provider
)

// metadataLife is how long metadata is good that does not say.
const metadataLife = 100 // years

func (s *Service) samlProviderOperations() []api.Bound {
	return []api.Bound{
		api.Preparing(api.Bind(iamapi.CreateSAMLProvider, resolveCreateSAMLProvider, createSAMLProvider), prepareCreateSAMLProvider),
		api.Bind(iamapi.GetSAMLProvider, onProvider(&samlKind, func(in *iamapi.GetSAMLProviderInput) *string { return in.SAMLProviderArn }), getSAMLProvider),
		api.Bind(iamapi.ListSAMLProviders, onNothing[iamapi.ListSAMLProvidersInput], listSAMLProviders),
		api.Preparing(api.Bind(iamapi.UpdateSAMLProvider, onProvider(&samlKind, func(in *iamapi.UpdateSAMLProviderInput) *string { return in.SAMLProviderArn }), updateSAMLProvider), prepareUpdateSAMLProvider),
		api.Bind(iamapi.DeleteSAMLProvider, onProvider(&samlKind, func(in *iamapi.DeleteSAMLProviderInput) *string { return in.SAMLProviderArn }), deleteSAMLProvider),
		api.Bind(iamapi.TagSAMLProvider, resolveTagSAMLProvider, tagSAMLProvider),
		api.Bind(iamapi.UntagSAMLProvider, resolveUntagSAMLProvider, untagSAMLProvider),
		api.Bind(iamapi.ListSAMLProviderTags, onProvider(&samlKind, func(in *iamapi.ListSAMLProviderTagsInput) *string { return in.SAMLProviderArn }), listSAMLProviderTags),
	}
}

type samlTarget = providerTarget[SAMLProvider]

var samlKind = providerKind[SAMLProvider]{
	resource: "saml-provider", absent: "Manifest not found for arn ",
	rows: &SAMLProviders, tags: func(p *SAMLProvider) []policy.Tag { return p.Tags },
}

// prepared is metadata that was parsed before the transaction, and what was wrong with it:
// that is told after authorization.
type prepared struct {
	provider *identityProvider
	err      error
}

func prepareCreateSAMLProvider(r *api.Request, in *iamapi.CreateSAMLProviderInput) error {
	r.Prepared = prepareMetadata(*in.SAMLMetadataDocument)
	return nil
}

func prepareUpdateSAMLProvider(r *api.Request, in *iamapi.UpdateSAMLProviderInput) error {
	if in.SAMLMetadataDocument != nil {
		r.Prepared = prepareMetadata(*in.SAMLMetadataDocument)
	}
	return nil
}

func prepareMetadata(text string) *prepared {
	idp, err := parseMetadata(text)
	switch {
	case err != nil:
		err = iamapi.InvalidInputException("Could not parse metadata").Because(err)
	case len(idp.Certificates) > maxSAMLKeys:
		err = iamapi.LimitExceededException("Cannot exceed quota for KeysPerSAMLProvider: " + strconv.Itoa(maxSAMLKeys))
	}
	return &prepared{idp, err}
}

// take puts into the provider what the request's metadata says.
func (p *SAMLProvider) take(r *api.Request, text string) error {
	m, ok := r.Prepared.(*prepared)
	if !ok { // a call between services
		m = prepareMetadata(text)
	}
	if m.err != nil {
		return m.err
	}
	p.EntityID, p.Certificates = m.provider.EntityID, m.provider.Certificates
	until := m.provider.ValidUntil
	if until.IsZero() {
		until = r.Time.AddDate(metadataLife, 0, 0)
	}
	p.ValidUntil = table.At(until.Truncate(time.Second))
	return SAMLMetadatas.Put(r.Tx, &SAMLMetadata{Account: p.Account, Name: p.Name, Text: text})
}

// plainAssertions refuses what only encrypted assertions need: STS does not read them.
func plainAssertions(mode *string, key api.Sensitive) error {
	if mode != nil || key != nil {
		return iamapi.InvalidInputException("Coffer does not decrypt SAML assertions: AssertionEncryptionMode and private keys cannot be set.")
	}
	return nil
}

func resolveCreateSAMLProvider(r *api.Request, in *iamapi.CreateSAMLProviderInput) (*SAMLProvider, api.Access, error) {
	e := entity{r: r, kind: "saml-provider", path: "/", name: *in.Name}
	a := e.access()
	a.RequestTags = requestTags(in.Tags)
	p := &SAMLProvider{Account: r.Account, Name: e.name, Created: table.At(r.Time)}
	return p, alsoTagging(a, "iam:TagSAMLProvider"), nil
}

func createSAMLProvider(r *api.Request, in *iamapi.CreateSAMLProviderInput, p *SAMLProvider) (_ *iamapi.CreateSAMLProviderOutput, err error) {
	if err := plainAssertions(in.AssertionEncryptionMode, in.AddPrivateKey); err != nil {
		return nil, err
	}
	if p.Tags, err = mergeTags(nil, in.Tags); err != nil {
		return nil, err
	}
	n := 0
	for e, err := range SAMLProviders.Scan(r.Tx, table.Range{Prefix: table.K(r.Account)}) {
		if err != nil {
			return nil, err
		}
		if fold(e.Value.Name) == fold(p.Name) {
			return nil, iamapi.EntityAlreadyExistsException("Provider with name " + p.Name + " already exists.")
		}
		n++
	}
	if n >= maxSAMLProviders {
		return nil, iamapi.LimitExceededException("Cannot exceed quota for SAMLProvidersPerAccount: " + strconv.Itoa(maxSAMLProviders))
	}
	if err := p.take(r, *in.SAMLMetadataDocument); err != nil {
		return nil, err
	}
	p.UUID = randomID(26)
	if err := SAMLProviders.Insert(r.Tx, p); err != nil {
		return nil, err
	}
	return &iamapi.CreateSAMLProviderOutput{SAMLProviderArn: new(p.ARN(r.Partition())), Tags: shownTags(p.Tags)}, nil
}

func getSAMLProvider(r *api.Request, _ *iamapi.GetSAMLProviderInput, t samlTarget) (*iamapi.GetSAMLProviderOutput, error) {
	p, err := t.found()
	if err != nil {
		return nil, err
	}
	m, err := SAMLMetadatas.Get(r.Tx, table.K(t.account, t.name))
	if err != nil {
		return nil, err
	}
	return &iamapi.GetSAMLProviderOutput{
		SAMLProviderUUID: &p.UUID, SAMLMetadataDocument: &m.Text, CreateDate: p.Created.Ptr(), ValidUntil: p.ValidUntil.Ptr(), Tags: shownTags(p.Tags),
	}, nil
}

func listSAMLProviders(r *api.Request, _ *iamapi.ListSAMLProvidersInput, _ struct{}) (*iamapi.ListSAMLProvidersOutput, error) {
	out := &iamapi.ListSAMLProvidersOutput{SAMLProviderList: []iamapi.SAMLProviderListEntry{}}
	for e, err := range SAMLProviders.Scan(r.Tx, table.Range{Prefix: table.K(r.Account)}) {
		if err != nil {
			return nil, err
		}
		p := e.Value
		out.SAMLProviderList = append(out.SAMLProviderList, iamapi.SAMLProviderListEntry{
			Arn: new(p.ARN(r.Partition())), CreateDate: p.Created.Ptr(), ValidUntil: p.ValidUntil.Ptr(),
		})
	}
	return out, nil
}

func updateSAMLProvider(r *api.Request, in *iamapi.UpdateSAMLProviderInput, t samlTarget) (*iamapi.UpdateSAMLProviderOutput, error) {
	if err := plainAssertions(in.AssertionEncryptionMode, in.AddPrivateKey); err != nil {
		return nil, err
	}
	err := t.change(r, func(p *SAMLProvider) error {
		if in.RemovePrivateKey != nil {
			return iamapi.NoSuchEntityException("The private key with id " + *in.RemovePrivateKey + " cannot be found.")
		}
		if in.SAMLMetadataDocument == nil {
			return iamapi.InvalidInputException("There is nothing to update.")
		}
		return p.take(r, *in.SAMLMetadataDocument)
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.UpdateSAMLProviderOutput{SAMLProviderArn: &t.arn}, nil
}

func deleteSAMLProvider(r *api.Request, _ *iamapi.DeleteSAMLProviderInput, t samlTarget) (*iamapi.DeleteSAMLProviderOutput, error) {
	if _, err := t.found(); err != nil {
		return nil, err
	}
	if err := SAMLMetadatas.Delete(r.Tx, table.K(t.account, t.name)); err != nil {
		return nil, err
	}
	return &iamapi.DeleteSAMLProviderOutput{}, SAMLProviders.Delete(r.Tx, table.K(t.account, t.name))
}

func resolveTagSAMLProvider(r *api.Request, in *iamapi.TagSAMLProviderInput) (samlTarget, api.Access, error) {
	t, a, err := samlKind.locate(r, *in.SAMLProviderArn)
	a.RequestTags = requestTags(in.Tags)
	return t, a, err
}

func tagSAMLProvider(r *api.Request, in *iamapi.TagSAMLProviderInput, t samlTarget) (*iamapi.TagSAMLProviderOutput, error) {
	return &iamapi.TagSAMLProviderOutput{}, t.change(r, func(p *SAMLProvider) (err error) {
		p.Tags, err = mergeTags(p.Tags, in.Tags)
		return err
	})
}

func resolveUntagSAMLProvider(r *api.Request, in *iamapi.UntagSAMLProviderInput) (samlTarget, api.Access, error) {
	t, a, err := samlKind.locate(r, *in.SAMLProviderArn)
	a.TagKeys = in.TagKeys
	return t, a, err
}

func untagSAMLProvider(r *api.Request, in *iamapi.UntagSAMLProviderInput, t samlTarget) (*iamapi.UntagSAMLProviderOutput, error) {
	return &iamapi.UntagSAMLProviderOutput{}, t.change(r, func(p *SAMLProvider) error {
		p.Tags = withoutTags(p.Tags, in.TagKeys)
		return nil
	})
}

func listSAMLProviderTags(r *api.Request, in *iamapi.ListSAMLProviderTagsInput, t samlTarget) (*iamapi.ListSAMLProviderTagsOutput, error) {
	p, err := t.found()
	if err != nil {
		return nil, err
	}
	tags, next, err := tagPage(p.Tags, in.Marker, in.MaxItems)
	return &iamapi.ListSAMLProviderTagsOutput{Tags: tags, Marker: next, IsTruncated: new(next != nil)}, err
}

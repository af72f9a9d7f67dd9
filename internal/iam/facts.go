package iam

import (
	"strconv"
	"strings"
	"time"

	"coffer/internal/api"
	"coffer/internal/arn"
	"coffer/internal/policy"
)

// maxHeader is how much of a header that the client makes up is compared with policies, in
// bytes: patterns take time in proportion.
const maxHeader = 2 << 10

// facts answers for the condition keys of a request: the global ones from the
// request, its principal and its access; a service's own come with the access.
// Source: "AWS global condition context keys" in the IAM user guide.
type facts struct {
	r        *api.Request
	a        *api.Access
	standing *Standing
	account  string // that owns the resource
	owner    *place // of that account
	failed   error  // met while looking for grants
}

// grants gives the grants of the access.
func (f *facts) grants() (gs []*policy.Grant) {
	gs, f.failed = f.a.Grants()
	return gs
}

// Values implements policy.Context. Keys come in lower case.
func (f *facts) Values(dst []string, key string) ([]string, bool) {
	service, name, _ := strings.Cut(key, ":")
	if service != "aws" {
		if tag, ok := strings.CutPrefix(name, "resourcetag/"); ok {
			return tagged(dst, f.a.Tags, nil, tag)
		}
		if f.a.Keys != nil {
			if vs, ok := f.a.Keys.Values(dst, key); ok {
				return vs, true
			}
		}
		// What the identity provider said of a federated session's holder.
		if s := f.r.Principal.Session; s != nil {
			vs, ok := s.Claims[key]
			return append(dst, vs...), ok
		}
		return dst, false
	}
	if kind, tag, ok := strings.Cut(name, "/"); ok {
		switch kind {
		case "principaltag":
			var own []policy.Tag
			if s := f.r.Principal.Session; s != nil {
				own = s.Tags
			}
			return tagged(dst, own, f.standing.tags, tag) // session tags win
		case "resourcetag":
			return tagged(dst, f.a.Tags, nil, tag)
		case "requesttag":
			return tagged(dst, f.a.RequestTags, nil, tag)
		}
		return dst, false
	}
	if vs, ok := f.several(dst, name); ok {
		return vs, len(vs) > len(dst)
	}
	v, ok := f.principal(name)
	if !ok {
		v, ok = f.request(name)
	}
	if !ok || v == "" {
		return dst, false
	}
	return append(dst, v), true
}

// tagged looks a tag up by its key, whose case does not count in conditions.
func tagged(dst []string, tags, more []policy.Tag, key string) ([]string, bool) {
	for _, list := range [...][]policy.Tag{tags, more} {
		for i := range list {
			if strings.EqualFold(list[i].Key, key) {
				return append(dst, list[i].Value), true
			}
		}
	}
	return dst, false
}

// principal answers for keys about the caller; known is false for other keys, and the
// value empty where the caller has none.
func (f *facts) principal(name string) (value string, known bool) {
	p := &f.r.Principal
	s := p.Session
	switch name {
	case "principalarn":
		if p.Type == policy.FederatedSession {
			return p.ARN, true
		}
		return p.Entity, true
	case "principalaccount":
		return p.Account, true
	case "principaltype":
		return principalTypes[p.Type], true
	case "userid":
		return p.UserID(), true
	case "username":
		if p.Type == policy.IAMUser {
			return p.Name, true
		}
		return "", true
	case "principalorgid":
		return f.standing.place.organization, true
	case "principalisawsservice":
		return strconv.FormatBool(p.Type == policy.AWSService), true
	case "principalservicename":
		return p.Service, true
	case "multifactorauthpresent":
		if f.a.MFA {
			return "true", true
		}
		if s == nil {
			return "", true // long-term keys do not have it
		}
		return strconv.FormatBool(s.MFA != 0), true
	case "multifactorauthage":
		if f.a.MFA {
			return "0", true
		}
		if s == nil || s.MFA == 0 {
			return "", true
		}
		return strconv.FormatInt(max(f.r.Time.Unix()-s.MFA, 0), 10), true
	case "tokenissuetime":
		if s == nil {
			return "", true
		}
		return time.Unix(s.Issued, 0).UTC().Format(time.RFC3339), true
	case "federatedprovider":
		if s == nil {
			return p.Provider, true
		}
		return s.Provider, true
	case "sourceidentity":
		if s == nil {
			return "", true
		}
		return s.SourceIdentity, true
	}
	return "", false
}

var principalTypes = [...]string{
	policy.Anonymous: "Anonymous", policy.Root: "Account", policy.IAMUser: "User", policy.AssumedRole: "AssumedRole",
	policy.FederatedSession: "FederatedUser", policy.AWSService: "", policy.WebIdentity: "", policy.SAMLIdentity: "",
}

// several answers for keys with several values.
func (f *facts) several(dst []string, name string) (values []string, known bool) {
	switch name {
	case "tagkeys":
		for i := range f.a.RequestTags {
			dst = append(dst, f.a.RequestTags[i].Key)
		}
		return append(dst, f.a.TagKeys...), true
	case "calledvia":
		return append(dst, f.r.Via...), true
	case "principalorgpaths":
		return appendSome(dst, f.standing.place.path), true
	case "resourceorgpaths":
		return appendSome(dst, f.owner.path), true
	case "principalservicenameslist":
		return appendSome(dst, f.r.Principal.Service), true
	}
	return dst, false
}

func appendSome(dst []string, s string) []string {
	if s == "" {
		return dst
	}
	return append(dst, s)
}

// request answers for keys about the request and its resource.
func (f *facts) request(name string) (value string, ok bool) {
	r := f.r
	direct := len(r.Via) == 0
	switch name {
	case "currenttime":
		return r.Time.UTC().Format(time.RFC3339), true
	case "epochtime":
		return strconv.FormatInt(r.Time.Unix(), 10), true
	case "sourceip":
		// Absent when a service forwards the call, and behind an endpoint.
		return r.SourceIP, direct && r.Endpoint == nil && r.Principal.Type != policy.AWSService
	case "vpcsourceip":
		return r.SourceIP, direct && r.Endpoint != nil
	case "sourcevpce":
		if r.Endpoint != nil {
			return r.Endpoint.ID, true
		}
	case "sourcevpc":
		if r.Endpoint != nil {
			return r.Endpoint.VPC, true
		}
	case "sourcevpcarn":
		if r.Endpoint != nil && r.Endpoint.VPC != "" {
			return "arn:" + r.Partition() + ":ec2:" + r.Region + ":" + r.Account + ":vpc/" + r.Endpoint.VPC, true
		}
	case "securetransport":
		return strconv.FormatBool(r.Secure), true
	case "useragent":
		return r.UserAgent[:min(len(r.UserAgent), maxHeader)], true
	case "referer":
		return r.Referer[:min(len(r.Referer), maxHeader)], true
	case "requestedregion":
		if f.a.Region != "" {
			return f.a.Region, true
		}
		return r.Region, true
	case "viaawsservice":
		return strconv.FormatBool(!direct), true
	case "calledviafirst":
		if !direct {
			return r.Via[0], true
		}
	case "calledvialast":
		if !direct {
			return r.Via[len(r.Via)-1], true
		}
	case "sourcearn":
		return r.Source, r.Source != ""
	case "sourceaccount":
		a, err := arn.Parse(r.Source)
		return a.Account, err == nil
	case "resourceaccount":
		return f.account, true
	case "resourceorgid":
		return f.owner.organization, true
	}
	return "", false
}

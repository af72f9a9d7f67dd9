package iam

import (
	"slices"
	"strings"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/arn"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// Config says what the service works with.
type Config struct {
	Directory *Directory // required
}

// Service serves the IAM API. It holds no state but its configuration. Safe for
// concurrent use.
type Service struct {
	directory *Directory
}

// New returns the service.
func New(cfg Config) *Service { return &Service{directory: cfg.Directory} }

// Operations is what the gateway serves.
func (s *Service) Operations() []api.Bound {
	return slices.Concat(
		s.userOperations(),
		s.groupOperations(),
		s.accessKeyOperations(),
		s.tagOperations(),
		s.boundaryOperations(),
		s.roleOperations(),
		s.instanceProfileOperations(),
		s.serviceLinkedOperations(),
		s.mfaOperations(),
		s.settingOperations(),
		s.policyOperations(),
		s.attachmentOperations(),
		s.inlineOperations(),
		s.simulationOperations(),
		s.contextKeyOperations(),
		s.authorizationDetailsOperations(),
		s.credentialReportOperations(),
		s.oidcProviderOperations(),
		s.samlProviderOperations(),
	)
}

// entity is what an operation is about, in place or about to be.
type entity struct {
	r      *api.Request
	kind   string // "user", "group", "role", "policy", "instance-profile", ...
	path   string
	name   string
	tags   []policy.Tag
	policy string // ARN of the managed policy that is attached or detached; iam:PolicyARN

	// boundary is the ARN of the permissions boundary that the user or role has;
	// iam:PermissionsBoundary in the operations of underBoundary.
	boundary string

	// existing is set in operations on what should be there: AWS's denials name
	// that as "user ana", and what is to be made by its ARN; policies are "policy x" either way.
	existing bool
}

// arn is the entity's ARN: names have no region.
func (e *entity) arn() string {
	return arnOf(e.r.Partition(), e.r.Account, e.kind, e.path, e.name)
}

// access is what the caller must be allowed to do with it. It belongs to the
// caller's account: IAM has no resources that are shared.
func (e *entity) access() api.Access {
	arn := e.arn()
	a := api.Access{Resource: arn, Account: e.r.Account, Named: arn, Tags: e.tags, Keys: e}
	if e.existing {
		a.Named = strings.ReplaceAll(e.kind, "-", " ") + " " + e.name
	}
	return a
}

// underBoundary are the operations that change what a user or role may do
// within its boundary. Who delegates lets others use them only on those that have
// one ("Delegating responsibility to others using permissions boundaries").
var underBoundary = []*api.Operation{
	iamapi.AttachUserPolicy.Operation, iamapi.DetachUserPolicy.Operation, iamapi.PutUserPolicy.Operation, iamapi.DeleteUserPolicy.Operation,
	iamapi.AttachRolePolicy.Operation, iamapi.DetachRolePolicy.Operation, iamapi.PutRolePolicy.Operation, iamapi.DeleteRolePolicy.Operation,
	iamapi.DeleteUserPermissionsBoundary.Operation, iamapi.DeleteRolePermissionsBoundary.Operation,
}

// Values implements policy.Context for IAM's own condition keys ("Actions,
// resources, and condition keys for AWS IAM").
func (e *entity) Values(dst []string, key string) ([]string, bool) {
	switch key {
	case "iam:policyarn":
		return append(dst, e.policy), e.policy != ""
	case "iam:permissionsboundary":
		if v, ok := api.MemberText(e.r.Input, "PermissionsBoundary"); ok {
			return append(dst, v), true
		}
		if e.boundary != "" && slices.Contains(underBoundary, e.r.Op) {
			return append(dst, e.boundary), true
		}
	case "iam:awsservicename":
		if v, ok := api.MemberText(e.r.Input, "AWSServiceName"); ok {
			return append(dst, v), true
		}
	}
	return dst, false
}

// Err implements api.Keys: nothing is looked up.
func (e *entity) Err() error { return nil }

// parseARN reads the ARN by which a request names something of a kind: a policy
// or an identity provider. name is what follows the kind, without the slash.
func parseARN(text, kind string) (a arn.ARN, name string, err error) {
	if a, err = arn.Parse(text); err != nil {
		return a, "", api.ValidationException("Invalid ARN:  Could not be parsed!")
	}
	name, ok := strings.CutPrefix(a.Resource, kind+"/")
	if !ok || name == "" || a.Service != "iam" || a.Region != "" || a.Account != "aws" && !IsAccountID(a.Account) {
		return a, "", iamapi.InvalidInputException("ARN " + text + " is not valid.")
	}
	return a, name, nil
}

// named is the access to what a request names by ARN. One of another account is
// refused by the decision, as IAM's resources are not shared; AWS's own policies belong to every
// account.
func named(r *api.Request, text string, a arn.ARN, tags []policy.Tag) api.Access {
	account := a.Account
	if account == "aws" {
		account = r.Account
	}
	// What policies say of it must not depend on the partition that it is asked for in.
	a.Partition = r.Partition()
	return api.Access{Resource: a.String(), Account: account, Named: text, Tags: tags, Keys: &entity{r: r}}
}

// everything is the access of operations that are about no resource.
func everything(r *api.Request) api.Access {
	return api.Access{Account: r.Account, Named: "*", Keys: &entity{r: r}}
}

// listing is the access of a listing of the account's entities of a kind: AWS
// decides it on their ARN without a name.
func listing(r *api.Request, kind string, pathPrefix *string) api.Access {
	e := entity{r: r, kind: kind, path: pathOf(pathPrefix)}
	return e.access()
}

// underPath are the rows of an index by account and path of the entities that a
// listing asks for.
func underPath(r *api.Request, pathPrefix *string) table.Range {
	if pathPrefix == nil {
		return table.Range{Prefix: table.K(r.Account)}
	}
	return table.Range{Prefix: table.K(r.Account, *pathPrefix), Partial: true}
}

// requestTags are the tags that a request gives, for condition keys.
func requestTags(tags []iamapi.Tag) []policy.Tag {
	out := make([]policy.Tag, 0, len(tags))
	for i := range tags {
		out = append(out, policy.Tag{Key: api.Value(tags[i].Key), Value: api.Value(tags[i].Value)})
	}
	return out
}

// pathOf is the path of an entity about to be made; "/" unless the request says.
func pathOf(p *string) string {
	if p == nil || *p == "" {
		return "/"
	}
	return *p
}

// newID draws a unique id: the prefix of its kind and 17 characters ("IAM
// identifiers").
func newID(prefix string) string { return prefix + randomID(17) }

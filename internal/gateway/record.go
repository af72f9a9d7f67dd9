package gateway

import (
	"errors"
	"strings"
	"sync"
	"time"

	"coffer/internal/api"
	"coffer/internal/arn"
	"coffer/internal/audit"
	"coffer/internal/fault"
	"coffer/internal/policy"
)

// arenas are the memory that the records of reads are rendered into: written to
// the log before the answer leaves, they are of no use afterwards.
var arenas = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

const pooledArena = 16 << 10

// appendRecord renders a record and keeps it until the call is recorded.
func (c *call) appendRecord(r *api.Request, in, out api.Struct, fe *fault.Error, v *verdicts) {
	if c.arena == nil {
		params := make([]byte, 0, 256)
		if in != nil {
			params = api.AppendRedacted(params, in)
		}
		c.records = append(c.records, appendRecord(make([]byte, 0, 1536), r, c.ids.Next(), params, out, fe, v))
		return
	}
	// Growing moves the arena; what was rendered before stays where it is.
	start := len(*c.arena)
	if in != nil {
		*c.arena = api.AppendRedacted(*c.arena, in)
	}
	end := len(*c.arena)
	*c.arena = appendRecord(*c.arena, r, c.ids.Next(), (*c.arena)[start:end:end], out, fe, v)
	c.records = append(c.records, (*c.arena)[end:len(*c.arena):len(*c.arena)])
}

// release gives back what is pooled, once the call is recorded and answered.
func (c *call) release() {
	if c.arena != nil && cap(*c.arena) <= pooledArena {
		*c.arena = (*c.arena)[:0]
		arenas.Put(c.arena)
	}
	c.form.Wipe()
	m := c.methods
	*c = call{} // in place; with the methods in it, it would be made elsewhere and copied
	c.methods = m
	calls.Put(c)
}

// appendRecord renders the CloudTrail record of one call.
func appendRecord(dst []byte, r *api.Request, id string, params []byte, out api.Struct, fe *fault.Error, v *verdicts) []byte {
	rec := audit.Record{
		EventTime:          r.Time,
		AWSRegion:          r.Region,
		SourceIPAddress:    r.SourceIP,
		UserAgent:          r.UserAgent,
		RequestID:          r.ID,
		EventID:            id,
		RecipientAccountID: r.Account,
		Authorization:      v.list,
	}
	var context audit.SessionContext
	if identify(r, &rec.UserIdentity, &context) {
		rec.UserIdentity.SessionContext = &context
	}
	if r.Op != nil {
		rec.EventSource, rec.EventName = r.Op.Service.EventSource, r.Op.EventName()
		// CloudTrail counts the operations of STS among the reads: what they make is stored nowhere.
		rec.ReadOnly = r.Op.Mode == api.Read || r.Op.Service.Name == "sts"
	}
	if r.Endpoint != nil {
		rec.VPCEndpointID = r.Endpoint.ID
	}
	if r.TLS != nil {
		rec.TLSDetails = &audit.TLSDetails{TLSVersion: r.TLS.Version, CipherSuite: r.TLS.CipherSuite, ClientProvidedHostHeader: r.TLS.Host}
	}
	rec.RequestParameters = params
	if fe != nil {
		rec.ErrorCode, rec.ErrorMessage, rec.Reason = fe.Code, fe.Message, reason(fe)
	} else if out != nil && r.Op.Mode != api.Read && len(out.Shape().Members) > 0 {
		rec.ResponseElements = api.AppendRedacted(nil, out)
	}
	// Not for a denial: what an alias of another account leads to is not the caller's to know.
	resource := v.resource()
	if fe == nil || fe.Kind != fault.Denied {
		if a, err := arn.Parse(resource); err == nil {
			if kind := resourceType(r.Op, &a); kind != "" {
				rec.Resources = []audit.Resource{{ARN: resource, AccountID: a.Account, Type: kind}}
			}
		}
	}
	return rec.AppendJSON(dst)
}

// reason is what an error's text does not say and administrators may know: where a policy is
// wrong, where AWS's text says only that it is, and what services give as one. Other causes may
// quote what is secret.
func reason(fe *fault.Error) string {
	if syntax, ok := errors.AsType[*policy.SyntaxError](fe.Err); ok {
		return syntax.Error()
	}
	if told, ok := errors.AsType[fault.Reason](fe.Err); ok {
		return told.Error()
	}
	return ""
}

// resourceType is what CloudTrail calls the resources that records name: keys,
// and roles that are assumed.
func resourceType(op *api.Operation, a *arn.ARN) string {
	switch {
	case a.Service == "kms":
		return "AWS::KMS::Key"
	case op.Service.Name == "sts" && a.Service == "iam" && strings.HasPrefix(a.Resource, "role/"):
		return "AWS::IAM::Role"
	}
	return ""
}

var identityTypes = [...]string{
	policy.Anonymous: "", policy.Root: audit.TypeRoot, policy.IAMUser: audit.TypeIAMUser, policy.AssumedRole: audit.TypeAssumedRole,
	policy.FederatedSession: audit.TypeFederatedUser, policy.AWSService: audit.TypeAWSService,
	policy.WebIdentity: audit.TypeWebIdentityUser, policy.SAMLIdentity: audit.TypeSAMLUser,
}

// identify fills in CloudTrail's userIdentity ("CloudTrail userIdentity element") and, if
// the credentials are temporary, its sessionContext. The caller ties the two together: here
// it would take the context to the heap.
func identify(r *api.Request, id *audit.Identity, context *audit.SessionContext) (temporary bool) {
	p := &r.Principal
	id.Type, id.PrincipalID, id.ARN, id.AccountID = identityTypes[p.Type], p.UserID(), p.ARN, p.Account
	id.AccessKeyID, id.IdentityProvider = p.AccessKeyID, p.Provider
	switch p.Type {
	case policy.IAMUser, policy.WebIdentity, policy.SAMLIdentity:
		id.UserName = p.Name
	case policy.AWSService:
		id.InvokedBy = p.Service
	}
	if n := len(r.Via); n > 0 {
		id.InvokedBy = r.Via[n-1]
	}
	s := p.Session
	if s == nil {
		return false
	}
	context.CreationDate, context.MFAAuthenticated, context.SourceIdentity = time.Unix(s.Issued, 0), s.MFA != 0, s.SourceIdentity
	issuer := &context.Issuer
	switch p.Type {
	case policy.AssumedRole:
		*issuer = audit.SessionIssuer{Type: "Role", PrincipalID: p.ID, ARN: p.Entity, AccountID: p.Account, UserName: p.Name}
	case policy.FederatedSession:
		*issuer = audit.SessionIssuer{Type: audit.TypeIAMUser, PrincipalID: p.ID, ARN: p.Entity, AccountID: p.Account, UserName: p.Name}
		if s.EntityID == "" {
			issuer.Type, issuer.UserName = audit.TypeRoot, ""
		}
	}
	return true
}

package iam

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"coffer/internal/api"
	"coffer/internal/policy"
	"coffer/internal/session"
	"coffer/internal/table"
)

// Need is something that a principal must be allowed to do: an access, as it
// would be asked for with the call.
type Need struct {
	Op     *api.Operation
	Access api.Access
	Via    []string // services that the call comes through
}

// Finding is a principal that can do what was asked, or could.
type Finding struct {
	Principal string `json:"principal"` // ARN; that of a role stands for any session of it
	// If is empty for a principal that can. Else it can if a request meets all
	// these conditions.
	If []StatementRef `json:"if,omitempty"`
	// Unless are Deny statements that keep it out if their conditions hold.
	Unless  []StatementRef `json:"unless,omitempty"`
	Through []StatementRef `json:"through"` // the statements that allow; none for what no policy can refuse
}

// StatementRef names a statement for people and programs.
type StatementRef struct {
	Action     string   `json:"action"`
	PolicyType string   `json:"policyType"`
	Policy     string   `json:"policy"` // ARN, "role/NAME:POLICY" for an inline policy, or "account root"
	Statement  int      `json:"statement"`
	Sid        string   `json:"sid,omitempty"`
	Conditions []string `json:"conditions,omitempty"` // those that only a request can meet
}

// WhoCan finds every user, role and root that may do all that is needed: of the
// accounts that own the resources, and of those that resource policies and grants
// let in; and the sessions and federated users that these name. What only a request can tell (its
// source, its time, what it asks for in particular, the tags of a session) is unknown, and becomes a
// condition of the answer.
//
// ask makes the request that a principal would make, and says what it needs; of
// nobody (the zero Principal) it is asked once to see what it is about. WhoCan stops with ctx.
func (d *Directory) WhoCan(ctx context.Context, tx *table.Tx, partition string, ask func(api.Principal) (*api.Request, []Need, error)) ([]Finding, error) {
	_, needs, err := ask(api.Principal{})
	if err != nil {
		return nil, err
	}
	concerned, err := d.concerned(tx, needs)
	if err != nil {
		return nil, err
	}
	var found []Finding
	for p, err := range d.candidates(tx, concerned, partition) {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r, needs, err := ask(p)
		if err != nil {
			return nil, err
		}
		f, ok, err := d.can(r, needs)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, f)
		}
	}
	slices.SortFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(min(len(a.If), 1), min(len(b.If), 1)), strings.Compare(a.Principal, b.Principal))
	})
	return found, nil
}

// concerned are those who could be let in: all principals of some accounts, and sessions
// that are let in by name.
type concerned struct {
	accounts []string
	sessions []policy.Principal
}

// concerned finds them: who has to be let in by several resources is let in by each.
func (d *Directory) concerned(tx *table.Tx, needs []Need) (c concerned, err error) {
	all, err := ListAccounts(tx)
	if err != nil {
		return c, err
	}
	counts := map[string]int{}
	for i := range needs {
		in, everybody, err := letIn(tx, &needs[i].Access)
		if err != nil {
			return c, err
		}
		accounts := map[string]bool{needs[i].Access.Account: true}
		for _, p := range in {
			accounts[p.Account] = true
			if (p.Type == policy.Session || p.Type == policy.FederatedUser) && !slices.ContainsFunc(c.sessions, func(q policy.Principal) bool { return q.Text == p.Text }) {
				c.sessions = append(c.sessions, p)
			}
		}
		for _, a := range all {
			accounts[a.ID] = accounts[a.ID] || everybody
		}
		for account, in := range accounts {
			if in {
				counts[account]++
			}
		}
	}
	for account, n := range counts {
		there := slices.ContainsFunc(all, func(a *Account) bool { return a.ID == account })
		if n == len(needs) && (there || d.anybody && account != "") { // with --dev every account is there
			c.accounts = append(c.accounts, account)
		}
	}
	slices.Sort(c.accounts)
	return c, nil
}

// letIn are the principals that the resource's policy and grants let in by name; everybody
// if it is anybody who asks.
func letIn(tx *table.Tx, a *api.Access) (named []policy.Principal, everybody bool, err error) {
	for _, of := range a.Policy.Attachments() {
		for i := range of.Document.Statements {
			s := &of.Document.Statements[i]
			if s.Effect != policy.Allow || s.Principals == nil {
				continue
			}
			everybody = everybody || s.Principals.Any || s.NotPrincipal
			named = append(named, s.Principals.AWS...)
		}
	}
	if a.Grants != nil {
		grants, err := a.Grants()
		if err != nil {
			return nil, false, err
		}
		for _, g := range grants {
			if g.Service == "" {
				named = append(named, g.Grantee)
			}
		}
	}
	for i := range named {
		if p := &named[i]; p.Type == policy.UniqueID {
			if p.Account, err = accountOf(tx, p.Text); err != nil {
				return nil, false, err
			}
		}
	}
	return named, everybody, nil
}

// accountOf is the account of the user or role with a unique id; "" if there is none.
func accountOf(tx *table.Tx, id string) (string, error) {
	if strings.HasPrefix(id, "AROA") {
		r, err := Roles.Get(tx, table.K(id))
		if err == nil {
			return r.Account, nil
		}
		return "", unlessAbsent(err)
	}
	u, err := Users.Get(tx, table.K(id))
	if err == nil {
		return u.Account, nil
	}
	return "", unlessAbsent(err)
}

func unlessAbsent(err error) error {
	if errors.Is(err, table.ErrNotFound) {
		return nil
	}
	return err
}

// candidates yields who is to be asked about.
func (d *Directory) candidates(tx *table.Tx, c concerned, partition string) iter.Seq2[api.Principal, error] {
	return func(yield func(api.Principal, error) bool) {
		for _, account := range c.accounts {
			for p, err := range principals(tx, account, partition) {
				if !yield(p, err) {
					return
				}
			}
		}
		for _, s := range c.sessions {
			if !slices.Contains(c.accounts, s.Account) || s.Partition != partition {
				continue
			}
			if p, there, err := d.named(tx, s); there || err != nil {
				if !yield(p, err) {
					return
				}
			}
		}
	}
}

// named is the session of a role, or the federated user, that a policy names.
func (d *Directory) named(tx *table.Tx, of policy.Principal) (p api.Principal, there bool, err error) {
	name := of.Text[strings.LastIndexByte(of.Text, '/')+1:]
	if of.Type == policy.FederatedUser {
		// Whose it is, nothing tells: the policy that names it is enough within the account.
		root := policy.RootARN(of.Partition, of.Account)
		return api.Principal{
			Caller:  policy.Caller{Type: policy.FederatedSession, ARN: of.Text, Account: of.Account, Entity: root, ID: of.Account},
			Session: &session.Session{Type: policy.FederatedSession, Account: of.Account, Name: name, AccessKeyID: of.Text, Restricted: true},
		}, true, nil
	}
	id, err := d.PrincipalID(tx, of.Text)
	if err != nil || id == "" {
		return p, false, err
	}
	r, err := Roles.Get(tx, table.K(id))
	if err != nil {
		return p, false, err
	}
	p = ofRole(r, of.Partition)
	p.ARN = of.Text
	p.Session = &session.Session{Type: policy.AssumedRole, Account: r.Account, EntityID: r.ID, Name: name}
	return p, true, nil
}

// can decides for one principal: first for a request of which nothing is
// known, then for one that meets every condition.
func (d *Directory) can(r *api.Request, needs []Need) (f Finding, ok bool, err error) {
	standing, err := d.load(r.Tx, &r.Principal, false) // those who call keep their place in the cache
	if err != nil {
		return f, false, err
	}
	f.Principal, f.Through = r.Principal.ARN, []StatementRef{}
	own := sessionOf{tx: r.Tx, p: &r.Principal}
	for i := range needs {
		n := &needs[i]
		of := *r
		of.Op, of.Via = n.Op, n.Via
		direct := len(n.Via) == 0 && n.Op.Service.Name == "kms"
		unknown := func(key string) bool {
			return own.decides(key) || unknownKey(key, n.Access.Resource) ||
				direct && key == "kms:viaservice" // a key that is asked about by itself may be used through a service
		}
		for _, hopeful := range []bool{false, true} {
			var decided Verdict
			var unless []StatementRef
			decided.Unknown, decided.Hopeful = unknown, hopeful
			decided.Trace = func(m policy.Matched) {
				if m.Assumed && m.Effect == policy.Deny {
					unless = append(unless, refer(&decided.Decided, m, unknown))
				}
			}
			if err := d.decide(&of, &n.Access, standing, &decided); err != nil {
				return f, false, err
			}
			if !decided.Allowed.Valid() {
				if hopeful {
					return f, false, nil
				}
				continue
			}
			for _, m := range decided.Deciding() {
				ref := refer(&decided.Decided, m, unknown)
				if len(ref.Conditions) > 0 {
					f.If = append(f.If, ref)
				}
				f.Through = append(f.Through, ref)
			}
			f.Unless = append(f.Unless, unless...)
			break
		}
	}
	return f, true, own.err
}

// sessionOf tells what of a role's sessions is up to who assumes it: their names, and their
// tags if the trust policy lets anybody set some.
type sessionOf struct {
	tx    *table.Tx
	p     *api.Principal
	trust *policy.Set // of the role, once it was needed
	err   error
}

func (s *sessionOf) decides(key string) bool {
	if s.p.Type != policy.AssumedRole {
		return false
	}
	if key == "aws:userid" {
		return s.p.Session == nil // else it has a name
	}
	return strings.HasPrefix(key, "aws:principaltag/") && s.taggable()
}

func (s *sessionOf) taggable() bool {
	if s.trust == nil && s.err == nil {
		var r *Role
		if r, s.err = Roles.Get(s.tx, table.K(s.p.ID)); s.err == nil {
			s.trust, s.err = r.TrustPolicy()
		}
	}
	return s.err == nil && s.trust.MayAllow("sts:TagSession")
}

// refer names a statement and what it asks of a request.
func refer(d *policy.Decided, m policy.Matched, unknown func(string) bool) StatementRef {
	ref := StatementRef{Action: d.Action, PolicyType: m.Type.String(), Policy: m.Source, Statement: m.Index}
	if m.Grant != nil {
		ref.Conditions = m.Grant.Constraints()
	}
	if m.Statement == nil {
		return ref
	}
	ref.Sid = m.Statement.Sid
	ref.Conditions = append(ref.Conditions, m.Statement.Open(unknown)...)
	return ref
}

// unknownKey reports whether only a request has the condition key: not the
// principal, the resource or the way between services.
func unknownKey(key, resource string) bool {
	service, name, _ := strings.Cut(key, ":")
	kind, _, _ := strings.Cut(name, "/")
	if kind == "resourcetag" {
		return false
	}
	switch service {
	case "aws":
		switch kind {
		case "principalarn", "principalaccount", "principaltype", "principaltag", "principalorgid", "principalorgpaths", "userid", "username",
			"resourceaccount", "resourceorgid", "resourceorgpaths", "requestedregion", "viaawsservice", "calledvia", "calledviafirst", "calledvialast",
			// Services have these, and nobody else.
			"principalisawsservice", "principalservicename", "principalservicenameslist", "sourcearn", "sourceaccount", "sourceorgid", "sourceorgpaths":
			return false
		}
	case "kms":
		switch name {
		case "viaservice", "calleraccount", "grantisforawsresource", "resourcealiases":
			return false
		case "keyspec", "keyusage", "keyorigin", "multiregion", "multiregionkeytype":
			return resource == "" || resource == "*" // of the key that CreateKey makes
		}
	case "secretsmanager":
		switch name {
		case "secretid", "secretprimaryregion", "resource/allowrotationlambdaarn", "resource/type":
			return false
		}
	}
	return true
}

// principals yields the root, the users and the roles of an account.
func principals(tx *table.Tx, account, partition string) iter.Seq2[api.Principal, error] {
	return func(yield func(api.Principal, error) bool) {
		root := "arn:" + partition + ":iam::" + account + ":root"
		if !yield(api.Principal{Caller: policy.Caller{Type: policy.Root, ARN: root, Account: account, Entity: root, ID: account}}, nil) {
			return
		}
		for u, err := range indexed(tx, &Users, userByPath, account) {
			if err != nil {
				yield(api.Principal{}, err)
				return
			}
			a := u.ARN(partition)
			if !yield(api.Principal{Caller: policy.Caller{Type: policy.IAMUser, ARN: a, Account: account, Entity: a, ID: u.ID}, Name: u.Name}, nil) {
				return
			}
		}
		for r, err := range indexed(tx, &Roles, roleByPath, account) {
			if err != nil {
				yield(api.Principal{}, err)
				return
			}
			if !yield(ofRole(r, partition), nil) {
				return
			}
		}
	}
}

// ofRole is any session of a role: one without a name, under the ARN of the role.
func ofRole(r *Role, partition string) api.Principal {
	a := r.ARN(partition)
	return api.Principal{Caller: policy.Caller{Type: policy.AssumedRole, ARN: a, Account: r.Account, Entity: a, ID: r.ID}, Name: r.Name}
}

// indexed yields the records of an account in the order of an index.
func indexed[T any](tx *table.Tx, c *table.Collection[T], index, account string) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for e, err := range c.ScanIndex(tx, index, table.Range{Prefix: table.K(account)}) {
			var v *T
			if err == nil {
				v, err = c.Get(tx, e.Record)
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

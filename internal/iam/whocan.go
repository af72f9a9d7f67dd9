package iam

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"

	"coffer/internal/api"
	"coffer/internal/policy"
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
	Principal string `json:"principal"` // ARN; of a role, any session of it
	// If is empty for a principal that can. Else it can if a request meets all
	// these conditions.
	If []StatementRef `json:"if,omitempty"`
	// Unless are Deny statements that keep it out if their conditions hold.
	Unless  []StatementRef `json:"unless,omitempty"`
	Through []StatementRef `json:"through"` // the statements that allow
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
// let in. What only a request can tell (its source, its time, what it asks for in particular)
// is unknown, and becomes a condition of the answer.
//
// ask makes the request that a principal would make, and says what it needs; of
// nobody (the zero Principal) it is asked once to see what it is about. WhoCan stops with ctx.
func (d *Directory) WhoCan(ctx context.Context, tx *table.Tx, partition string, ask func(api.Principal) (*api.Request, []Need, error)) ([]Finding, error) {
	accounts, err := d.accountsConcerned(tx, ask)
	if err != nil {
		return nil, err
	}
	var found []Finding
	for _, account := range accounts {
		for p, err := range principals(tx, account, partition) {
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
	}
	slices.SortFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(min(len(a.If), 1), min(len(b.If), 1)), strings.Compare(a.Principal, b.Principal))
	})
	return found, nil
}

// accountsConcerned are those whose principals could be let in.
func (d *Directory) accountsConcerned(tx *table.Tx, ask func(api.Principal) (*api.Request, []Need, error)) ([]string, error) {
	_, needs, err := ask(api.Principal{})
	if err != nil {
		return nil, err
	}
	set := map[string]bool{}
	everybody := false
	for i := range needs {
		a := &needs[i].Access
		set[a.Account] = true
		for _, of := range a.Policy.Attachments() {
			for j := range of.Document.Statements {
				if s := &of.Document.Statements[j]; s.Effect == policy.Allow && s.Principals != nil && (s.Principals.Any || s.NotPrincipal) {
					everybody = true
				}
			}
			for _, account := range of.Document.AccountsNamed() {
				set[account] = true
			}
		}
		if a.Grants != nil {
			everybody = true // a grant can name anybody
		}
	}
	var out []string
	list, err := ListAccounts(tx)
	if err != nil {
		return nil, err
	}
	for _, a := range list {
		if everybody || set[a.ID] {
			out = append(out, a.ID)
			delete(set, a.ID)
		}
	}
	for account := range set { // of a server started with --dev
		if d.anybody && account != "" {
			out = append(out, account)
		}
	}
	slices.Sort(out)
	return out, nil
}

// can decides for one principal: first for a request of which nothing is
// known, then for one that meets every condition.
func (d *Directory) can(r *api.Request, needs []Need) (f Finding, ok bool, err error) {
	standing, err := d.Load(r.Tx, &r.Principal)
	if err != nil {
		return f, false, err
	}
	f.Principal = r.Principal.Entity
	unknown := func(key string) bool {
		// The name of a role's session is its own affair.
		return unknownKey(key) || key == "aws:userid" && r.Principal.Type == policy.AssumedRole
	}
	for i := range needs {
		n := &needs[i]
		of := *r
		of.Op, of.Via = n.Op, n.Via
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
	return f, true, nil
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
	for i := range m.Statement.Conditions {
		if c := &m.Statement.Conditions[i]; unknown(strings.ToLower(c.Key)) {
			ref.Conditions = append(ref.Conditions, c.String())
		}
	}
	return ref
}

// unknownKey reports whether only a request has the condition key: not the
// principal, the resource or the way between services.
func unknownKey(key string) bool {
	service, name, _ := strings.Cut(key, ":")
	kind, _, _ := strings.Cut(name, "/")
	if kind == "resourcetag" {
		return false
	}
	switch service {
	case "aws":
		switch kind {
		case "principalarn", "principalaccount", "principaltype", "principaltag", "principalorgid", "principalorgpaths", "userid", "username",
			"principalisawsservice", "resourceaccount", "resourceorgid", "resourceorgpaths", "viaawsservice", "calledvia", "calledviafirst", "calledvialast":
			return false
		}
	case "kms":
		switch name {
		case "viaservice", "calleraccount", "grantisforawsresource", "keyspec", "keyusage", "keyorigin", "multiregion", "multiregionkeytype", "resourcealiases":
			return false
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
			// Any session of it: one without a name.
			a := r.ARN(partition)
			if !yield(api.Principal{Caller: policy.Caller{Type: policy.AssumedRole, ARN: a, Account: account, Entity: a, ID: r.ID}, Name: r.Name}, nil) {
				return
			}
		}
	}
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

package api

import (
	"strings"

	"coffer/internal/policy"
	"coffer/internal/table"
)

// Principals is what a policy's principals were when it was written.
type Principals struct {
	IDs     map[string]string // unique ids of the users and roles, by ARN; of a session, its role's
	Unknown string            // a principal that does not exist; empty: all do
}

// FindPrincipals looks up the users, roles and accounts that a policy names.
// They can be too many for a transaction that writes, so it reads a snapshot of
// its own: who is deleted in between is gone as if a moment later.
func (r *Request) FindPrincipals(d *policy.Document) (found Principals, err error) {
	err = r.Read(func(tx *table.Tx) error {
		found = Principals{IDs: make(map[string]string)}
		for _, account := range d.AccountsNamed() {
			ok, err := r.Directory.HasAccount(tx, account)
			if err != nil {
				return err
			}
			if !ok {
				found.Unknown = account
				return nil
			}
		}
		for _, name := range d.Individuals() {
			find := func() (string, error) { return r.Directory.PrincipalID(tx, name) }
			if policy.IsUniqueID(name) {
				find = func() (string, error) { return r.Directory.PrincipalARN(tx, name, r.Partition()) }
			}
			other, err := find()
			if err != nil {
				return err
			}
			if other == "" {
				found.Unknown = name
				return nil
			}
			if !policy.IsUniqueID(name) {
				found.IDs[name] = other
			}
		}
		return nil
	})
	return found, err
}

// ShowPolicy gives a stored policy back as AWS does: accounts as the ARNs of
// their roots, users and roles by their present ARNs, and those that are gone by
// their unique ids; the session of a role that is gone as ID:SESSION. ids are those of Principals.
func (r *Request) ShowPolicy(tx *table.Tx, text string, ids map[string]string) (shown string, err error) {
	shown = policy.RewritePrincipals(text, func(name string) string {
		id := ids[name]
		if policy.IsUniqueID(name) {
			id = name
		}
		if id == "" {
			return policy.RootARN(r.Partition(), name)
		}
		now, e := r.Directory.PrincipalARN(tx, id, r.Partition())
		p, _ := policy.ParsePrincipal(name)
		switch {
		case e != nil:
			err = e
			return name
		case now == "" && p.Type == policy.Session:
			return id + ":" + name[strings.LastIndexByte(name, '/')+1:]
		case now == "":
			return id
		case p.Type == policy.Session:
			return name // a role is never renamed
		}
		return now
	})
	return shown, err
}

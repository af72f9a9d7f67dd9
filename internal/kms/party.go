package kms

import (
	"strings"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/arn"
	"coffer/internal/policy"
)

// Party is a principal of a grant: grantee, or who may retire it.
type Party struct {
	Name string `cbor:"1,keyasint"` // its ARN, or the name of a service, as it was given

	// ID is what the party is known by ever after, so that somebody else under the same
	// name is somebody else: the unique id of a user or role, with the session's name for a
	// session of a role; ACCOUNT:NAME for a federated user; the account for its root; the
	// name of a service.
	ID string `cbor:"2,keyasint"`
}

// findParty is the principal with this name, which must exist as far as anybody can
// know: a session or federated user may yet begin.
func findParty(r *api.Request, name string) (*Party, error) {
	if policy.IsService(name) {
		return &Party{Name: name, ID: name}, nil
	}
	p, ok := policy.ParsePrincipal(name)
	if !ok || !arn.Is(name) || p.Partition != r.Partition() {
		return nil, noSuchParty(name)
	}
	id, err := p.Account, error(nil)
	switch p.Type {
	case policy.User, policy.Role, policy.Session:
		id, err = r.Directory.PrincipalID(r.Tx, name)
	default:
		var exists bool
		if exists, err = r.Directory.HasAccount(r.Tx, p.Account); !exists {
			id = ""
		}
	}
	if err != nil {
		return nil, err
	}
	if id == "" {
		return nil, noSuchParty(name)
	}
	switch p.Type {
	case policy.Session:
		id += ":" + name[strings.LastIndexByte(name, '/')+1:]
	case policy.FederatedUser:
		id += ":" + p.Name
	}
	return &Party{Name: name, ID: id}, nil
}

func noSuchParty(name string) error {
	return kmsapi.InvalidArnException("ARN does not refer to a valid principal: " + name)
}

// partyID is the id of a party by which grants are looked for: one that is gone is
// given as answers show it.
func partyID(r *api.Request, name string) (string, error) {
	if id, _, _ := strings.Cut(name, ":"); policy.IsUniqueID(id) {
		return name, nil
	}
	p, err := findParty(r, name)
	if err != nil {
		return "", err
	}
	return p.ID, nil
}

// shown is the party as answers show it: by its present ARN, and when it is gone by
// its id.
func (p *Party) shown(r *api.Request) (*string, error) {
	id, session, _ := strings.Cut(p.ID, ":")
	if !policy.IsUniqueID(id) {
		return &p.Name, nil
	}
	now, err := r.Directory.PrincipalARN(r.Tx, id, r.Partition())
	switch {
	case err != nil:
		return nil, err
	case now == "":
		return &p.ID, nil
	case session != "":
		return &p.Name, nil // a role is never renamed
	}
	return &now, nil
}

// grant is a grant of actions to the party, as decisions take it.
func (p *Party) grant(id string, actions ...string) *policy.Grant {
	g := &policy.Grant{ID: id, Actions: actions}
	of, ok := policy.ParsePrincipal(p.Name)
	switch {
	case !ok:
		g.Service = p.ID
	case of.Type == policy.User || of.Type == policy.Role:
		g.Grantee = policy.Principal{Type: policy.UniqueID, Text: p.ID} // whatever its name is now
	default:
		g.Grantee = of
		if of.Type == policy.Session {
			g.Grantee.ID, _, _ = strings.Cut(p.ID, ":") // of this role, and no later one of its name
		}
	}
	return g
}

// partyIDs are the ids under which grants can name the caller.
func partyIDs(p *api.Principal) []string {
	if p.Type == policy.AWSService {
		return []string{p.Service}
	}
	if p.Account == "" {
		return nil // nobody whom a grant can name
	}
	ids := []string{p.Account}
	if p.ID != p.Account {
		ids = append(ids, p.ID)
	}
	if u := p.UserID(); u != p.ID {
		ids = append(ids, u)
	}
	return ids
}

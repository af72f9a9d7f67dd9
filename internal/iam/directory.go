package iam

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"coffer/internal/api"
	"coffer/internal/arn"
	"coffer/internal/fault"
	"coffer/internal/policy"
	"coffer/internal/session"
	"coffer/internal/sigv4"
	"coffer/internal/table"
)

// Directory answers who a principal is, what applies to it, and decides. It
// holds caches, and of who calls what is not worth a write with every call. Safe for
// concurrent use.
type Directory struct {
	standings cache[Standing]
	places    cache[placeAt]
	anybody   bool
	uses      uses
	guesses   guesses
}

// DirectoryConfig says how a directory answers.
type DirectoryConfig struct {
	AnyAccount bool // every account exists, as for a server started with --dev
}

// NewDirectory returns a Directory.
func NewDirectory(cfg DirectoryConfig) *Directory {
	return &Directory{
		standings: newCache[Standing](maxStandings), places: newCache[placeAt](maxPlaces), anybody: cfg.AnyAccount,
		uses: uses{of: make(map[string]*noted)}, guesses: guesses{of: make(map[string]map[string]*guess)},
	}
}

const (
	maxStandings = 8192 // principals whose policies are kept ready
	maxPlaces    = 1024 // accounts
)

// ErrChanged is returned in a read-write transaction when the principal's
// policies have changed since they were loaded: to load them takes more
// operations than such a transaction has. Load them in a View, and run it again.
var ErrChanged = errors.New("iam: what applies to the principal has changed")

// Standing is all that applies to a principal whatever it does: policies,
// boundary, tags, organisation. Immutable.
type Standing struct {
	account, organization uint64    // the epochs it was loaded at
	epochKey              table.Key // of the account's

	policies, boundary *policy.Set
	session            *policy.Set  // nil: no session policies
	tags               []policy.Tag // of the user or role, without those of the session
	place              *place
	linked             bool // a service-linked role: control policies do not restrict it
}

type placeAt struct {
	epoch uint64
	*place
}

// noPolicies is what a principal has that nothing is attached to.
var noPolicies = policy.NewSet()

// rootSet stands for the permissions of an account's root.
var rootSet = policy.NewSet(policy.Attachment{Document: fullAccessSet.Attachments()[0].Document, Source: "account root"})

// Load returns what applies to the principal, from the cache if nothing has changed. In
// a transaction that can write it returns ErrChanged rather than load.
func (d *Directory) Load(tx *table.Tx, p *api.Principal) (*Standing, error) {
	return d.load(tx, p, true)
}

// load is Load, with the choice to keep nothing.
func (d *Directory) load(tx *table.Tx, p *api.Principal, keep bool) (*Standing, error) {
	key, ok := standingKey(p)
	if !ok {
		// Where it stands there is none, but what it wants to use may be in an organisation.
		organizations, err := epoch(tx, organizationsKey)
		return &Standing{organization: organizations, policies: noPolicies, place: &place{}}, err
	}
	known := d.standings.get(key)
	var at table.Key
	if known != nil {
		at = known.epochKey
	} else {
		at = table.K(p.Account)
	}
	of, err := epoch(tx, at)
	if err != nil {
		return nil, err
	}
	organizations, err := epoch(tx, organizationsKey)
	if err != nil {
		return nil, err
	}
	if known != nil && known.account == of && known.organization == organizations {
		return known, nil
	}
	if nothing := p.Type == policy.Root && organizations == 0; !tx.ReadOnly() && !nothing {
		return nil, ErrChanged
	}
	s := &Standing{account: of, organization: organizations, epochKey: at, policies: noPolicies}
	if s.place, err = d.place(tx, p.Account, organizations); err != nil {
		return nil, err
	}
	switch {
	case p.Type == policy.AssumedRole:
		err = s.loadRole(tx, p.ID)
	case p.Type == policy.IAMUser, p.Type == policy.FederatedSession && p.Session.EntityID != "":
		err = s.loadUser(tx, p.ID)
	case p.Type == policy.FederatedSession: // of the root, whose permissions no policy gives
		s.policies = rootSet
	}
	if err == nil && p.Session != nil && p.Session.Restricted {
		s.session, err = loadSession(tx, p.Session)
	}
	if err != nil {
		return nil, err
	}
	if keep {
		d.standings.put(key, s)
	}
	return s, nil
}

// standingKey names what is loaded: a role's sessions share it, unless they have
// policies of their own. Services and strangers have nothing to load.
func standingKey(p *api.Principal) (string, bool) {
	switch p.Type {
	case policy.Root, policy.IAMUser, policy.AssumedRole, policy.FederatedSession:
	default:
		return "", false
	}
	if p.Session != nil && p.Session.Restricted {
		return p.Session.AccessKeyID, true
	}
	return p.ID, true
}

// place is loadPlace with a cache.
func (d *Directory) place(tx *table.Tx, account string, organizations uint64) (*place, error) {
	if p := d.places.get(account); p != nil && p.epoch == organizations {
		return p.place, nil
	}
	if organizations == 0 {
		return &place{}, nil // there never was an organisation
	}
	p, err := loadPlace(tx, account)
	if err != nil {
		return nil, fmt.Errorf("iam: organisation of account %s: %w", account, err)
	}
	d.places.put(account, &placeAt{organizations, p})
	return p, nil
}

// gone is the answer to credentials whose user or role was deleted.
func gone() error {
	const text = "The security token included in the request is invalid."
	return fault.New(fault.Denied, "UnrecognizedClientException", text).Because(&sigv4.Error{Reason: sigv4.UnknownKey, Message: text})
}

func (s *Standing) loadRole(tx *table.Tx, id string) error {
	r, err := Roles.Get(tx, table.K(id))
	if errors.Is(err, table.ErrNotFound) {
		return gone()
	}
	if err != nil {
		return err
	}
	s.tags, s.linked = r.Tags, r.Service != ""
	var l loader
	l.owner(tx, r.ID, "role/"+r.Name, r.Attached)
	return s.finish(tx, &l, r.Boundary)
}

func (s *Standing) loadUser(tx *table.Tx, id string) error {
	u, err := Users.Get(tx, table.K(id))
	if errors.Is(err, table.ErrNotFound) {
		return gone()
	}
	if err != nil {
		return err
	}
	s.tags = u.Tags
	var l loader
	l.owner(tx, u.ID, "user/"+u.Name, u.Attached)
	for _, id := range u.Groups {
		g, err := Groups.Get(tx, table.K(id))
		if err != nil {
			return fmt.Errorf("iam: group of user %s: %w", u.ID, err)
		}
		l.owner(tx, g.ID, "group/"+g.Name, g.Attached)
	}
	return s.finish(tx, &l, u.Boundary)
}

func (s *Standing) finish(tx *table.Tx, l *loader, boundary string) error {
	s.policies = policy.NewSet(l.found...)
	if boundary != "" {
		var b loader
		b.managed(tx, boundary)
		s.boundary = policy.NewSet(b.found...)
		l.err = errors.Join(l.err, b.err)
	}
	return l.err
}

// loadSession reads the session policies of temporary credentials.
func loadSession(tx *table.Tx, s *session.Session) (*policy.Set, error) {
	var l loader
	if s.Policy != "" {
		d, err := policy.Parse([]byte(s.Policy), policy.Identity)
		if err != nil {
			return nil, fmt.Errorf("iam: session policy: %w", err)
		}
		l.found = append(l.found, policy.Attachment{Document: d, Source: "session policy"})
	}
	for _, a := range s.PolicyARNs {
		l.managed(tx, a)
	}
	return policy.NewSet(l.found...), l.err
}

// loader gathers documents. After an error it gathers no more.
type loader struct {
	found []policy.Attachment
	err   error
}

func (l *loader) add(s *policy.Set, err error) {
	if err != nil {
		l.err = err
		return
	}
	l.found = append(l.found, s.Attachments()...)
}

// owner adds the inline and attached policies of a user, group or role; who is
// "role/NAME" and the like.
func (l *loader) owner(tx *table.Tx, id, who string, attached []string) {
	if l.err != nil {
		return
	}
	in, err := Inlines.Get(tx, table.K(id))
	switch {
	case errors.Is(err, table.ErrNotFound):
	case err != nil:
		l.err = err
		return
	default:
		for _, p := range in.Policies {
			l.add(p.compiled.Set(p.Text, policy.Identity, nil, who+":"+p.Name))
		}
	}
	for _, a := range attached {
		l.managed(tx, a)
	}
}

// managed adds the default version of a managed policy. A policy that is attached cannot
// be deleted; one of a session can, and then gives nothing.
func (l *loader) managed(tx *table.Tx, arn string) {
	if l.err != nil {
		return
	}
	set, err := managedSet(tx, arn)
	if errors.Is(err, table.ErrNotFound) {
		return
	}
	l.add(set, err)
}

// managedSet is the default version of the managed policy with this ARN.
func managedSet(tx *table.Tx, arn string) (*policy.Set, error) {
	if p := awsManaged(arn); p != nil {
		return p.set(), nil
	}
	p, err := findPolicy(tx, arn)
	if err != nil {
		return nil, err
	}
	d, err := PolicyDocuments.Get(tx, documentKey(p.ID, p.Default))
	if err != nil {
		return nil, fmt.Errorf("iam: version %s of %s: %w", versionID(p.Default), arn, err)
	}
	return d.compiled.Set(d.Text, policy.Identity, nil, arn)
}

// PrincipalID implements api.Directory.
func (d *Directory) PrincipalID(tx *table.Tx, text string) (string, error) {
	a, err := arn.Parse(text)
	if err != nil || a.Region != "" {
		return "", nil
	}
	kind, path, name := splitResource(a.Resource)
	switch a.Service + ":" + kind {
	case "sts:assumed-role": // assumed-role/ROLE/SESSION, whatever the role's path
		r, err := findRole(tx, a.Account, strings.Trim(path, "/"))
		if errors.Is(err, table.ErrNotFound) || err == nil && path != "/"+r.Name+"/" {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		return r.ID, nil
	case "iam:user":
		u, err := findUser(tx, a.Account, name)
		if errors.Is(err, table.ErrNotFound) || err == nil && (u.Path != path || u.Name != name) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		return u.ID, nil
	case "iam:role":
		r, err := findRole(tx, a.Account, name)
		if errors.Is(err, table.ErrNotFound) || err == nil && (r.Path != path || r.Name != name) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		return r.ID, nil
	}
	return "", nil
}

// PrincipalARN implements api.Directory.
func (d *Directory) PrincipalARN(tx *table.Tx, id, partition string) (arn string, err error) {
	if strings.HasPrefix(id, "AROA") {
		var r *Role
		if r, err = Roles.Get(tx, table.K(id)); err == nil {
			return r.ARN(partition), nil
		}
	} else {
		var u *User
		if u, err = Users.Get(tx, table.K(id)); err == nil {
			return u.ARN(partition), nil
		}
	}
	if errors.Is(err, table.ErrNotFound) {
		return "", nil
	}
	return "", err
}

// HasAccount implements api.Directory.
func (d *Directory) HasAccount(tx *table.Tx, id string) (bool, error) {
	if d.anybody {
		return true, nil
	}
	_, err := Accounts.Get(tx, table.K(id))
	if errors.Is(err, table.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// cache keeps what was loaded, by key. What is right is for the reader to see:
// an entry knows the epochs it was loaded at.
type cache[T any] struct {
	limit   int
	entries *sync.Map
	n       *atomic.Int64
}

func newCache[T any](limit int) cache[T] {
	return cache[T]{limit: limit, entries: new(sync.Map), n: new(atomic.Int64)}
}

func (c *cache[T]) get(key string) *T {
	v, ok := c.entries.Load(key)
	if !ok {
		return nil
	}
	return v.(*T)
}

// put keeps v. When there are too many entries, some go, whichever come first.
func (c *cache[T]) put(key string, v *T) {
	if _, was := c.entries.Swap(key, v); was {
		return
	}
	if c.n.Add(1) <= int64(c.limit) {
		return
	}
	drop := c.limit/64 + 1
	c.entries.Range(func(k, _ any) bool {
		if k != key {
			if _, was := c.entries.LoadAndDelete(k); was {
				c.n.Add(-1)
				drop--
			}
		}
		return drop > 0
	})
}

package iam

import (
	"errors"
	"strings"
	"sync"
	"time"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// LastUse is when, for what and where an access key or a role was last used.
type LastUse struct {
	ID      string       `cbor:"1,keyasint"` // of the access key, or unique id of the role
	At      table.Millis `cbor:"2,keyasint"` // to the minute
	Service string       `cbor:"3,keyasint"` // as in a credential scope: "secretsmanager"
	Region  string       `cbor:"4,keyasint"`
}

// LastUses holds them by id. They are apart from keys and roles, which are read
// with every call and must not change with every use.
var LastUses = table.Collection[LastUse]{
	Name: "iam.lastuse",
	Key:  func(u *LastUse) table.Key { return table.K(u.ID) },
}

const (
	// useGrain is how exact the time of a use is: as AWS's, to the minute.
	useGrain = time.Minute
	// useEvery is how often a use is written at most, for each key or role.
	useEvery = 5 * time.Minute
	// useTracked is how far back a role's use is told ("Activity is only reported
	// for the trailing 400 days").
	useTracked = 400 * 24 * time.Hour
	// maxUses bounds the keys and roles whose use is noted in memory. Beyond, it is
	// not noted.
	maxUses = 100_000
	// useBatch is how many are written in one transaction: two operations each.
	useBatch = 40
)

// uses notes what is used, in memory: the write that keeps it must not be part of
// every call. What is noted is shown at once, written within minutes, and lost
// with the process if it was not.
type uses struct {
	mu sync.RWMutex
	of map[string]*noted // by id
}

// noted is the note of one key or role.
type noted struct {
	mu sync.Mutex
	LastUse
	dirty bool         // it is not written
	wrote table.Millis // when it was last
}

// Used notes that a request of this principal was authenticated, and may be
// called for each: it is cheap unless a minute has passed or another service is
// used. Sessions of a role are uses of the role; those of GetSessionToken and
// GetFederationToken are none of the key they came from.
func (d *Directory) Used(p *api.Principal, service, region string, now time.Time) {
	id := p.AccessKeyID
	if p.Session != nil {
		if p.Type != policy.AssumedRole {
			return
		}
		id = p.ID
	}
	d.uses.note(LastUse{ID: id, At: table.At(now.Truncate(useGrain)), Service: service, Region: region})
}

func (u *uses) note(use LastUse) {
	u.mu.RLock()
	n := u.of[use.ID]
	if n != nil {
		n.update(use)
	}
	u.mu.RUnlock()
	if n != nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if n := u.of[use.ID]; n != nil {
		n.update(use)
	} else if len(u.of) < maxUses {
		use.ID, use.Service, use.Region = strings.Clone(use.ID), strings.Clone(use.Service), strings.Clone(use.Region) // parts of the request's head
		u.of[use.ID] = &noted{LastUse: use, dirty: true}
	}
}

// update is called with the notes locked, so that the note is not dropped meanwhile.
func (n *noted) update(use LastUse) {
	n.mu.Lock()
	defer n.mu.Unlock()
	other := n.Service != use.Service || n.Region != use.Region
	if n.At > use.At || n.At == use.At && !other {
		return
	}
	n.At, n.dirty = use.At, true
	if other {
		n.Service, n.Region = strings.Clone(use.Service), strings.Clone(use.Region)
	}
}

// due copies some notes that are to be written, no more than one transaction has
// room for, and forgets those that have rested since they were.
func (u *uses) due(now time.Time) (batch []LastUse, more bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, n := range u.of {
		switch {
		case now.Sub(n.wrote.Time()) < useEvery:
		case !n.dirty:
			delete(u.of, id)
		case len(batch) == useBatch:
			return batch, true
		default:
			batch = append(batch, n.LastUse)
		}
	}
	return batch, false
}

// flushed takes down that a batch was written, or is not to be.
func (u *uses) flushed(batch []LastUse, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range batch {
		if n := u.of[batch[i].ID]; n != nil {
			n.wrote = table.At(now)
			n.dirty = n.LastUse != batch[i] // used anew meanwhile
		}
	}
}

func (u *uses) get(id string) *LastUse {
	u.mu.RLock()
	defer u.mu.RUnlock()
	n := u.of[id]
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return new(n.LastUse)
}

// lastUse is the last use of a key or role; nil if it was never used.
func (d *Directory) lastUse(tx *table.Tx, id string) (*LastUse, error) {
	if u := d.uses.get(id); u != nil {
		return u, nil
	}
	u, err := LastUses.Get(tx, table.K(id))
	if errors.Is(err, table.ErrNotFound) {
		return nil, nil
	}
	return u, err
}

// roleLastUsed is what GetRole says of it: an empty element for a role that was not used.
func (d *Directory) roleLastUsed(r *api.Request, id string) (*iamapi.RoleLastUsed, error) {
	u, err := d.lastUse(r.Tx, id)
	if err != nil || u == nil || r.Time.Sub(u.At.Time()) > useTracked {
		return &iamapi.RoleLastUsed{}, err
	}
	return &iamapi.RoleLastUsed{LastUsedDate: u.At.Ptr(), Region: &u.Region}, nil
}

// Tasks returns the service's background work, for the scheduler.
func (s *Service) Tasks() []api.Task {
	return []api.Task{
		{Name: "iam.lastused", Service: iamapi.Service, Every: 30 * time.Second, Pause: 10 * time.Millisecond, Run: s.flushUses},
		{Name: "iam.roledeletion", Service: iamapi.Service, Every: time.Hour, Run: s.forgetDeletions},
		{Name: "iam.credentialreport", Service: iamapi.Service, Every: time.Second, Pause: 10 * time.Millisecond, Run: s.writeReport},
	}
}

// flushUses writes noted uses.
func (s *Service) flushUses(r *api.Request) (more bool, err error) {
	uses := &s.directory.uses
	batch, more := uses.due(r.Time)
	for _, u := range batch {
		there, err := exists(r.Tx, u.ID)
		if err != nil {
			return false, err
		}
		if !there { // deleted since
			continue
		}
		if err := LastUses.Put(r.Tx, &u); err != nil {
			return false, err
		}
	}
	// Only now, with the commit, are they written.
	r.After(func() { uses.flushed(batch, r.Time) })
	return more, nil
}

// exists reports whether there is an access key or role of this id.
func exists(tx *table.Tx, id string) (bool, error) {
	var err error
	if strings.HasPrefix(id, "AROA") {
		_, err = Roles.Get(tx, table.K(id))
	} else {
		_, err = AccessKeys.Get(tx, table.K(id))
	}
	if errors.Is(err, table.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

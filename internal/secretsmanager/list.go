package secretsmanager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/table"
)

const maxPage = 100

// limits bound what one call does and holds. Where one is reached, the page
// ends: it is short or empty, with a NextToken, which the API reference allows
// for. All are counted, so that no page depends on how fast the machine is.
type limits struct {
	visited  int // secrets looked at
	work     int // reading and matching them, see workUnit
	gathered int // secrets under name prefixes that are sorted in memory
	held     int // bytes of those that are kept whole meanwhile
}

// Secrets can be large, filters many and long, so that 4,000 secrets can be
// minutes of work: rows alone bound nothing. 4,000 secrets of a usual size are
// some 20 million units.
var pageLimits = limits{visited: 4000, work: 1 << 26, gathered: 4000, held: 1 << 20}

// What reading a secret counts: its row, and each byte of it.
const (
	workRow  = 1500
	workByte = 2
)

// listing is a question for secrets, one page of it.
type listing struct {
	account, region string
	match           matcher
	by              string // one of smapi.SortByType...
	desc            bool
	marked          bool // those marked for deletion, too
	limit           int
	from            *position
	limits          limits
}

func resolveListSecrets(r *api.Request, _ *smapi.ListSecretsInput) (struct{}, api.Access, error) {
	return struct{}{}, everything(r), nil
}

func (s *Service) listSecrets(r *api.Request, in *smapi.ListSecretsInput, _ struct{}) (*smapi.ListSecretsOutput, error) {
	l := listing{
		account: r.Account,
		region:  r.Region,
		by:      smapi.SortByTypeCreatedDate,
		desc:    api.Value(in.SortOrder) == smapi.SortOrderTypeDesc,
		marked:  api.Value(in.IncludePlannedDeletion),
		limit:   maxPage,
		limits:  pageLimits,
	}
	if in.SortBy != nil {
		l.by = *in.SortBy
	}
	if in.MaxResults != nil {
		l.limit = int(*in.MaxResults)
	}
	p := l.purpose("ListSecrets", in.Filters)
	var err error
	if l.match, err = compile(in.Filters); err != nil {
		return nil, err
	}
	if l.from, err = s.openToken(p, in.NextToken); err != nil {
		return nil, err
	}
	found, next, err := l.page(r.Context, r.Tx)
	if err != nil {
		return nil, err
	}
	out := &smapi.ListSecretsOutput{SecretList: make([]smapi.SecretListEntry, len(found))}
	for i, sec := range found {
		out.SecretList[i] = sec.entry()
		out.SecretList[i].LastAccessedDate = s.accessed(sec, nil).Ptr()
	}
	if next != nil {
		out.NextToken = s.token(p, *next)
	}
	return out, nil
}

// purpose binds the listing's tokens to the question. The page size may change
// from page to page.
func (l *listing) purpose(operation string, filters []smapi.Filter) purpose {
	p := purpose{operation, l.account, l.region, l.by, fmt.Sprint(l.desc, l.marked)}
	for i := range filters {
		p = append(p, fmt.Sprint(len(filters[i].Values)), api.Value(filters[i].Key))
		p = append(p, filters[i].Values...)
	}
	return p
}

func compile(filters []smapi.Filter) (matcher, error) {
	list := make([]searchFilter, len(filters))
	for i := range filters {
		list[i] = searchFilter{Key: api.Value(filters[i].Key), Values: filters[i].Values}
	}
	return compileFilters(list)
}

func (l *listing) wants(s *Secret) bool {
	if s.Deleted != 0 && !l.marked {
		return false
	}
	return l.match.match(&searchSubject{Name: s.Name, Description: s.Description, Tags: s.Tags})
}

// index names the index of the sort key; empty when rows are in order themselves.
func (l *listing) index() string {
	switch l.by {
	case smapi.SortByTypeName:
		return ""
	case smapi.SortByTypeLastAccessedDate:
		return byAccessed
	case smapi.SortByTypeLastChangedDate:
		return byChanged
	}
	return byCreated
}

func (l *listing) position(s *Secret) position {
	at := position{name: s.Name}
	switch l.index() {
	case byCreated:
		at.part = s.Created.Part()
	case byChanged:
		at.part = s.Changed.Part()
	case byAccessed:
		at.part = s.Accessed.Part()
	}
	return at
}

// page finds the secrets of one page, and where the next one starts; nil when
// there is no more. The secrets come without what opens their values.
func (l *listing) page(ctx context.Context, tx *table.Tx) ([]*Secret, *position, error) {
	prefixes, bounded := l.match.namePrefixes()
	if !bounded {
		prefixes = []string{""}
	}
	p := pager{listing: l, ctx: ctx}
	var err error
	switch {
	case l.index() == "":
		err = p.byName(tx, prefixes)
	case bounded:
		var ok bool
		if ok, err = p.gather(tx, prefixes); !ok && err == nil {
			err = p.byIndex(tx)
		}
	default:
		err = p.byIndex(tx)
	}
	if err != nil {
		return nil, nil, err
	}
	if !p.more {
		return p.found, nil, nil
	}
	return p.found, &p.last, nil
}

// pager fills a page from secrets that come in order.
type pager struct {
	*listing
	ctx     context.Context
	found   []*Secret
	last    position // what has been dealt with
	visited int
	read    int // work of reading; match counts its own
	more    bool
}

// spend counts the reading of a secret and fails when the caller has gone: the
// store does not look while rows come in.
func (p *pager) spend(s *Secret) error {
	p.read += workRow + workByte*s.bytes()
	return p.ctx.Err()
}

func (p *pager) work() int { return p.read + p.match.work }

// bytes is about what a secret takes in memory and in its row.
func (s *Secret) bytes() int {
	n := 512 + len(s.Name) + len(s.Description) + len(s.KMSKeyID)
	for i := range s.Tags {
		n += 32 + len(s.Tags[i].Key) + len(s.Tags[i].Value)
	}
	for i := range s.Versions {
		v := &s.Versions[i]
		n += 256 + len(v.Value) + len(v.DataKey)
		for _, label := range v.Stages {
			n += 16 + len(label)
		}
		for _, key := range v.Keys {
			n += 16 + len(key)
		}
	}
	return n
}

// shown drops from a private copy what no listing shows.
func (s *Secret) shown() *Secret {
	for i := range s.Versions {
		v := &s.Versions[i]
		v.Value, v.DataKey, v.Keys = nil, nil, nil
	}
	return s
}

// offer takes the next secret in order and reports whether to go on. It goes on
// behind a full page up to the next match, so that the last page has no token.
// However little work is left, it takes one secret: pages always move on.
func (p *pager) offer(s *Secret) (bool, error) {
	if err := p.spend(s); err != nil {
		return false, err
	}
	if p.wants(s) {
		if len(p.found) == p.limit {
			p.more = true
			return false, nil
		}
		p.found = append(p.found, s.shown())
	}
	p.last = p.position(s)
	p.visited++
	p.more = p.visited >= p.limits.visited || p.work() >= p.limits.work
	return !p.more, nil
}

// byName goes through the rows themselves, prefix by prefix.
func (p *pager) byName(tx *table.Tx, prefixes []string) error {
	if p.desc {
		prefixes = slices.Clone(prefixes)
		slices.Reverse(prefixes)
	}
	for _, prefix := range prefixes {
		rng := table.Range{Prefix: table.K(p.account, p.region, prefix), Partial: true, Reverse: p.desc}
		if p.from != nil {
			inside := strings.HasPrefix(p.from.name, prefix)
			if !inside && (p.from.name > prefix) != p.desc {
				continue // all of it lies behind us
			}
			if inside {
				rng.After = table.K(p.account, p.region, p.from.name)
			}
		}
		for e, err := range Secrets.Scan(tx, rng) {
			if err != nil {
				return err
			}
			if on, err := p.offer(e.Value); !on || err != nil {
				return err
			}
		}
	}
	return nil
}

// byIndex goes through the index of the sort key. Records are loaded past the
// cache: a listing of a million must not drive out those that are read all the time.
func (p *pager) byIndex(tx *table.Tx) error {
	rng := table.Range{Prefix: table.K(p.account, p.region), Reverse: p.desc}
	if p.from != nil {
		rng.After = table.K(p.account, p.region, p.from.part, p.from.name)
	}
	for e, err := range Secrets.ScanIndex(tx, p.index(), rng) {
		if err != nil {
			return err
		}
		s, err := Secrets.Load(tx, e.Record)
		if errors.Is(err, table.ErrNotFound) {
			return fmt.Errorf("%w: index %s has a row without a secret", table.ErrDamaged, p.index())
		}
		if err != nil {
			return err
		}
		if on, err := p.offer(s); !on || err != nil {
			return err
		}
	}
	return nil
}

// gathered is a match, with the secret unless too many are held already.
type gathered struct {
	at     position
	secret *Secret
}

// gather finds the secrets under name prefixes and sorts them, which is far
// less than going through the index when few match. Not ok: there are too many,
// or they take more than half of the call's work, and the other half is left to
// go through the index.
func (p *pager) gather(tx *table.Tx, prefixes []string) (ok bool, err error) {
	var all []gathered
	seen, held := 0, 0
	for _, prefix := range prefixes {
		for e, err := range Secrets.Scan(tx, table.Range{Prefix: table.K(p.account, p.region, prefix), Partial: true}) {
			if err != nil {
				return false, err
			}
			s := e.Value
			if err := p.spend(s); err != nil {
				return false, err
			}
			if seen++; seen > p.limits.gathered || p.work() >= p.limits.work/2 {
				return false, nil
			}
			at := p.position(s)
			if p.from != nil && p.compare(at, *p.from) <= 0 || !p.wants(s) {
				continue
			}
			if held += s.shown().bytes(); held > p.limits.held {
				s = nil
			}
			all = append(all, gathered{at, s})
		}
	}
	slices.SortFunc(all, func(a, b gathered) int { return p.compare(a.at, b.at) })
	if p.more = len(all) > p.limit; p.more {
		all = all[:p.limit]
		p.last = all[p.limit-1].at
	}
	for _, g := range all {
		if g.secret == nil {
			if g.secret, err = Secrets.Load(tx, table.K(p.account, p.region, g.at.name)); err != nil {
				return false, fmt.Errorf("secret was there a moment ago: %w", err)
			}
			g.secret.shown()
			if err := p.ctx.Err(); err != nil {
				return false, err
			}
		}
		p.found = append(p.found, g.secret)
	}
	return true, nil
}

// compare orders positions as the listing does.
func (l *listing) compare(a, b position) int {
	c := cmp.Or(strings.Compare(a.part, b.part), strings.Compare(a.name, b.name))
	if l.desc {
		return -c
	}
	return c
}

package secretsmanager

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/table"
)

const (
	maxPage = 100
	// maxVisited bounds the secrets that one call looks at. A filter that few
	// match gives short or empty pages with a NextToken then, which the API
	// reference allows for.
	maxVisited = 4000
	// maxGathered bounds the matches of a name filter that are sorted in memory.
	maxGathered = 4000
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
}

func resolveListSecrets(r *api.Request, _ *smapi.ListSecretsInput) (struct{}, api.Access, error) {
	return struct{}{}, everything(r), nil
}

func (s *Service) listSecrets(r *api.Request, in *smapi.ListSecretsInput, _ struct{}) (*smapi.ListSecretsOutput, error) {
	l := listing{
		account: r.Account,
		region:  r.Region,
		by:      smapi.SortByTypeCreatedDate,
		desc:    str(in.SortOrder) == smapi.SortOrderTypeDesc,
		marked:  isTrue(in.IncludePlannedDeletion),
		limit:   maxPage,
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
	found, next, err := l.page(r.Tx)
	if err != nil {
		return nil, err
	}
	out := &smapi.ListSecretsOutput{SecretList: make([]smapi.SecretListEntry, len(found))}
	for i, sec := range found {
		out.SecretList[i] = sec.entry()
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
		p = append(p, fmt.Sprint(len(filters[i].Values)), str(filters[i].Key))
		p = append(p, filters[i].Values...)
	}
	return p
}

func compile(filters []smapi.Filter) (matcher, error) {
	list := make([]searchFilter, len(filters))
	for i := range filters {
		list[i] = searchFilter{Key: str(filters[i].Key), Values: filters[i].Values}
	}
	return compileFilters(list)
}

func (l *listing) wants(s *Secret) bool {
	if s.Deleted != 0 && !l.marked {
		return false
	}
	if len(l.match.filters) == 0 {
		return true
	}
	subject := searchSubject{Name: s.Name, Description: s.Description}
	if len(s.Tags) > 0 {
		subject.Tags = make([]searchTag, len(s.Tags))
		for i, t := range s.Tags {
			subject.Tags[i] = searchTag{Key: t.Key, Value: t.Value}
		}
	}
	return l.match.match(&subject)
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
// there is no more.
func (l *listing) page(tx *table.Tx) ([]*Secret, *position, error) {
	prefixes, bounded := l.match.namePrefixes()
	if !bounded {
		prefixes = []string{""}
	}
	p := pager{listing: l}
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
	if err != nil || !p.more {
		return p.found, nil, err
	}
	return p.found, &p.last, nil
}

// pager fills a page from secrets that come in order.
type pager struct {
	*listing
	found   []*Secret
	last    position // what has been dealt with
	visited int
	more    bool
}

// offer takes the next secret in order and reports whether to go on. It goes on
// behind a full page up to the next match, so that the last page has no token.
func (p *pager) offer(s *Secret) bool {
	if p.wants(s) {
		if len(p.found) == p.limit {
			p.more = true
			return false
		}
		p.found = append(p.found, s)
	}
	p.last = p.position(s)
	p.visited++
	p.more = p.visited == maxVisited
	return !p.more
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
			if !p.offer(e.Value) {
				return nil
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
		if !p.offer(s) {
			return nil
		}
	}
	return nil
}

// gather finds the secrets under name prefixes and sorts them, which is far
// less than going through the index when few match. Not ok: there are too many.
func (p *pager) gather(tx *table.Tx, prefixes []string) (ok bool, err error) {
	var all []*Secret
	seen := 0
	for _, prefix := range prefixes {
		for e, err := range Secrets.Scan(tx, table.Range{Prefix: table.K(p.account, p.region, prefix), Partial: true}) {
			if err != nil {
				return false, err
			}
			if seen++; seen > maxGathered {
				return false, nil
			}
			if p.wants(e.Value) && (p.from == nil || p.compare(p.position(e.Value), *p.from) > 0) {
				all = append(all, e.Value)
			}
		}
	}
	slices.SortFunc(all, func(a, b *Secret) int { return p.compare(p.position(a), p.position(b)) })
	for _, s := range all {
		if !p.offer(s) {
			break
		}
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

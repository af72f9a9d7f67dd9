package lambda

import (
	"context"
	"errors"
	"fmt"

	"coffer/internal/table"
)

// Check is the service's part of fsck: it follows every reference between rows, and adds
// up what is counted. report gets one sentence per finding. The error is of the store,
// and ends the check. tx must be a View's.
func (s *Service) Check(ctx context.Context, tx *table.Tx, report func(format string, args ...any)) error {
	c := checker{
		ctx: ctx, tx: tx, report: report, functions: make(map[string]bool),
		uses: make(map[table.Key]int), accounts: make(map[table.Key]*Account), backlogs: make(map[table.Key]int),
	}
	return errors.Join(
		each(c, &Purges, func(p *Purge) error { c.functions[p.UID] = true; return nil }),
		each(c, &Functions, c.function),
		each(c, &Versions, c.version),
		each(c, &Aliases, func(a *Alias) error { return c.owned("alias "+a.Name, a.UID) }),
		each(c, &Policies, func(p *Permissions) error { return c.owned("policy of "+p.Qualifier, p.UID) }),
		each(c, &EventConfigs, func(e *EventConfig) error { return c.owned("event configuration of "+e.Qualifier, e.UID) }),
		each(c, &LayerVersions, c.layer),
		each(c, &Packages, c.stored),
		each(c, &Accounts, c.account),
		each(c, &Events, func(q *Queued) error { c.backlogs[table.K(q.Account, q.Region)]++; return nil }),
		each(c, &Backlogs, c.backlog),
		c.rest(),
	)
}

type checker struct {
	ctx       context.Context
	tx        *table.Tx
	report    func(format string, args ...any)
	functions map[string]bool        // UIDs that are known, also of those being purged
	uses      map[table.Key]int      // of packages
	accounts  map[table.Key]*Account // what they have
	backlogs  map[table.Key]int      // events
}

// each checks the records of a collection. A damaged row ends it: what is
// behind cannot be told apart from what is missing.
func each[T any](c checker, rows *table.Collection[T], check func(*T) error) error {
	for e, err := range rows.Scan(c.tx, table.Range{}) {
		if errors.Is(err, table.ErrDamaged) {
			c.report("%s: %v; the rows behind it are not checked", rows.Name, err)
			return nil
		}
		if err != nil {
			return err
		}
		if rows.Key(e.Value) != e.Key {
			c.report("%s: row %q holds another record", rows.Name, e.Key.Parts())
		}
		if err := check(e.Value); err != nil {
			return err
		}
		if err := c.ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// of is what an account was found to have.
func (c checker) of(account, region string) *Account {
	k := table.K(account, region)
	if c.accounts[k] == nil {
		c.accounts[k] = &Account{Account: account, Region: region}
	}
	return c.accounts[k]
}

func (c checker) used(region string, v *Version) {
	for _, code := range v.uses() {
		c.uses[code.key(region)]++
	}
}

func (c checker) function(f *Function) error {
	c.functions[f.UID] = true
	a := c.of(f.Account, f.Region)
	a.Functions++
	a.Code += f.Latest.Code.Size
	if f.Reserved != nil {
		a.Reserved += *f.Reserved
	}
	c.used(f.Region, &f.Latest)
	p, err := f.permissions(c.tx, "")
	if err == nil && f.HasPolicy != (p != nil) {
		c.report("function %s: it says it has a policy or has none, and it is not so", f.arn())
	}
	return err
}

func (c checker) version(p *Published) error {
	c.of(p.Account, p.Region).Code += p.Version.Code.Size
	c.used(p.Region, &p.Version)
	return c.owned(fmt.Sprintf("version %d of %s", p.Version.Number, p.Name), p.UID)
}

func (c checker) layer(v *LayerVersion) error {
	c.of(v.Account, v.Region).Code += v.Code.Size
	c.uses[v.Code.key(v.Region)]++
	return nil
}

func (c checker) owned(what, uid string) error {
	if !c.functions[uid] {
		c.report("%s: its function does not exist", what)
	}
	return nil
}

// stored checks a package and that its bytes are there.
func (c checker) stored(p *Stored) error {
	k := table.K(p.Account, p.Region, p.Digest)
	c.of(p.Account, p.Region).Held += p.Size
	if n := c.uses[k]; n != p.Uses {
		c.report("package %s of %s in %s: it counts %d uses and has %d", p.Digest, p.Account, p.Region, p.Uses, n)
	}
	delete(c.uses, k)
	var size int64
	for e, err := range Chunks.Scan(c.tx, table.Range{Prefix: k}) {
		if errors.Is(err, table.ErrDamaged) {
			c.report("package %s of %s in %s: %v", p.Digest, p.Account, p.Region, err)
			return nil
		}
		if err != nil {
			return err
		}
		size += int64(len(e.Value.Bytes))
	}
	if p.Whole && size != p.Size {
		c.report("package %s of %s in %s: %d of its %d bytes are there", p.Digest, p.Account, p.Region, size, p.Size)
	}
	return nil
}

func (c checker) account(a *Account) error {
	if is := *c.of(a.Account, a.Region); is != *a {
		c.report("account %s in %s: it counts %d functions with %d bytes of code, %d bytes of packages and %d reserved, and has %d, %d, %d and %d",
			a.Account, a.Region, a.Functions, a.Code, a.Held, a.Reserved, is.Functions, is.Code, is.Held, is.Reserved)
	}
	delete(c.accounts, table.K(a.Account, a.Region))
	return nil
}

func (c checker) backlog(b *Backlog) error {
	k := table.K(b.Account, b.Region)
	if n := c.backlogs[k]; n != b.Events {
		c.report("account %s in %s: it counts %d events and has %d", b.Account, b.Region, b.Events, n)
	}
	delete(c.backlogs, k)
	return nil
}

// rest reports what was counted and stands nowhere.
func (c checker) rest() error {
	for k := range c.uses {
		c.report("package %q does not exist and is used", k.Parts())
	}
	for k := range c.accounts {
		c.report("account %q has functions and counts nothing", k.Parts())
	}
	for k := range c.backlogs {
		c.report("account %q has events and counts none", k.Parts())
	}
	return nil
}

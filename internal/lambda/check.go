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
		Fsck: &table.Fsck{Ctx: ctx, Tx: tx, Report: report}, functions: make(map[string]bool), purged: make(map[string]bool), layers: make(map[table.Key]int),
		uses: make(map[table.Key]int), accounts: make(map[table.Key]*Account), backlogs: make(map[table.Key]int),
	}
	return errors.Join(
		table.Each(c.Fsck, &Purges, func(p *Purge) error { c.functions[p.UID], c.purged[p.UID] = true, true; return nil }),
		table.Each(c.Fsck, &Functions, c.function),
		table.Each(c.Fsck, &Versions, c.version),
		table.Each(c.Fsck, &Aliases, c.alias),
		table.Each(c.Fsck, &Policies, func(p *Permissions) error { return c.owned("policy of "+p.Qualifier, p.UID) }),
		table.Each(c.Fsck, &EventConfigs, func(e *EventConfig) error { return c.owned("event configuration of "+e.Qualifier, e.UID) }),
		table.Each(c.Fsck, &LayerVersions, c.layerVersion),
		table.Each(c.Fsck, &Layers, c.layer),
		table.Each(c.Fsck, &Packages, c.stored),
		table.Each(c.Fsck, &Accounts, c.account),
		table.Each(c.Fsck, &Events, func(q *Queued) error { c.backlogs[table.K(q.Account, q.Region)]++; return nil }),
		table.Each(c.Fsck, &Backlogs, c.backlog),
		c.rest(),
	)
}

type checker struct {
	*table.Fsck
	functions map[string]bool        // UIDs that are known, also of those being purged
	purged    map[string]bool        // UIDs of those alone
	layers    map[table.Key]int      // versions of layers
	uses      map[table.Key]int      // of packages
	accounts  map[table.Key]*Account // what they have
	backlogs  map[table.Key]int      // events
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
	return c.governed("function "+f.arn(), f, "", f.HasPolicy)
}

// governed checks that there is a policy exactly where one is said to be.
func (c checker) governed(what string, f *Function, qualifier string, has bool) error {
	p, err := f.permissions(c.Tx, qualifier)
	if err == nil && has != (p != nil) {
		c.Report("%s: it says it has a policy or has none, and it is not so", what)
	}
	return err
}

func (c checker) version(p *Published) error {
	c.of(p.Account, p.Region).Code += p.Version.Code.Size
	c.used(p.Region, &p.Version)
	what := fmt.Sprintf("version %d of %s", p.Version.Number, p.Name)
	f := &Function{Account: p.Account, Region: p.Region, UID: p.UID}
	if c.purged[p.UID] {
		return nil // in whatever state the purge is
	}
	return errors.Join(c.owned(what, p.UID), c.governed(what, f, p.Version.name(), p.Version.HasPolicy))
}

// alias checks that the versions are there that an alias means.
func (c checker) alias(a *Alias) error {
	if c.purged[a.UID] {
		return nil
	}
	what := "alias " + a.Name + " of " + a.UID
	f := &Function{Account: a.Account, Region: a.Region, UID: a.UID}
	means := []int{a.Version}
	if a.Also != nil {
		means = append(means, a.Also.Version)
	}
	for _, n := range means {
		v, err := f.published(c.Tx, n)
		if err != nil {
			return err
		}
		if v == nil {
			c.Report("%s: version %d does not exist", what, n)
		}
	}
	return errors.Join(c.owned(what, a.UID), c.governed(what, f, a.Name, a.HasPolicy))
}

func (c checker) layerVersion(v *LayerVersion) error {
	c.of(v.Account, v.Region).Code += v.Code.Size
	c.uses[v.Code.key(v.Region)]++
	c.layers[table.K(v.Account, v.Region, v.Layer)]++
	return nil
}

// layer checks that a layer has as many versions as it counts.
func (c checker) layer(l *Layer) error {
	k := table.K(l.Account, l.Region, l.Name)
	if n := c.layers[k]; n != l.Versions {
		c.Report("layer %s of %s in %s: it counts %d versions and has %d", l.Name, l.Account, l.Region, l.Versions, n)
	}
	delete(c.layers, k)
	return nil
}

func (c checker) owned(what, uid string) error {
	if !c.functions[uid] {
		c.Report("%s: its function does not exist", what)
	}
	return nil
}

// stored checks a package and that its bytes are there.
func (c checker) stored(p *Stored) error {
	k := table.K(p.Account, p.Region, p.Digest)
	c.of(p.Account, p.Region).Held += p.Size
	if n := c.uses[k]; n != p.Uses {
		c.Report("package %s of %s in %s: it counts %d uses and has %d", p.Digest, p.Account, p.Region, p.Uses, n)
	}
	delete(c.uses, k)
	var size int64
	for e, err := range Chunks.Scan(c.Tx, table.Range{Prefix: k}) {
		if errors.Is(err, table.ErrDamaged) {
			c.Report("package %s of %s in %s: %v", p.Digest, p.Account, p.Region, err)
			return nil
		}
		if err != nil {
			return err
		}
		size += int64(len(e.Value.Bytes))
	}
	if p.Whole && size != p.Size {
		c.Report("package %s of %s in %s: %d of its %d bytes are there", p.Digest, p.Account, p.Region, size, p.Size)
	}
	return nil
}

func (c checker) account(a *Account) error {
	if is := *c.of(a.Account, a.Region); is != *a {
		c.Report("account %s in %s: it counts %d functions with %d bytes of code, %d bytes of packages and %d reserved, and has %d, %d, %d and %d",
			a.Account, a.Region, a.Functions, a.Code, a.Held, a.Reserved, is.Functions, is.Code, is.Held, is.Reserved)
	}
	delete(c.accounts, table.K(a.Account, a.Region))
	return nil
}

func (c checker) backlog(b *Backlog) error {
	k := table.K(b.Account, b.Region)
	if n := c.backlogs[k]; n != b.Events {
		c.Report("account %s in %s: it counts %d events and has %d", b.Account, b.Region, b.Events, n)
	}
	delete(c.backlogs, k)
	return nil
}

// rest reports what was counted and stands nowhere.
func (c checker) rest() error {
	for k := range c.uses {
		c.Report("package %q does not exist and is used", k.Parts())
	}
	for k := range c.layers {
		c.Report("layer %q does not exist and has versions", k.Parts())
	}
	for k := range c.accounts {
		c.Report("account %q has functions and counts nothing", k.Parts())
	}
	for k := range c.backlogs {
		c.Report("account %q has events and counts none", k.Parts())
	}
	return nil
}

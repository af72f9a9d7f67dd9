package policy

// Users and roles are named in policies by ARN and meant as the individuals
// that they are when the policy is written: AWS keeps them by unique id, so that a
// user made later under the name of a deleted one has none of its access
// ("Principal": "when you save the policy, the ARN is transformed to a unique principal ID").

// Individuals returns the users, roles and sessions of roles that the document names, each
// once: their ARNs, and unique ids written as such.
func (d *Document) Individuals() []string {
	var out []string
	seen := map[string]bool{}
	d.principals(func(p *Principal) {
		if (p.individual() || p.Type == UniqueID) && !seen[p.Text] {
			seen[p.Text] = true
			out = append(out, p.Text)
		}
	})
	return out
}

// AccountsNamed returns the accounts of all principals that the document names
// by ARN or account id, each once.
func (d *Document) AccountsNamed() []string {
	var out []string
	seen := map[string]bool{"": true}
	d.principals(func(p *Principal) {
		if !seen[p.Account] {
			seen[p.Account] = true
			out = append(out, p.Account)
		}
	})
	return out
}

// Bind fixes the users, roles and sessions of roles that the document names: ids has their unique
// ids by ARN, of a session that of its role, as they were when the policy was written. It is part of making the
// document, before anybody else sees it.
func (d *Document) Bind(ids map[string]string) {
	if len(ids) == 0 {
		return
	}
	d.principals(func(p *Principal) {
		if p.individual() {
			p.ID = ids[p.Text]
		}
	})
}

func (p *Principal) individual() bool { return p.Type == User || p.Type == Role || p.Type == Session }

func (d *Document) principals(visit func(*Principal)) {
	for i := range d.Statements {
		if ps := d.Statements[i].Principals; ps != nil {
			for j := range ps.AWS {
				visit(&ps.AWS[j])
			}
		}
	}
}

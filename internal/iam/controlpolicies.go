package iam

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"coffer/internal/policy"
	"coffer/internal/table"
)

// AWS's limits of control policies ("Quotas and service limits for AWS
// Organizations"). The characters are all that the document has: white space counts, unless
// the AWS console takes it out.
const (
	maxServiceControl  = 10240
	maxResourceControl = 5120
	maxServiceAttached = 10 // to one root, unit or account
	// One of five is AWS's own, RCPFullAWSAccess, which cannot be detached.
	maxResourceAttached = 5 - 1

	fullAccessName = "FullAWSAccess"
	// fullAccessText is what FullAWSAccess says.
	fullAccessText = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
)

// controlName is what a control policy may be called. AWS takes any characters.
var controlName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 _+=,.@-]{0,127}$`)

// maxControlDescription is in characters.
const maxControlDescription = 512

// kindName is what people call a control policy.
func kindName(resource bool) string {
	if resource {
		return policy.ResourceControlPolicy.String()
	}
	return policy.ServiceControlPolicy.String()
}

// checkControlPolicy holds a document to the grammar of its kind ("SCP syntax",
// "RCP syntax" in the AWS Organizations user guide).
func checkControlPolicy(text string, resource bool) error {
	limit, kind := maxServiceControl, policy.Identity
	if resource {
		limit, kind = maxResourceControl, policy.Resource
	}
	if n := utf8.RuneCountInString(text); n > limit {
		return fmt.Errorf("a %s has at most %d characters, white space included; this one has %d, of which %d would be left without the white space between its elements",
			kindName(resource), limit, n, policy.Length([]byte(text)))
	}
	d, err := policy.Parse([]byte(text), kind)
	if err != nil {
		return fmt.Errorf("this is no %s: %w", kindName(resource), err)
	}
	if d.Version != policy.Version2012 {
		return fmt.Errorf(`a %s must have "Version": %q`, kindName(resource), policy.Version2012)
	}
	if !resource {
		return nil
	}
	for i := range d.Statements {
		if err := checkResourceControl(&d.Statements[i]); err != nil {
			return fmt.Errorf("statement %d of the resource control policy: %w", i+1, err)
		}
	}
	return nil
}

// checkResourceControl holds a statement to what resource control policies can say: they
// deny, everybody, actions of named services.
func checkResourceControl(s *policy.Statement) error {
	p := s.Principals
	switch {
	case s.Effect != policy.Deny:
		return errors.New(`its Effect must be "Deny": such policies take away and give nothing`)
	case s.NotPrincipal || !p.Any || len(p.AWS)+len(p.Service)+len(p.Federated)+len(p.CanonicalUser) > 0:
		return errors.New(`its Principal must be "*"; name principals in a Condition, such as on aws:PrincipalArn`)
	case s.NotAction:
		return errors.New("it cannot use NotAction; name the actions in Action")
	}
	for _, a := range s.Actions {
		service, _, _ := strings.Cut(strings.ToLower(a), ":")
		switch service {
		case "*":
			return errors.New(`its Action cannot be "*"; name the service, such as "secretsmanager:*"`)
		case "iam", "organizations":
			return fmt.Errorf("resource control policies do not cover %s", service)
		}
	}
	return nil
}

// PutControlPolicy makes a control policy of this name, or gives the one there is
// another document. kind is "scp" or "rcp"; empty for what the policy is already, or else
// a service control policy. An empty description leaves it as it is.
func (o *Organization) PutControlPolicy(tx *table.Tx, name, kind, description, text string) (p *ControlPolicy, fresh bool, err error) {
	resource := kind == "rcp"
	switch {
	case !controlName.MatchString(name) || strings.HasPrefix(name, "p-"):
		return nil, false, fmt.Errorf("policy name %q must be 1 to 128 letters, digits, blanks or _+=,.@-, start with a letter or digit, and not with p-", name)
	case name == fullAccessName || name == "RCP"+fullAccessName:
		return nil, false, fmt.Errorf("%s is AWS's own policy and cannot be changed", name)
	case kind != "" && kind != "scp" && kind != "rcp":
		return nil, false, fmt.Errorf("type %q is neither scp (service control policy) nor rcp (resource control policy)", kind)
	case utf8.RuneCountInString(description) > maxControlDescription:
		return nil, false, fmt.Errorf("a description has at most %d characters", maxControlDescription)
	}
	p, err = first(tx, &ControlPolicies, controlByName, table.K(o.ID, name))
	switch {
	case errors.Is(err, table.ErrNotFound):
		p, fresh = &ControlPolicy{ID: "p-" + randomName(10), Organization: o.ID, Name: name, Resource: resource}, true
	case err != nil:
		return nil, false, err
	case kind != "" && p.Resource != resource:
		return nil, false, fmt.Errorf("%q is a %s; a policy cannot become one of another type: choose another name", name, kindName(p.Resource))
	default:
		if p, err = ControlPolicies.Load(tx, table.K(p.ID)); err != nil {
			return nil, false, err
		}
	}
	if err := checkControlPolicy(text, p.Resource); err != nil {
		return nil, false, err
	}
	p.Text = text
	if description != "" {
		p.Description = description
	}
	if err := ControlPolicies.Put(tx, p); err != nil {
		return nil, false, err
	}
	return p, fresh, changed(tx, organizationEpoch)
}

// FindControlPolicy finds a control policy by name or id. The record is shared.
func (o *Organization) FindControlPolicy(tx *table.Tx, ref string) (*ControlPolicy, error) {
	if ref == fullAccess || ref == fullAccessName {
		return &ControlPolicy{
			ID: fullAccess, Organization: o.ID, Name: fullAccessName, Text: fullAccessText,
			Description: "Allows access to every operation",
		}, nil
	}
	p, err := first(tx, &ControlPolicies, controlByName, table.K(o.ID, ref))
	if errors.Is(err, table.ErrNotFound) && strings.HasPrefix(ref, "p-") {
		p, err = ControlPolicies.Get(tx, table.K(ref))
	}
	if errors.Is(err, table.ErrNotFound) || err == nil && p.Organization != o.ID {
		return nil, fmt.Errorf("organisation %s has no control policy %q; `coffer account org policy list` shows those that there are", o.ID, ref)
	}
	return p, err
}

// ControlPolicies returns the organisation's control policies by name, AWS's own first.
func (o *Organization) ControlPolicies(tx *table.Tx) ([]*ControlPolicy, error) {
	own, err := o.FindControlPolicy(tx, fullAccess)
	if err != nil {
		return nil, err
	}
	all := []*ControlPolicy{own}
	for e, err := range ControlPolicies.ScanIndex(tx, controlByName, table.Range{Prefix: table.K(o.ID)}) {
		if err != nil {
			return nil, err
		}
		p, err := ControlPolicies.Get(tx, e.Record)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// PolicyTargets returns the ids of what a control policy is attached to in the organisation.
func (o *Organization) PolicyTargets(tx *table.Tx, p *ControlPolicy) ([]string, error) {
	ids := []string{}
	for e, err := range Targets.ScanIndex(tx, targetByPolicy, table.Range{Prefix: table.K(p.ID)}) {
		if err != nil {
			return nil, err
		}
		t, err := Targets.Get(tx, e.Record)
		if err != nil {
			return nil, err
		}
		if t.Organization == o.ID { // FullAWSAccess is everywhere
			ids = append(ids, t.ID)
		}
	}
	return ids, nil
}

// target finds a root, unit or account of the organisation: by id, a unit by its
// path, an account by its name. The record is private.
func (o *Organization) target(tx *table.Tx, ref string) (*Target, error) {
	unit, err := o.unit(tx, ref)
	if err != nil && !errors.Is(err, errNoUnit) {
		return nil, err
	}
	account := ""
	if !strings.Contains(ref, "/") {
		switch a, err := FindAccount(tx, ref); {
		case err == nil:
			account = a.ID
		case !errors.Is(err, ErrAccount):
			return nil, err
		}
	}
	switch {
	case unit != "" && account != "":
		return nil, fmt.Errorf("%q is a unit and an account; write /%s for the unit, or %s for the account", ref, ref, account)
	case unit != "":
		return Targets.Load(tx, table.K(unit))
	case account == "":
		return nil, fmt.Errorf("organisation %s has no unit or account %q; `coffer account org show` lists them; / is the root, /prod a unit in it", o.ID, ref)
	}
	if _, _, err := o.member(tx, account); err != nil {
		return nil, err
	}
	return Targets.Load(tx, table.K(account))
}

// AttachControlPolicy attaches a control policy to a root, unit or account. It
// returns the target's id.
func (o *Organization) AttachControlPolicy(tx *table.Tx, name, target string) (string, error) {
	p, err := o.FindControlPolicy(tx, name)
	if err != nil {
		return "", err
	}
	t, err := o.target(tx, target)
	if err != nil {
		return "", err
	}
	if slices.Contains(t.Policies, p.ID) {
		return "", fmt.Errorf("%q is attached to %s already", p.Name, t.ID)
	}
	service, resource, err := attachedKinds(tx, t)
	if err != nil {
		return "", err
	}
	if n, limit := len(service), maxServiceAttached; !p.Resource && n >= limit {
		return "", fmt.Errorf("%s has %d service control policies; more cannot be attached to one root, unit or account: merge some, or detach one first", t.ID, n)
	}
	if n, limit := len(resource), maxResourceAttached; p.Resource && n >= limit {
		return "", fmt.Errorf("%s has %d resource control policies beside AWS's own; more cannot be attached to one root, unit or account: merge some, or detach one first", t.ID, n)
	}
	t.Policies = append(t.Policies, p.ID)
	if err := Targets.Put(tx, t); err != nil {
		return "", err
	}
	return t.ID, changed(tx, organizationEpoch)
}

// DetachControlPolicy detaches a control policy. One service control policy always
// stays. It returns the target's id.
func (o *Organization) DetachControlPolicy(tx *table.Tx, name, target string) (string, error) {
	p, err := o.FindControlPolicy(tx, name)
	if err != nil {
		return "", err
	}
	t, err := o.target(tx, target)
	if err != nil {
		return "", err
	}
	i := slices.Index(t.Policies, p.ID)
	if i < 0 {
		return "", fmt.Errorf("%q is not attached to %s", p.Name, t.ID)
	}
	service, _, err := attachedKinds(tx, t)
	if err != nil {
		return "", err
	}
	if !p.Resource && len(service) == 1 {
		return "", fmt.Errorf("%q is the last service control policy of %s, which must have one: without any, nothing would be allowed; attach another first, such as %s", p.Name, t.ID, fullAccessName)
	}
	t.Policies = slices.Delete(t.Policies, i, i+1)
	if err := Targets.Put(tx, t); err != nil {
		return "", err
	}
	return t.ID, changed(tx, organizationEpoch)
}

// attachedKinds parts what is attached to a target.
func attachedKinds(tx *table.Tx, t *Target) (service, resource []string, err error) {
	for _, id := range t.Policies {
		if id == fullAccess {
			service = append(service, id)
			continue
		}
		p, err := ControlPolicies.Get(tx, table.K(id))
		if err != nil {
			return nil, nil, fmt.Errorf("control policy %s: %w", id, err)
		}
		if p.Resource {
			resource = append(resource, id)
		} else {
			service = append(service, id)
		}
	}
	return service, resource, nil
}

// DeleteControlPolicy deletes a control policy that is attached nowhere.
func (o *Organization) DeleteControlPolicy(tx *table.Tx, name string) error {
	p, err := o.FindControlPolicy(tx, name)
	if err != nil {
		return err
	}
	if p.ID == fullAccess {
		return fmt.Errorf("%s is AWS's own policy and cannot be deleted; it can be detached", fullAccessName)
	}
	for e, err := range Targets.ScanIndex(tx, targetByPolicy, table.Range{Prefix: table.K(p.ID)}) {
		if err != nil {
			return err
		}
		id := e.Record.Parts()[0]
		return fmt.Errorf("%q is attached to %s; detach it first, with `coffer account org policy detach %s %s`", p.Name, id, p.ID, id)
	}
	if err := ControlPolicies.Delete(tx, table.K(p.ID)); err != nil {
		return err
	}
	return changed(tx, organizationEpoch)
}

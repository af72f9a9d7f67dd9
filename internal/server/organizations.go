package server

import (
	"context"
	"net/http"
	"time"

	"coffer/internal/iam"
	"coffer/internal/table"
)

// OrganizationInfo is an organisation as the control socket tells of it.
type OrganizationInfo struct {
	ID         string                `json:"organization"`
	Management string                `json:"managementAccount"`
	Created    string                `json:"created"`
	Root       *iam.OrganizationNode `json:"root"`
}

// ControlPolicyInfo is a control policy as the control socket tells of it.
type ControlPolicyInfo struct {
	ID           string   `json:"policy"`
	Name         string   `json:"name"`
	Organization string   `json:"organization"`
	Type         string   `json:"type"` // "scp" or "rcp"
	Description  string   `json:"description,omitempty"`
	Document     string   `json:"document"`
	AttachedTo   []string `json:"attachedTo"` // ids
}

// OrganizationRequest asks for a change. Which members count depends on what is
// asked for.
type OrganizationRequest struct {
	Org         string `json:"org,omitempty"`     // id or management account; empty: the only one
	Account     string `json:"account,omitempty"` // id or name
	Unit        string `json:"unit,omitempty"`    // id or path
	Policy      string `json:"policy,omitempty"`  // name or id
	To          string `json:"to,omitempty"`      // a unit; a target of policies
	Name        string `json:"name,omitempty"`
	Type        string `json:"type,omitempty"` // "scp", "rcp"
	Description string `json:"description,omitempty"`
	Document    string `json:"document,omitempty"`
}

func (in *OrganizationRequest) details() details {
	return details{
		"org": in.Org, "account": in.Account, "unit": in.Unit, "policy": in.Policy, "to": in.To, "name": in.Name,
		"type": in.Type, "description": in.Description, "document": in.Document,
	}
}

// OrganizationChange is what was changed.
type OrganizationChange struct {
	Organization string `json:"organization"`
	ID           string `json:"id"` // of the unit, account, target or policy
	Name         string `json:"name,omitempty"`
	Fresh        bool   `json:"fresh,omitempty"` // it was not there before
}

// changer makes one kind of change to an organisation.
type changer func(tx *table.Tx, o *iam.Organization, in *OrganizationRequest, now time.Time) (OrganizationChange, error)

// organizationChanges are the changes by the path of their request.
var organizationChanges = map[string]struct {
	event string // in the audit log; AWS Organizations' name where it has the operation
	make  changer
}{
	"delete": {"DeleteOrganization", func(tx *table.Tx, o *iam.Organization, _ *OrganizationRequest, _ time.Time) (OrganizationChange, error) {
		return OrganizationChange{ID: o.ID}, o.Delete(tx)
	}},
	"add": {"AddAccount", func(tx *table.Tx, o *iam.Organization, in *OrganizationRequest, now time.Time) (OrganizationChange, error) {
		return accountChange(o.AddAccount(tx, in.Account, in.To, now))
	}},
	"move": {"MoveAccount", func(tx *table.Tx, o *iam.Organization, in *OrganizationRequest, _ time.Time) (OrganizationChange, error) {
		return accountChange(o.MoveAccount(tx, in.Account, in.To))
	}},
	"remove": {"RemoveAccountFromOrganization", func(tx *table.Tx, o *iam.Organization, in *OrganizationRequest, _ time.Time) (OrganizationChange, error) {
		return accountChange(o.RemoveAccount(tx, in.Account))
	}},
	"unit/create": {"CreateOrganizationalUnit", func(tx *table.Tx, o *iam.Organization, in *OrganizationRequest, _ time.Time) (OrganizationChange, error) {
		return unitChange(o.CreateUnit(tx, in.Unit))
	}},
	"unit/rename": {"UpdateOrganizationalUnit", func(tx *table.Tx, o *iam.Organization, in *OrganizationRequest, _ time.Time) (OrganizationChange, error) {
		return unitChange(o.RenameUnit(tx, in.Unit, in.Name))
	}},
	"unit/move": {"MoveOrganizationalUnit", func(tx *table.Tx, o *iam.Organization, in *OrganizationRequest, _ time.Time) (OrganizationChange, error) {
		return unitChange(o.MoveUnit(tx, in.Unit, in.To))
	}},
	"unit/delete": {"DeleteOrganizationalUnit", func(tx *table.Tx, o *iam.Organization, in *OrganizationRequest, _ time.Time) (OrganizationChange, error) {
		return OrganizationChange{Name: in.Unit}, o.DeleteUnit(tx, in.Unit)
	}},
	"policy/put": {"PutPolicy", func(tx *table.Tx, o *iam.Organization, in *OrganizationRequest, _ time.Time) (OrganizationChange, error) {
		p, fresh, err := o.PutControlPolicy(tx, in.Policy, in.Type, in.Description, in.Document)
		if err != nil {
			return OrganizationChange{}, err
		}
		return OrganizationChange{ID: p.ID, Name: p.Name, Fresh: fresh}, nil
	}},
	"policy/attach": {"AttachPolicy", func(tx *table.Tx, o *iam.Organization, in *OrganizationRequest, _ time.Time) (c OrganizationChange, err error) {
		c.ID, err = o.AttachControlPolicy(tx, in.Policy, in.To)
		return c, err
	}},
	"policy/detach": {"DetachPolicy", func(tx *table.Tx, o *iam.Organization, in *OrganizationRequest, _ time.Time) (c OrganizationChange, err error) {
		c.ID, err = o.DetachControlPolicy(tx, in.Policy, in.To)
		return c, err
	}},
	"policy/delete": {"DeletePolicy", func(tx *table.Tx, o *iam.Organization, in *OrganizationRequest, _ time.Time) (OrganizationChange, error) {
		return OrganizationChange{Name: in.Policy}, o.DeleteControlPolicy(tx, in.Policy)
	}},
}

func accountChange(a *iam.Account, err error) (OrganizationChange, error) {
	if err != nil {
		return OrganizationChange{}, err
	}
	return OrganizationChange{ID: a.ID, Name: a.Name}, nil
}

func unitChange(u *iam.Unit, err error) (OrganizationChange, error) {
	if err != nil {
		return OrganizationChange{}, err
	}
	return OrganizationChange{ID: u.ID, Name: u.Name}, nil
}

// organizationRoutes adds what the control socket serves of organisations.
func (s *Server) organizationRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /organizations", control(func(ctx context.Context, _ struct{}) (list []OrganizationInfo, err error) {
		err = s.db.View(ctx, func(tx *table.Tx) error {
			list, err = describeOrganizations(tx)
			return err
		})
		return list, err
	}))
	mux.HandleFunc("GET /organizations/policies", control(func(ctx context.Context, _ struct{}) (list []ControlPolicyInfo, err error) {
		err = s.db.View(ctx, func(tx *table.Tx) error {
			list, err = describeControlPolicies(tx)
			return err
		})
		return list, err
	}))
	mux.HandleFunc("POST /organizations", control(func(ctx context.Context, in OrganizationRequest) (c OrganizationChange, err error) {
		err = s.change(ctx, "CreateOrganization", in.details(), func(tx *table.Tx, now time.Time) (string, details, error) {
			o, err := iam.CreateOrganization(tx, in.Account, now)
			if err != nil {
				return "", nil, err
			}
			c = OrganizationChange{Organization: o.ID, ID: o.Management, Fresh: true}
			return o.Management, details{"org": o.ID}, nil
		})
		return c, err
	}))
	for path, change := range organizationChanges {
		mux.HandleFunc("POST /organizations/"+path, control(func(ctx context.Context, in OrganizationRequest) (c OrganizationChange, err error) {
			err = s.change(ctx, change.event, in.details(), func(tx *table.Tx, now time.Time) (string, details, error) {
				o, err := iam.FindOrganization(tx, in.Org)
				if err != nil {
					return "", nil, err
				}
				if c, err = change.make(tx, o, &in, now); err != nil {
					return "", nil, err
				}
				c.Organization = o.ID
				return o.Management, details{"org": o.ID, "id": c.ID}, nil
			})
			return c, err
		}))
	}
}

func describeOrganizations(tx *table.Tx) ([]OrganizationInfo, error) {
	list := []OrganizationInfo{}
	all, err := iam.ListOrganizations(tx)
	for _, o := range all {
		root, err := o.Describe(tx)
		if err != nil {
			return nil, err
		}
		list = append(list, OrganizationInfo{ID: o.ID, Management: o.Management, Created: shownTime(o.Created), Root: root})
	}
	return list, err
}

func describeControlPolicies(tx *table.Tx) ([]ControlPolicyInfo, error) {
	list := []ControlPolicyInfo{}
	all, err := iam.ListOrganizations(tx)
	for _, o := range all {
		policies, err := o.ControlPolicies(tx)
		if err != nil {
			return nil, err
		}
		for _, p := range policies {
			info := ControlPolicyInfo{ID: p.ID, Name: p.Name, Organization: o.ID, Type: "scp", Description: p.Description, Document: p.Text}
			if p.Resource {
				info.Type = "rcp"
			}
			if info.AttachedTo, err = o.PolicyTargets(tx, p); err != nil {
				return nil, err
			}
			list = append(list, info)
		}
	}
	return list, err
}

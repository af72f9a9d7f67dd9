package iam

import (
	"errors"
	"fmt"
	"time"

	"coffer/internal/table"
)

// OwnRole is a service-linked role that a service of Coffer's makes for itself, the first
// time that it needs it in an account.
type OwnRole struct {
	Service     string // "lambda.amazonaws.com"
	Name        string // what follows AWSServiceRoleFor
	Description string
	Policy      string // what it allows
}

// Ensure gives the role's ARN in an account. tx writes if there is no such role yet, or
// one that allows something else: of an earlier release.
func (o *OwnRole) Ensure(tx *table.Tx, account, partition string, now time.Time) (string, error) {
	name := linkedName + o.Name
	role, err := findRole(tx, account, name)
	switch {
	case errors.Is(err, table.ErrNotFound):
		role, err = o.make(tx, account, name, now)
	case err == nil && (role.Service != o.Service || role.Name != name):
		// Somebody else made it, and who can take it is theirs to say.
		return "", fmt.Errorf("the role %s of account %s is not the service-linked role of %s: delete it", role.Name, account, o.Service)
	case err == nil:
		err = o.renew(tx, role)
	}
	if err != nil {
		return "", err
	}
	return role.ARN(partition), nil
}

// ARN is the role's ARN in an account, whether it was needed there already or not.
func (o *OwnRole) ARN(account, partition string) string {
	return arnOf(partition, account, "role", linkedPath+o.Service+"/", linkedName+o.Name)
}

func (o *OwnRole) make(tx *table.Tx, account, name string, now time.Time) (*Role, error) {
	role := &Role{
		ID: newID("AROA"), Account: account, Name: name, Path: linkedPath + o.Service + "/", Created: table.At(now),
		Description: o.Description, MaxSession: defaultMaxSession, Service: o.Service, Trust: linkedTrust(o.Service),
	}
	if err := roleCounter.add(tx, account); err != nil {
		return nil, err
	}
	if err := Roles.Insert(tx, role); err != nil {
		return nil, err
	}
	return role, o.renew(tx, role)
}

// renew gives the role its policy, if it does not have it.
func (o *OwnRole) renew(tx *table.Tx, role *Role) error {
	in, err := Inlines.Get(tx, table.K(role.ID))
	if err != nil && !errors.Is(err, table.ErrNotFound) {
		return err
	}
	if err == nil && len(in.Policies) == 1 && in.Policies[0].Text == o.Policy {
		return nil
	}
	if err := Inlines.Put(tx, &Inline{Owner: role.ID, Policies: []*InlinePolicy{{Name: o.Name, Text: o.Policy}}}); err != nil {
		return err
	}
	return changed(tx, role.Account)
}

// linkedTrust lets a service take its service-linked role.
func linkedTrust(service string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":["` + service + `"]},"Action":["sts:AssumeRole"]}]}`
}

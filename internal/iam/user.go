package iam

import (
	"slices"
	"strings"

	"coffer/internal/policy"
	"coffer/internal/table"
)

// User is an IAM user.
type User struct {
	ID       string       `cbor:"1,keyasint"` // AIDA...
	Account  string       `cbor:"2,keyasint"`
	Name     string       `cbor:"3,keyasint"` // unique in the account, whatever its case
	Path     string       `cbor:"4,keyasint"` // "/" or "/a/b/"
	Created  table.Millis `cbor:"5,keyasint"`
	Tags     []policy.Tag `cbor:"6,keyasint,omitempty"`
	Groups   []string     `cbor:"7,keyasint,omitempty"`  // their ids, in the order of joining
	Attached []string     `cbor:"8,keyasint,omitempty"`  // ARNs of managed policies, in the order of attaching
	Boundary string       `cbor:"9,keyasint,omitempty"`  // ARN of a managed policy
	MFA      []string     `cbor:"10,keyasint,omitempty"` // enabled devices: paths and names
}

// Users holds the users by id.
var Users = table.Collection[User]{
	Name:  "iam.user",
	Key:   func(u *User) table.Key { return table.K(u.ID) },
	Clone: (*User).clone,
	Indexes: []table.Index[User]{
		{Name: userByName, Keys: func(u *User) []table.Key { return []table.Key{table.K(u.Account, fold(u.Name))} }},
		{Name: userByPath, Keys: func(u *User) []table.Key { return []table.Key{table.K(u.Account, u.Path, fold(u.Name))} }},
		{Name: userByGroup, Keys: func(u *User) (ks []table.Key) {
			for _, g := range u.Groups {
				ks = append(ks, table.K(g, fold(u.Name)))
			}
			return ks
		}},
		{Name: userByPolicy, Keys: func(u *User) []table.Key { return attachments(u.Account, u.Attached, u.Path, u.Name) }},
		{Name: userByBoundary, Keys: func(u *User) []table.Key { return boundaries(u.Account, u.Boundary, u.Path, u.Name) }},
	},
}

const (
	userByName     = "iam.user.name"
	userByPath     = "iam.user.path"
	userByGroup    = "iam.user.group"
	userByPolicy   = "iam.user.policy"
	userByBoundary = "iam.user.boundary"
)

func (u *User) clone() *User {
	c := *u
	c.Tags, c.Groups, c.Attached, c.MFA = slices.Clone(u.Tags), slices.Clone(u.Groups), slices.Clone(u.Attached), slices.Clone(u.MFA)
	return &c
}

// ARN is the user's ARN in a partition.
func (u *User) ARN(partition string) string {
	return arnOf(partition, u.Account, "user", u.Path, u.Name)
}

// fold is how names compare: IAM does not let two differ in case alone, and
// finds them in any ("IAM identifiers").
func fold(name string) string { return strings.ToLower(name) }

func arnOf(partition, account, kind, path, name string) string {
	return "arn:" + partition + ":iam::" + account + ":" + kind + path + name
}

// attachments are the index keys of an entity under the policies attached to it.
func attachments(account string, arns []string, path, name string) (ks []table.Key) {
	for _, a := range arns {
		ks = append(ks, table.K(account, a, path, fold(name)))
	}
	return ks
}

func boundaries(account, arn, path, name string) []table.Key {
	if arn == "" {
		return nil
	}
	return attachments(account, []string{arn}, path, name)
}

package iam

import (
	"slices"

	"coffer/internal/table"
)

// Group is an IAM group. Its members are found through the users.
type Group struct {
	ID       string       `cbor:"1,keyasint"` // AGPA...
	Account  string       `cbor:"2,keyasint"`
	Name     string       `cbor:"3,keyasint"`
	Path     string       `cbor:"4,keyasint"`
	Created  table.Millis `cbor:"5,keyasint"`
	Attached []string     `cbor:"6,keyasint,omitempty"`
}

// Groups holds the groups by id.
var Groups = table.Collection[Group]{
	Name:  "iam.group",
	Key:   func(g *Group) table.Key { return table.K(g.ID) },
	Clone: (*Group).clone,
	Indexes: []table.Index[Group]{
		{Name: groupByName, Keys: func(g *Group) []table.Key { return []table.Key{table.K(g.Account, fold(g.Name))} }},
		{Name: groupByPath, Keys: func(g *Group) []table.Key { return []table.Key{table.K(g.Account, g.Path, fold(g.Name))} }},
		{Name: groupByPolicy, Keys: func(g *Group) []table.Key { return attachments(g.Account, g.Attached, g.Path, g.Name) }},
	},
}

const (
	groupByName   = "iam.group.name"
	groupByPath   = "iam.group.path"
	groupByPolicy = "iam.group.policy"
)

func (g *Group) clone() *Group {
	c := *g
	c.Attached = slices.Clone(g.Attached)
	return &c
}

// ARN is the group's ARN in a partition.
func (g *Group) ARN(partition string) string {
	return arnOf(partition, g.Account, "group", g.Path, g.Name)
}

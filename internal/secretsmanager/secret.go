package secretsmanager

import (
	"errors"
	"slices"

	"coffer/internal/arn"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// Secret is one secret with its labelled versions.
type Secret struct {
	Account     string       `cbor:"1,keyasint"`
	Region      string       `cbor:"2,keyasint"`
	Name        string       `cbor:"3,keyasint"`
	Suffix      string       `cbor:"4,keyasint"` // the six characters behind the name in the ARN
	UID         string       `cbor:"5,keyasint"` // names the rows of this secret and no other, ever
	Description string       `cbor:"6,keyasint,omitempty"`
	KMSKeyID    string       `cbor:"7,keyasint,omitempty"` // as the caller gave it; empty: the default key
	Created     table.Millis `cbor:"8,keyasint"`
	Changed     table.Millis `cbor:"9,keyasint"`
	Accessed    table.Millis `cbor:"10,keyasint,omitempty"` // a day's midnight, UTC
	Deleted     table.Millis `cbor:"11,keyasint,omitempty"` // when the recovery window ends; zero: live
	Tags        []Tag        `cbor:"12,keyasint,omitempty"`
	Tagged      bool         `cbor:"13,keyasint,omitempty"` // has or had tags: then an empty list is shown
	HasPolicy   bool         `cbor:"14,keyasint,omitempty"` // saves readers the look into sm.policy
	Versions    []Version    `cbor:"15,keyasint,omitempty"` // those with labels
	Deprecated  int          `cbor:"16,keyasint,omitempty"` // how many versions are in sm.deprecated
	CleanAt     table.Millis `cbor:"17,keyasint,omitempty"` // with too many versions: when the oldest may go
	Rotation    *Rotation    `cbor:"18,keyasint,omitempty"` // nil: never configured
}

// Tag is a tag of a secret.
type Tag = policy.Tag

// Version is one version of a secret's value.
type Version struct {
	ID       string       `cbor:"1,keyasint"`
	Created  table.Millis `cbor:"2,keyasint"`
	Accessed table.Millis `cbor:"3,keyasint,omitempty"` // a day's midnight, UTC
	Stages   []string     `cbor:"4,keyasint,omitempty"`
	Keys     []string     `cbor:"5,keyasint,omitempty"` // as ListSecretVersionIds shows them; the last one wraps DataKey
	Kind     valueKind    `cbor:"6,keyasint,omitempty"`
	DataKey  []byte       `cbor:"7,keyasint,omitempty"` // wrapped by KMS
	Value    []byte       `cbor:"8,keyasint,omitempty"` // sealed; empty when it is in sm.value
}

// valueKind tells SecretString from SecretBinary. Stored; append only.
type valueKind uint8

const (
	noValue valueKind = iota // reserved by a rotation
	textValue
	binaryValue
)

// Deprecated is a version without labels: out of sight, and removed when a
// secret has too many versions.
type Deprecated struct {
	Account string  `cbor:"1,keyasint"`
	Region  string  `cbor:"2,keyasint"`
	UID     string  `cbor:"3,keyasint"`
	Name    string  `cbor:"4,keyasint"`
	Version Version `cbor:"5,keyasint"`
}

// Value is a sealed value that is too large for its version's row.
type Value struct {
	Account string `cbor:"1,keyasint"`
	Region  string `cbor:"2,keyasint"`
	UID     string `cbor:"3,keyasint"`
	Name    string `cbor:"4,keyasint"`
	Version string `cbor:"5,keyasint"`
	Sealed  []byte `cbor:"6,keyasint"`
}

// Policy is the resource policy of a secret.
type Policy struct {
	Account string `cbor:"1,keyasint"`
	Region  string `cbor:"2,keyasint"`
	UID     string `cbor:"3,keyasint"`
	Name    string `cbor:"4,keyasint"`
	Text    string `cbor:"5,keyasint"`

	// Principals are the unique ids of the users and roles that it names, by ARN.
	Principals map[string]string `cbor:"6,keyasint,omitempty"`

	compiled policy.Compiled
}

// Purge says that a secret is gone and some of its versions are still to be removed.
type Purge struct {
	Account string       `cbor:"1,keyasint"`
	Region  string       `cbor:"2,keyasint"`
	UID     string       `cbor:"3,keyasint"`
	ARN     string       `cbor:"4,keyasint"` // for the records of what is removed
	Since   table.Millis `cbor:"5,keyasint"`
}

// The index names that code below the collections refers to.
const (
	byCreated           = "sm.secret.created"
	byChanged           = "sm.secret.changed"
	byAccessed          = "sm.secret.accessed"
	byDue               = "sm.due"
	byCrowd             = "sm.crowded"
	byRotation          = "sm.rotate"
	byDeprecatedCreated = "sm.deprecated.created"
)

// The collections. Only this package writes them.
var (
	Secrets = table.Collection[Secret]{
		Name:  "sm.secret",
		Key:   (*Secret).key,
		Clone: (*Secret).clone,
		Indexes: []table.Index[Secret]{
			{Name: byCreated, Keys: func(s *Secret) []table.Key { return s.sorted(s.Created) }},
			{Name: byChanged, Keys: func(s *Secret) []table.Key { return s.sorted(s.Changed) }},
			{Name: byAccessed, Keys: func(s *Secret) []table.Key { return s.sorted(s.Accessed) }},
			{Name: byDue, Keys: func(s *Secret) []table.Key { return s.queued(s.Deleted) }},
			{Name: byCrowd, Keys: func(s *Secret) []table.Key { return s.queued(s.CleanAt) }},
			{Name: byRotation, Keys: (*Secret).rotationDue},
		},
	}
	DeprecatedVersions = table.Collection[Deprecated]{
		Name: "sm.deprecated",
		Key:  func(d *Deprecated) table.Key { return table.K(d.Account, d.Region, d.UID, d.Version.ID) },
		Indexes: []table.Index[Deprecated]{{Name: byDeprecatedCreated, Keys: func(d *Deprecated) []table.Key {
			return []table.Key{table.K(d.Account, d.Region, d.UID, d.Version.Created.Part(), d.Version.ID)}
		}}},
	}
	Values = table.Collection[Value]{
		Name: "sm.value",
		Key:  func(v *Value) table.Key { return table.K(v.Account, v.Region, v.UID, v.Version) },
	}
	Policies = table.Collection[Policy]{
		Name: "sm.policy",
		Key:  func(p *Policy) table.Key { return table.K(p.Account, p.Region, p.UID) },
	}
	Purges = table.Collection[Purge]{
		Name: "sm.purge",
		Key:  func(p *Purge) table.Key { return table.K(p.Account, p.Region, p.UID) },
	}
)

// clone copies what changes in place: the lists, not the bytes of values, which
// are only ever replaced.
func (s *Secret) clone() *Secret {
	c := *s
	c.Tags = slices.Clone(s.Tags)
	if s.Rotation != nil {
		c.Rotation = new(*s.Rotation)
	}
	c.Versions = slices.Clone(s.Versions)
	for i := range c.Versions {
		c.Versions[i].Stages = slices.Clone(c.Versions[i].Stages)
		c.Versions[i].Keys = slices.Clone(c.Versions[i].Keys)
	}
	return &c
}

func (s *Secret) key() table.Key { return table.K(s.Account, s.Region, s.Name) }

func (s *Secret) sorted(at table.Millis) []table.Key {
	return []table.Key{table.K(s.Account, s.Region, at.Part(), s.Name)}
}

// queued is the key in a work queue, by time; none without a time.
func (s *Secret) queued(at table.Millis) []table.Key {
	if at == 0 {
		return nil
	}
	return []table.Key{table.K(at.Part(), s.Account, s.Region, s.Name)}
}

// part is the key prefix, or the key, of a row that belongs to the secret.
func (s *Secret) part(ids ...string) table.Key {
	return table.K(append([]string{s.Account, s.Region, s.UID}, ids...)...)
}

// arn is the secret's full ARN.
func (s *Secret) arn() string {
	return "arn:" + arn.Partition(s.Region) + ":secretsmanager:" + s.Region + ":" + s.Account + ":secret:" + s.Name + "-" + s.Suffix
}

func arnPrefix(partition, region, account string) string {
	return "arn:" + partition + ":secretsmanager:" + region + ":" + account + ":secret:"
}

// holder is the version that has the label, nil if none has.
func (s *Secret) holder(label string) *Version {
	for i := range s.Versions {
		if s.Versions[i].has(label) {
			return &s.Versions[i]
		}
	}
	return nil
}

// labelled is the version with this id among those with labels, nil if there is none.
func (s *Secret) labelled(id string) *Version {
	for i := range s.Versions {
		if s.Versions[i].ID == id {
			return &s.Versions[i]
		}
	}
	return nil
}

// version finds a version, labelled or deprecated; nil if there is none. It is
// not to be changed.
func (s *Secret) version(tx *table.Tx, id string) (*Version, error) {
	if v := s.labelled(id); v != nil {
		return v, nil
	}
	if s.Deprecated == 0 {
		return nil, nil
	}
	d, err := DeprecatedVersions.Get(tx, s.part(id))
	if errors.Is(err, table.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &d.Version, nil
}

package lambda

import (
	"errors"
	"fmt"
	"strings"

	"coffer/internal/arn"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// Layer is a layer. It stays when its last version is deleted, so that no number is
// given twice.
type Layer struct {
	Account   string `cbor:"1,keyasint"`
	Region    string `cbor:"2,keyasint"`
	Name      string `cbor:"3,keyasint"`
	Published int    `cbor:"4,keyasint"` // the last number given to a version
	Versions  int    `cbor:"5,keyasint"` // how many there are
}

// LayerVersion is a version of a layer: files for functions to use, and who may.
type LayerVersion struct {
	Account       string       `cbor:"1,keyasint"`
	Region        string       `cbor:"2,keyasint"`
	Layer         string       `cbor:"3,keyasint"` // its name
	Number        int          `cbor:"4,keyasint"`
	Created       table.Millis `cbor:"5,keyasint"`
	Description   string       `cbor:"6,keyasint,omitempty"`
	License       string       `cbor:"7,keyasint,omitempty"`
	Runtimes      []string     `cbor:"8,keyasint,omitempty"` // as given; empty: it says nothing
	Architectures []string     `cbor:"9,keyasint,omitempty"` // as given; empty: it says nothing
	Code          Code         `cbor:"10,keyasint"`

	// The resource policy. Revision is that of the policy: another with every change.
	Statements []Statement `cbor:"11,keyasint,omitempty"`
	Revision   string      `cbor:"12,keyasint,omitempty"`

	compiled policy.Compiled
}

const byLive = "lambda.layer.live"

// The collections of layers.
var (
	Layers = table.Collection[Layer]{
		Name: "lambda.layer",
		Key:  func(l *Layer) table.Key { return table.K(l.Account, l.Region, l.Name) },
		Indexes: []table.Index[Layer]{{Name: byLive, Keys: func(l *Layer) []table.Key {
			if l.Versions == 0 {
				return nil
			}
			return []table.Key{table.K(l.Account, l.Region, l.Name)}
		}}},
	}
	LayerVersions = table.Collection[LayerVersion]{
		Name: "lambda.layerversion",
		Key: func(v *LayerVersion) table.Key {
			return table.K(v.Account, v.Region, v.Layer, numberPart(v.Number))
		},
	}
)

// layerReference is a LayerName, and a version's number, taken apart.
type layerReference struct {
	partition, region, account, name string
	number                           int // 0: of the layer itself, or of no version
}

// parseLayer takes apart a layer's ARN, or that of a version, that the model's pattern
// has accepted.
func parseLayer(s string) (ref layerReference, ok bool) {
	a, err := arn.Parse(s)
	if err != nil {
		return ref, false
	}
	name, version, versioned := strings.Cut(strings.TrimPrefix(a.Resource, "layer:"), ":")
	ref = layerReference{partition: a.Partition, region: a.Region, account: a.Account, name: name}
	if versioned {
		ref.number, _ = number(version)
	}
	return ref, true
}

func (ref *layerReference) arn() string {
	return "arn:" + ref.partition + ":lambda:" + ref.region + ":" + ref.account + ":layer:" + ref.name
}

func (ref *layerReference) versionARN() string {
	return fmt.Sprintf("%s:%d", ref.arn(), ref.number)
}

// key is that of the layer; of a version, with the number as a further part.
func (ref *layerReference) key(more ...string) table.Key {
	return table.K(append([]string{ref.account, ref.region, ref.name}, more...)...)
}

// version is the version that is meant, shared; nil if there is none here.
func (ref *layerReference) version(tx *table.Tx) (*LayerVersion, error) {
	if ref.number == 0 || ref.partition != arn.Partition(ref.region) {
		return nil, nil
	}
	v, err := LayerVersions.Get(tx, ref.key(numberPart(ref.number)))
	if errors.Is(err, table.ErrNotFound) {
		return nil, nil
	}
	return v, err
}

func (v *LayerVersion) reference() *layerReference {
	return &layerReference{partition: arn.Partition(v.Region), region: v.Region, account: v.Account, name: v.Layer, number: v.Number}
}

// policy is the version's resource policy, to decide by; nil if it has none.
func (v *LayerVersion) policy() (*policy.Set, error) {
	if len(v.Statements) == 0 {
		return nil, nil
	}
	if set := v.compiled.Kept(); set != nil {
		return set, nil
	}
	name := v.reference().versionARN()
	set, err := v.compiled.Set(document(v.Statements), policy.Resource, nil, name)
	if err != nil {
		return nil, fmt.Errorf("lambda: policy of %s: %w", name, err)
	}
	return set, nil
}

package lambda

import (
	"fmt"
	"slices"
	"strconv"

	"coffer/internal/arn"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// latest is what the version is called that can be changed.
const latest = "$LATEST"

// Function is a function: its unpublished version, and what all of its versions share.
type Function struct {
	Account   string       `cbor:"1,keyasint"`
	Region    string       `cbor:"2,keyasint"`
	Name      string       `cbor:"3,keyasint"`
	UID       string       `cbor:"4,keyasint"` // names the rows of this function and no other, ever
	Created   table.Millis `cbor:"5,keyasint"`
	Latest    Version      `cbor:"6,keyasint"`
	Published int          `cbor:"7,keyasint,omitempty"` // the last number given to a version; none is given twice
	Tags      []policy.Tag `cbor:"8,keyasint,omitempty"` // by key
	Reserved  *int         `cbor:"9,keyasint,omitempty"`
	HasPolicy bool         `cbor:"10,keyasint,omitempty"` // saves readers the look into lambda.policy
}

// Version is code with its configuration.
type Version struct {
	Number      int        `cbor:"1,keyasint,omitempty"` // 0: $LATEST
	Description string     `cbor:"2,keyasint,omitempty"`
	Runtime     string     `cbor:"3,keyasint"`
	Handler     string     `cbor:"4,keyasint"`
	Role        string     `cbor:"5,keyasint"` // ARN
	Timeout     int        `cbor:"6,keyasint"` // seconds
	Memory      int        `cbor:"7,keyasint"` // MiB
	Storage     int        `cbor:"8,keyasint"` // MiB of /tmp
	Code        Code       `cbor:"9,keyasint"`
	Layers      []LayerUse `cbor:"10,keyasint,omitempty"`
	Environment *Variables `cbor:"11,keyasint,omitempty"` // nil: no variables
	KMSKey      string     `cbor:"12,keyasint,omitempty"` // as it was given; empty: the AWS managed key

	Architecture string   `cbor:"13,keyasint"`
	Tracing      string   `cbor:"14,keyasint"`
	SnapStart    string   `cbor:"15,keyasint"`
	Logging      Logging  `cbor:"16,keyasint"`
	VPC          *Network `cbor:"17,keyasint,omitempty"`

	Modified  table.Millis `cbor:"18,keyasint"`
	Revision  string       `cbor:"19,keyasint"`           // RevisionId: another with every update
	Content   string       `cbor:"20,keyasint"`           // another with every change of what is above
	HasPolicy bool         `cbor:"21,keyasint,omitempty"` // of a published version
}

// Code is a use of a deployment package.
type Code struct {
	Account  string `cbor:"1,keyasint"` // that keeps the package: of a layer, its own
	Digest   string `cbor:"2,keyasint"` // SHA-256 in hexadecimal
	Size     int64  `cbor:"3,keyasint"` // bytes
	Unpacked int64  `cbor:"4,keyasint"` // bytes
}

// LayerUse is a version of a layer as a function has it. It stays usable when the
// version of the layer is deleted.
type LayerUse struct {
	ARN  string `cbor:"1,keyasint"`
	Code Code   `cbor:"2,keyasint"`
}

// Variables are the environment variables of a version, encrypted by KMS.
type Variables struct {
	Sealed []byte `cbor:"1,keyasint"` // KMS's ciphertext of the variables as a JSON object
	Key    string `cbor:"2,keyasint"` // ARN of the key
	Mark   []byte `cbor:"3,keyasint"` // the same for the same variables; see Service.mark
}

// Logging is where and how a function logs.
type Logging struct {
	Format      string `cbor:"1,keyasint"`
	Application string `cbor:"2,keyasint,omitempty"` // level, of the format JSON
	System      string `cbor:"3,keyasint,omitempty"`
	Group       string `cbor:"4,keyasint"`
}

// Network is the VPC settings of a version, which are kept and shown.
type Network struct {
	Subnets        []string `cbor:"1,keyasint,omitempty"`
	SecurityGroups []string `cbor:"2,keyasint,omitempty"`
	IPv6           bool     `cbor:"3,keyasint,omitempty"`
}

// Published is a version that was published: it never changes.
type Published struct {
	Account string  `cbor:"1,keyasint"`
	Region  string  `cbor:"2,keyasint"`
	UID     string  `cbor:"3,keyasint"` // of the function
	Name    string  `cbor:"4,keyasint"`
	Version Version `cbor:"5,keyasint"`
}

// Purge says that a function is gone and some of what it had is still to be removed.
type Purge struct {
	Account string `cbor:"1,keyasint"`
	Region  string `cbor:"2,keyasint"`
	UID     string `cbor:"3,keyasint"`
}

// Account is what an account has in a region, for its quotas.
type Account struct {
	Account   string `cbor:"1,keyasint"`
	Region    string `cbor:"2,keyasint"`
	Functions int    `cbor:"3,keyasint,omitempty"`
	Code      int64  `cbor:"4,keyasint,omitempty"` // bytes of code of all versions of functions and layers
	Held      int64  `cbor:"5,keyasint,omitempty"` // bytes of packages, each once, used or not
	Reserved  int    `cbor:"6,keyasint,omitempty"` // concurrency, of all functions
}

// The collections. Only this package writes them.
var (
	Functions = table.Collection[Function]{
		Name:  "lambda.function",
		Key:   (*Function).key,
		Clone: (*Function).clone,
	}
	Versions = table.Collection[Published]{
		Name: "lambda.version",
		Key:  func(p *Published) table.Key { return table.K(p.Account, p.Region, p.UID, numberPart(p.Version.Number)) },
	}
	Purges = table.Collection[Purge]{
		Name: "lambda.purge",
		Key:  func(p *Purge) table.Key { return table.K(p.Account, p.Region, p.UID) },
	}
	Accounts = table.Collection[Account]{
		Name: "lambda.account",
		Key:  func(a *Account) table.Key { return table.K(a.Account, a.Region) },
	}
)

func (f *Function) key() table.Key { return table.K(f.Account, f.Region, f.Name) }

// part is the key prefix, or the key, of a row that belongs to the function.
func (f *Function) part(ids ...string) table.Key {
	return table.K(append([]string{f.Account, f.Region, f.UID}, ids...)...)
}

// clone copies what changes in place: the lists.
func (f *Function) clone() *Function {
	c := *f
	c.Tags = slices.Clone(f.Tags)
	c.Latest.Layers = slices.Clone(f.Latest.Layers)
	return &c
}

// arn is the function's ARN, without qualifier.
func (f *Function) arn() string { return functionARN(f.Region, f.Account, f.Name) }

func functionARN(region, account, name string) string {
	return arnPrefix(region, account) + "function:" + name
}

func arnPrefix(region, account string) string {
	return "arn:" + arn.Partition(region) + ":lambda:" + region + ":" + account + ":"
}

// name is how the version is called: its number, or $LATEST.
func (v *Version) name() string { return versionName(v.Number) }

func versionName(n int) string {
	if n == 0 {
		return latest
	}
	return strconv.Itoa(n)
}

// numberPart is a version's number as a part of a key that orders as numbers do.
func numberPart(n int) string { return fmt.Sprintf("%016x", n) }

// uses are the packages that the version needs.
func (v *Version) uses() []Code {
	out := []Code{v.Code}
	for i := range v.Layers {
		out = append(out, v.Layers[i].Code)
	}
	return out
}

// same reports whether a version has the same code and configuration.
func (v *Version) same(o *Version) bool {
	return v.Description == o.Description && v.Runtime == o.Runtime && v.Handler == o.Handler && v.Role == o.Role &&
		v.Timeout == o.Timeout && v.Memory == o.Memory && v.Storage == o.Storage && v.Code == o.Code && slices.Equal(v.Layers, o.Layers) &&
		v.Environment.same(o.Environment) && v.KMSKey == o.KMSKey && v.Architecture == o.Architecture && v.Tracing == o.Tracing &&
		v.SnapStart == o.SnapStart && v.Logging == o.Logging && v.VPC.same(o.VPC)
}

func (e *Variables) same(o *Variables) bool {
	if e == nil || o == nil {
		return e == o
	}
	return slices.Equal(e.Mark, o.Mark) && e.Key == o.Key
}

func (n *Network) same(o *Network) bool {
	if n == nil || o == nil {
		return n == o
	}
	return slices.Equal(n.Subnets, o.Subnets) && slices.Equal(n.SecurityGroups, o.SecurityGroups) && n.IPv6 == o.IPv6
}

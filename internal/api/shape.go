package api

// Kind is the type of a shape in an AWS model.
type Kind uint8

const (
	String Kind = iota
	Blob
	Boolean
	Integer
	Long
	Float
	Double
	Timestamp
	Structure
	List
	Map
)

var kindNames = [...]string{"String", "Blob", "Boolean", "Integer", "Long", "Float", "Double", "Timestamp", "Structure", "List", "Map"}

// String returns the kind's name.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "Kind(?)"
}

// Shape describes one type of an AWS model: all that codecs, validation,
// redaction and the coverage page need to know. Shapes are generated,
// immutable and shared. Limits are values with a flag, not pointers, so that
// the linker lays whole models out and nothing is built at start.
type Shape struct {
	Name           string
	Kind           Kind
	HasMin, HasMax bool     // whether Min and Max hold
	Min, Max       int64    // length of strings, blobs, lists and maps; value of numbers
	Pattern        *Pattern // nil: any text
	Enum           []string // nil: any text
	Sensitive      bool     // and so is all that a sensitive list, map or structure holds
	TimeFormat     string   // of a timestamp: "", "iso8601", "unixTimestamp", "rfc822"; empty means the protocol's own

	Members     []Member // of a structure, in model order
	Payload     string   // of a structure: the member that is the raw body (REST)
	XMLOrder    []string // of a structure: member order where XML readers expect one
	Union       bool     // of a structure: exactly one member is present
	Event       bool     // of a structure: a message of an event stream
	EventStream bool     // of a structure: the events of a stream, one at a time
	Streaming   bool     // of a blob: may be larger than memory (REST)

	Elem      *Shape // of a list
	ElemName  string // of a list: the element's name where a protocol needs one ("member" if empty)
	Flattened bool   // of a list or map: without the wrapping element (Query)
	Key       *Shape // of a map
	KeyName   string // of a map: the key's name where a protocol needs one ("key" if empty)
	Value     *Shape // of a map
	ValueName string // of a map: the value's name where a protocol needs one ("value" if empty)
}

// Member is one member of a structure.
type Member struct {
	Name         string // as in the model and in JSON
	Path         string // lower camel case: validation messages, audit records
	Wire         string // locationName, empty if the same as Name
	Location     string // "", "uri", "querystring", "header", "headers", "statusCode"
	Shape        *Shape
	Required     bool
	Token        bool // idempotencyToken: SDKs fill it in
	EventPayload bool // the raw body of an event (event streams)
}

// Struct is a generated structure. Codecs, validation and redaction walk it
// through Field and need neither reflection nor code per type.
type Struct interface {
	// Shape returns the structure's description.
	Shape() *Shape
	// Field returns a pointer to the value of Shape().Members[i], in one of
	// the forms listed in the package documentation; nil if i is no member.
	Field(i int) any
}

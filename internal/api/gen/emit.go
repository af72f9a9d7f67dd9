package main

import (
	"cmp"
	"fmt"
	"go/format"
	"path"
	"slices"
	"strings"
)

// packageNames are the names of generated packages that do not follow the
// rule "service + api".
var packageNames = map[string]string{"secretsmanager": "smapi"}

// actionPrefixes are IAM prefixes that differ from the endpoint's.
var actionPrefixes = map[string]string{"cloudwatch": "cloudwatch"}

// actionNames are the IAM actions that are not called like their operations.
var actionNames = map[string]map[string]string{
	"lambda": {
		"GetLayerVersionByArn": "GetLayerVersion", "Invoke": "InvokeFunction", "InvokeAsync": "InvokeFunction",
		"InvokeWithResponseStream": "InvokeFunction",
	},
}

// internalCodes are the services' own codes for internal errors; the others
// answer InternalFailure.
var internalCodes = map[string]string{
	"secretsmanager": "InternalServiceError",
	"kms":            "KMSInternalException",
	"ssm":            "InternalServerError",
	"events":         "InternalException",
	"cloudwatch":     "InternalServiceFault",
	"lambda":         "ServiceException",
	"iam":            "ServiceFailure",
	"logs":           "ServiceUnavailableException",
}

// invalidCodes are the services' own codes for requests that break a rule of the
// model; the others answer ValidationException.
var invalidCodes = map[string]string{"logs": "InvalidParameterException"}

// emitter writes the package of one service.
type emitter struct {
	*model
	*service
	names   scope
	pkg     string
	ops     []string
	structs []goStruct
	goName  map[string]string // structure shape -> Go type, where it is nested
	errors  []string          // exception shapes
	used    []string          // shapes that get a variable
	errName map[string]string // exception shape -> Go constructor
	vars    scope             // names of shape variables; two shapes may differ in case alone
	shapes  map[string]string // shape -> expression of its address
}

// goStruct is one Go type; a shape has two if it is both an input and nested.
type goStruct struct {
	name, shape, doc string
}

func newEmitter(m *model, s *service) (*emitter, error) {
	e := &emitter{model: m, service: s, names: scope{}, goName: map[string]string{}, errName: map[string]string{}, vars: scope{}, shapes: map[string]string{}}
	if e.pkg = packageNames[m.name]; e.pkg == "" {
		e.pkg = m.name + "api"
	}
	e.ops = sortedKeys(m.Operations)
	for op := range s.modes {
		if m.Operations[op] == nil {
			return nil, fmt.Errorf("%s: the list serves %s, which the model does not have", m.name, op)
		}
	}
	if _, err := e.names.must("Service", "the service"); err != nil {
		return nil, err
	}
	for _, op := range e.ops {
		if _, err := e.names.must(upper(op), "an operation"); err != nil {
			return nil, err
		}
	}
	nested := e.nested()
	for _, op := range e.ops {
		for _, io := range []struct {
			suffix string
			ref    **ref
		}{{"Input", &e.Operations[op].Input}, {"Output", &e.Operations[op].Output}} {
			name, err := e.names.must(upper(op)+io.suffix, "a structure")
			if err != nil {
				return nil, err
			}
			if *io.ref == nil {
				// The model has none: an empty one, so that every operation has both.
				for e.Shapes[name] != nil {
					name += "_"
				}
				e.Shapes[name] = &shape{Type: "structure", name: name}
				*io.ref = &ref{Shape: name}
			}
			doc := fmt.Sprintf("%s is the %s of [%s].", upper(op)+io.suffix, strings.ToLower(io.suffix), upper(op))
			e.structs = append(e.structs, goStruct{upper(op) + io.suffix, (*io.ref).Shape, doc})
		}
	}
	reachable := e.reachable()
	for _, n := range sortedKeys(e.Shapes) {
		if e.Shapes[n].Exception {
			e.errors = append(e.errors, n)
			e.errName[n] = e.names.claim(upper(n), "an error")
		}
	}
	for _, n := range reachable {
		if s := e.Shapes[n]; s.Type == "structure" && nested[n] {
			e.goName[n] = e.names.claim(upper(n), "a structure")
			e.structs = append(e.structs, goStruct{e.goName[n], n, fmt.Sprintf("%s is the model's structure %s.", e.goName[n], n)})
		}
	}
	e.used = reachable
	for _, n := range e.used {
		e.shapes[n] = "&" + e.vars.claim("shape"+upper(n), "a shape")
	}
	for i, group := range e.cycles(e.used) {
		for j, n := range group {
			e.shapes[n] = fmt.Sprintf("&cycle%d[%d]", i+1, j)
		}
	}
	return e, nil
}

// nested returns the structures that other shapes refer to.
func (e *emitter) nested() map[string]bool {
	in := map[string]bool{}
	seen := map[string]bool{}
	var visit func(n string)
	visit = func(n string) {
		if seen[n] {
			return
		}
		seen[n] = true
		for _, r := range e.Shapes[n].refs() {
			if e.Shapes[r.Shape].Type == "structure" {
				in[r.Shape] = true
			}
			visit(r.Shape)
		}
	}
	for _, n := range e.roots() {
		visit(n)
	}
	return in
}

// roots are the shapes that operations name.
func (e *emitter) roots() []string {
	var roots []string
	for _, op := range sortedKeys(e.Operations) {
		o := e.Operations[op]
		for _, r := range append([]*ref{o.Input, o.Output}, o.Errors...) {
			if r != nil {
				roots = append(roots, r.Shape)
			}
		}
	}
	for _, n := range sortedKeys(e.Shapes) {
		if e.Shapes[n].Exception {
			roots = append(roots, n)
		}
	}
	return roots
}

func (e *emitter) reachable() []string {
	seen := map[string]bool{}
	var visit func(n string)
	visit = func(n string) {
		if seen[n] {
			return
		}
		seen[n] = true
		for _, r := range e.Shapes[n].refs() {
			visit(r.Shape)
		}
	}
	for _, n := range e.roots() {
		visit(n)
	}
	return sortedKeys(seen)
}

// files returns the package's files by path from the repository's root.
func (e *emitter) files() (map[string][]byte, error) {
	shapes, err := e.shapesFile()
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for name, src := range map[string]string{
		"types_gen.go":      e.typesFile(),
		"shapes_gen.go":     shapes,
		"enums_gen.go":      e.enumsFile(),
		"errors_gen.go":     e.errorsFile(),
		"operations_gen.go": e.operationsFile(),
	} {
		b, err := format.Source([]byte(src))
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", e.model.name, name, err)
		}
		out[path.Join("internal/api", e.model.name, name)] = b
	}
	return out, nil
}

func (e *emitter) header(imports ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "// Code generated by internal/api/gen from models/%s.json; DO NOT EDIT.\n\npackage %s\n\n", e.model.name, e.pkg)
	if len(imports) > 0 {
		b.WriteString("import (\n")
		for _, i := range imports {
			fmt.Fprintf(&b, "%s\n", i)
		}
		b.WriteString(")\n\n")
	}
	return b.String()
}

// elem returns the Go type of a list's element or a map's value.
func (e *emitter) elem(name string) string {
	s := e.Shapes[name]
	switch t := e.plain(name); s.Type {
	case "list":
		if t == "[]string" {
			return t
		}
		return "api.ListOf[" + e.elem(s.Member.Shape) + "]"
	case "map":
		if t == "map[string]string" {
			return t
		}
		return "api.MapOf[" + e.elem(s.Value.Shape) + "]"
	default:
		return t
	}
}

// plain returns the Go type of a value of the shape.
func (e *emitter) plain(name string) string {
	s := e.Shapes[name]
	switch s.Type {
	case "string", "character":
		if s.Sensitive {
			return "api.Sensitive"
		}
		return "string"
	case "blob":
		if s.Sensitive {
			return "api.Sensitive"
		}
		return "[]byte"
	case "boolean":
		return "bool"
	case "integer", "long":
		return "int64"
	case "float", "double":
		return "float64"
	case "timestamp":
		return "time.Time"
	case "structure":
		return e.goName[name]
	case "list":
		return "[]" + e.elem(s.Member.Shape)
	case "map":
		return "map[string]" + e.elem(s.Value.Shape)
	}
	panic("unknown type " + s.Type + " of " + name)
}

// field returns the Go type of a member and the expression that Field gives for it.
func (e *emitter) field(goField, name string) (typ, expr string) {
	t := e.plain(name)
	p := "&v." + goField
	switch s := e.Shapes[name]; {
	case s.Type == "structure":
		return "*" + t, "api.StructOf[" + t + ", *" + t + "]{P: " + p + "}"
	case s.Type == "list" && t != "[]string":
		return t, "(*api.ListOf[" + e.elem(s.Member.Shape) + "])(" + p + ")"
	case s.Type == "map" && t != "map[string]string":
		return t, "(*api.MapOf[" + e.elem(s.Value.Shape) + "])(" + p + ")"
	case s.Type == "list", s.Type == "map", t == "[]byte", t == "api.Sensitive":
		return t, p
	default:
		return "*" + t, p
	}
}

func (e *emitter) typesFile() string {
	var b strings.Builder
	slices.SortFunc(e.structs, func(a, b goStruct) int { return strings.Compare(a.name, b.name) })
	for _, g := range e.structs {
		s := e.Shapes[g.shape]
		fields := scope{"Shape": "a method", "Field": "a method", "Format": "a method"}
		var types, exprs strings.Builder
		for i := range s.Members {
			m := &s.Members[i]
			goField := fields.claim(upper(m.name), "a field")
			typ, expr := e.field(goField, m.Shape)
			note := ""
			if es := e.Shapes[m.Shape]; len(es.Enum) > 0 {
				note = " // one of the " + upper(m.Shape) + " constants"
			}
			fmt.Fprintf(&types, "%s %s%s\n", goField, typ, note)
			fmt.Fprintf(&exprs, "case %d:\nreturn %s\n", i, expr)
		}
		fmt.Fprintf(&b, "// %s\ntype %s struct {\n%s}\n\n", g.doc, g.name, types.String())
		fmt.Fprintf(&b, "// Shape implements [api.Struct].\nfunc (*%s) Shape() *api.Shape { return @%s@ }\n\n", g.name, g.shape)
		fmt.Fprintf(&b, "// Format implements [fmt.Formatter]; see [api.Format].\nfunc (v *%s) Format(f fmt.State, _ rune) { api.Format(f, v) }\n\n", g.name)
		if len(s.Members) == 0 {
			fmt.Fprintf(&b, "// Field implements [api.Struct].\nfunc (*%s) Field(int) any { return nil }\n\n", g.name)
			continue
		}
		fmt.Fprintf(&b, "// Field implements [api.Struct].\nfunc (v *%s) Field(i int) any {\nswitch i {\n%s}\nreturn nil\n}\n\n", g.name, exprs.String())
	}
	body := e.resolve(b.String())
	imports := []string{`"fmt"`}
	if strings.Contains(body, "time.Time") {
		imports = append(imports, `"time"`)
	}
	return e.header(append(imports, "", `"coffer/internal/api"`)...) + body
}

// resolve replaces @Shape@ by the address of the shape's variable.
func (e *emitter) resolve(s string) string {
	parts := strings.Split(s, "@")
	for i := 1; i < len(parts); i += 2 {
		parts[i] = e.shapes[parts[i]]
	}
	return strings.Join(parts, "")
}

var kinds = map[string]string{
	"string": "String", "character": "String", "blob": "Blob", "boolean": "Boolean", "integer": "Integer", "long": "Long",
	"float": "Float", "double": "Double", "timestamp": "Timestamp", "structure": "Structure", "list": "List", "map": "Map",
}

func (e *emitter) shapesFile() (string, error) {
	var b strings.Builder
	cycles := e.cycles(e.used)
	for i, group := range cycles {
		v := fmt.Sprintf("cycle%d", i+1)
		fmt.Fprintf(&b, "// %s holds shapes that contain each other.\nvar %s = func() *[%d]api.Shape {\n%s := new([%d]api.Shape)\n", v, v, len(group), v, len(group))
		for j, n := range group {
			src, err := e.shapeLiteral(n)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "%s[%d] = api.Shape%s\n", v, j, src)
		}
		fmt.Fprintf(&b, "return %s\n}()\n\n", v)
	}
	b.WriteString("var (\n")
	for _, n := range e.used {
		if strings.HasPrefix(e.shapes[n], "&cycle") {
			continue
		}
		src, err := e.shapeLiteral(n)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s = api.Shape%s\n", strings.TrimPrefix(e.shapes[n], "&"), src)
	}
	b.WriteString(")\n")
	return e.header(`"coffer/internal/api"`) + e.resolve(b.String()), nil
}

// shapeLiteral writes {...}, with patterns inline and shapes as @Name@.
func (e *emitter) shapeLiteral(name string) (string, error) {
	s := e.Shapes[name]
	if kinds[s.Type] == "" {
		return "", fmt.Errorf("%s: %s has unknown type %q", e.model.name, name, s.Type)
	}
	var f []string
	add := func(format string, a ...any) { f = append(f, fmt.Sprintf(format, a...)) }
	flag := func(name string, on bool) {
		if on {
			add("%s: true", name)
		}
	}
	text := func(name, value string) {
		if value != "" {
			add("%s: %q", name, value)
		}
	}
	list := func(name string, values []string) {
		if len(values) > 0 {
			add("%s: %#v", name, values)
		}
	}
	add("Name: %q", name)
	add("Kind: api.%s", kinds[s.Type])
	if s.Min != nil {
		add("HasMin: true, Min: %d", int64(*s.Min))
	}
	if s.Max != nil {
		add("HasMax: true, Max: %d", int64(*s.Max))
	}
	if s.Pattern != "" {
		match, except, err := translate(s.Pattern)
		if err != nil {
			return "", fmt.Errorf("%s: %s: %w", e.model.name, name, err)
		}
		p := fmt.Sprintf("Source: %s", quote(s.Pattern))
		if match != "" {
			p += fmt.Sprintf(", Match: %s", quote(match))
		}
		if except != "" {
			p += fmt.Sprintf(", Except: %s", quote(except))
		}
		add("Pattern: &api.Pattern{%s}", p)
	}
	if !slices.Contains(openEnums[e.model.name], name) {
		list("Enum", s.Enum)
	}
	flag("Sensitive", s.Sensitive)
	text("TimeFormat", s.TimestampFormat)
	text("Payload", s.Payload)
	list("XMLOrder", s.XMLOrder)
	flag("Union", s.Union)
	flag("Event", s.Event)
	flag("EventStream", s.EventStream)
	flag("Streaming", s.Streaming)
	flag("Flattened", s.Flattened)
	if s.Member != nil {
		add("Elem: @%s@", s.Member.Shape)
		text("ElemName", s.Member.LocationName)
	}
	if s.Key != nil {
		add("Key: @%s@", s.Key.Shape)
		text("KeyName", s.Key.LocationName)
		add("Value: @%s@", s.Value.Shape)
		text("ValueName", s.Value.LocationName)
	}
	var ms []string
	for _, m := range s.Members {
		l := fmt.Sprintf("Name: %q, Path: %q", m.name, lower(m.name))
		if m.LocationName != "" && m.LocationName != m.name {
			l += fmt.Sprintf(", Wire: %q", m.LocationName)
		}
		if m.Location != "" {
			l += fmt.Sprintf(", Location: %q", m.Location)
		}
		if m.Flattened || m.QueryName != "" || m.TimestampFormat != "" {
			return "", fmt.Errorf("%s: %s.%s has a trait that shapes do not carry yet", e.model.name, name, m.name)
		}
		l += fmt.Sprintf(", Shape: @%s@", m.Shape)
		if slices.Contains(s.Required, m.name) {
			l += ", Required: true"
		}
		if m.IdempotencyToken {
			l += ", Token: true"
		}
		if m.EventPayload {
			l += ", EventPayload: true"
		}
		ms = append(ms, "{"+l+"}")
	}
	if len(ms) > 0 {
		add("Members: []api.Member{\n%s,\n}", strings.Join(ms, ",\n"))
	}
	return "{" + strings.Join(f, ", ") + "}", nil
}

// quote prefers raw strings and keeps the @ of resolve out of literals.
func quote(s string) string {
	q := "`" + s + "`"
	if strings.ContainsAny(s, "`\n\t") {
		q = fmt.Sprintf("%q", s)
	}
	if strings.Contains(s, "@") {
		q = strings.ReplaceAll(fmt.Sprintf("%q", s), "@", `\x40`)
	}
	return q
}

func (e *emitter) enumsFile() string {
	var b strings.Builder
	for _, n := range e.used {
		s := e.Shapes[n]
		if len(s.Enum) == 0 || s.Sensitive {
			continue
		}
		fmt.Fprintf(&b, "// Values of %s.\nconst (\n", upper(n))
		for i, v := range s.Enum {
			c := camel(v)
			if c == "" {
				c = fmt.Sprintf("Value%d", i+1)
			}
			fmt.Fprintf(&b, "%s = %q\n", e.names.claim(upper(n)+c, "an enumeration"), v)
		}
		b.WriteString(")\n\n")
	}
	return e.header() + b.String()
}

// code returns what the service's own protocol calls an error.
func (e *emitter) code(name string) (code, query string) {
	code, query = name, name
	if s := e.Shapes[name]; s.Error != nil && s.Error.Code != "" {
		query = s.Error.Code
	}
	if len(e.Metadata.Protocols) == 1 && e.Metadata.Protocols[0] == "query" {
		code = query
	}
	return code, query
}

func (e *emitter) errorsFile() string {
	var vars, funcs strings.Builder
	for _, n := range e.errors {
		s := e.Shapes[n]
		code, query := e.code(n)
		status := 400
		if s.Fault {
			status = 500
		}
		if s.Error != nil && s.Error.HTTPStatusCode != 0 {
			status = s.Error.HTTPStatusCode
		}
		key := e.messageKey()
		for _, m := range s.Members {
			if strings.EqualFold(m.name, "message") {
				key = m.name
			}
		}
		kind := faultKind(n, s)
		server := ""
		if status >= 500 {
			server = "Server: true, "
		}
		fmt.Fprintf(&vars, "error%s = api.ErrorShape{Code: %q, QueryCode: %q, Kind: fault.%s, Status: %d, %sMessageKey: %q, Shape: @%s@}\n", e.errName[n], code, query, kind, status, server, key, n)
		fmt.Fprintf(&funcs, "// %s returns the error %s, HTTP status %d.\nfunc %s(message string) *fault.Error {\nreturn fault.New(fault.%s, %q, message)\n}\n\n", e.errName[n], code, status, e.errName[n], kind, code)
	}
	if len(e.errors) == 0 {
		return e.header()
	}
	return e.header(`"coffer/internal/api"`, `"coffer/internal/fault"`) + "var (\n" + e.resolve(vars.String()) + ")\n\n" + funcs.String()
}

// messageKey is the key that most errors of the service use.
func (e *emitter) messageKey() string {
	big := 0
	for _, n := range e.errors {
		for _, m := range e.Shapes[n].Members {
			switch m.name {
			case "Message":
				big++
			case "message":
				big--
			}
		}
	}
	if big > 0 {
		return "Message"
	}
	return "message"
}

func (e *emitter) operationsFile() string {
	var b strings.Builder
	md := &e.Metadata
	signing := cmp.Or(md.SigningName, md.EndpointPrefix)
	fmt.Fprintf(&b, "// Service is %s with all operations of its model, in alphabetical order.\n", cmp.Or(md.ServiceFullName, md.ServiceID))
	b.WriteString("var Service = api.NewService(api.Service{\n")
	for _, f := range [][2]string{
		{"ID", md.ServiceID},
		{"Name", e.model.name},
		{"SigningName", signing},
		{"EventSource", md.EndpointPrefix + ".amazonaws.com"},
		{"ActionPrefix", cmp.Or(actionPrefixes[e.model.name], md.EndpointPrefix)},
		{"APIVersion", md.APIVersion},
		{"XMLNamespace", md.XMLNamespace},
		{"JSONVersion", md.JSONVersion},
		{"TargetPrefix", md.TargetPrefix},
		{"MessageKey", e.messageKey()},
		{"InternalCode", cmp.Or(internalCodes[e.model.name], "InternalFailure")},
		{"InvalidCode", invalidCodes[e.model.name]},
	} {
		if f[1] != "" {
			fmt.Fprintf(&b, "%s: %q,\n", f[0], f[1])
		}
	}
	fmt.Fprintf(&b, "Protocols: %#v,\n", md.Protocols)
	b.WriteString("Operations: []*api.Operation{\n")
	for _, n := range e.ops {
		fmt.Fprintf(&b, "&op%s,\n", upper(n))
	}
	b.WriteString("},\n")
	if len(e.errors) > 0 {
		b.WriteString("Errors: []*api.ErrorShape{\n")
		for _, n := range e.errors {
			fmt.Fprintf(&b, "&error%s,\n", e.errName[n])
		}
		b.WriteString("},\n")
	}
	b.WriteString("})\n\n// The operations with their Go types, for [api.Bind].\nvar (\n")
	for _, n := range e.ops {
		u := upper(n)
		fmt.Fprintf(&b, "%s = api.Op[%sInput, %sOutput]{Operation: &op%s}\n", u, u, u, u)
	}
	b.WriteString(")\n\nvar (\n")
	for _, n := range e.ops {
		o := e.Operations[n]
		u := upper(n)
		fmt.Fprintf(&b, "op%s = api.Operation{\nName: %q,\n", u, n)
		if m := e.modes[n]; m != "" {
			fmt.Fprintf(&b, "Mode: api.%s,\n", m)
		}
		if a := actionNames[e.model.name][n]; a != "" {
			fmt.Fprintf(&b, "ActionName: %q,\n", a)
		}
		if ev := e.events[n]; ev != "" {
			fmt.Fprintf(&b, "Event: %q,\n", ev)
		}
		fmt.Fprintf(&b, "Input: @%s@,\nOutput: @%s@,\n", o.Input.Shape, o.Output.Shape)
		fmt.Fprintf(&b, "NewInput: func() api.Struct { return new(%sInput) },\nNewOutput: func() api.Struct { return new(%sOutput) },\n", u, u)
		if len(o.Errors) > 0 {
			var es []string
			for _, r := range o.Errors {
				es = append(es, "&error"+e.errName[r.Shape])
			}
			slices.Sort(es)
			fmt.Fprintf(&b, "Errors: []*api.ErrorShape{%s},\n", strings.Join(slices.Compact(es), ", "))
		}
		if o.AuthType == "none" {
			b.WriteString("Anonymous: true,\n")
		}
		fmt.Fprintf(&b, "Method: %q,\nURI: %q,\n", o.HTTP.Method, strings.ReplaceAll(o.HTTP.RequestURI, "@", "%40"))
		if o.HTTP.ResponseCode != 0 {
			fmt.Fprintf(&b, "Status: %d,\n", o.HTTP.ResponseCode)
		}
		if o.Output.ResultWrapper != "" {
			fmt.Fprintf(&b, "Wrapper: %q,\n", o.Output.ResultWrapper)
		}
		b.WriteString("}\n")
	}
	b.WriteString(")\n")
	return e.header(`"coffer/internal/api"`) + e.resolve(b.String())
}

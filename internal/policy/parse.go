package policy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"coffer/internal/arn"
)

// Limits in characters that AWS sets on documents of each use. White space
// outside strings does not count; see [Length]. Source: "IAM and AWS STS
// quotas", "Secrets Manager quotas", "KMS resource quotas".
const (
	MaxSecretPolicy  = 20480
	MaxKeyPolicy     = 32768
	MaxManagedPolicy = 6144
	MaxTrustPolicy   = 2048
)

// maxText bounds what Parse looks at: the largest policy any model takes
// (KMS PutKeyPolicy, 131,072 characters).
const maxText = 131072

// Fault says which of AWS's complaints a document deserves.
type Fault uint8

const (
	// FaultSyntax is everything about JSON and grammar.
	FaultSyntax Fault = iota
	// FaultPrincipal is an AWS, Federated or CanonicalUser principal that
	// cannot exist.
	FaultPrincipal
	// FaultService is a Service principal that cannot exist.
	FaultService
)

// SyntaxError tells where a document breaks the grammar and how. It is for
// logs: clients get the fixed text their service has for the Fault.
type SyntaxError struct {
	Path   string // "Statement[0].Condition.StringEquals", or "byte 17" for bad JSON
	Reason string
	Fault  Fault
	Value  string // the principal, service or action that cannot exist
}

// Error implements error.
func (e *SyntaxError) Error() string { return "policy: " + e.Path + ": " + e.Reason }

// Length counts a document's characters as AWS's quotas do, without the white
// space between JSON tokens.
func Length(text []byte) int {
	n, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\' && i+1 < len(text):
			i++
			n++
		case c == '"':
			quoted = !quoted
		case !quoted && isSpace(c), !utf8.RuneStart(c):
			continue
		}
		n++
	}
	return n
}

// Parse reads a document of the given kind. The error is a *SyntaxError.
func Parse(text []byte, kind Kind) (*Document, error) {
	if len(text) > maxText {
		return nil, &SyntaxError{Path: "document", Reason: fmt.Sprintf("longer than %d bytes", maxText)}
	}
	src := string(text)
	root, err := readJSON(src)
	if err != nil {
		return nil, err
	}
	p := parser{kind: kind, doc: &Document{Kind: kind, Version: Version2008, Text: src}, sids: map[string]struct{}{}}
	if err := p.document(&root); err != nil {
		return nil, err
	}
	return p.doc, nil
}

type parser struct {
	kind Kind
	doc  *Document
	sids map[string]struct{}
	path string // of the statement at hand
}

func (p *parser) fail(element, format string, args ...any) error {
	return &SyntaxError{Path: p.at(element), Reason: fmt.Sprintf(format, args...)}
}

// cannotBe refuses a principal.
func (p *parser) cannotBe(f Fault, element, value, reason string) error {
	return &SyntaxError{Path: p.at(element), Reason: fmt.Sprintf("%.128q %s", value, reason), Fault: f, Value: value}
}

func (p *parser) at(element string) string {
	path := p.path
	if path != "" && element != "" {
		path += "."
	}
	if path += element; path == "" {
		path = "document"
	}
	return path
}

func (p *parser) document(n *node) error {
	if n.kind != jsonObject {
		return p.fail("", "%v where an object belongs", n.kind)
	}
	// Version first, wherever it stands: it decides what "${" means.
	if v := n.member("Version"); v != nil {
		if v.kind != jsonString || v.text != Version2008 && v.text != Version2012 {
			return p.fail("Version", "not one of %q, %q", Version2012, Version2008)
		}
		p.doc.Version = v.text
	}
	var statement *node
	for i, key := range n.keys {
		v := &n.items[i]
		switch key {
		case "Version":
		case "Id":
			if v.kind != jsonString {
				return p.fail("Id", "%v where a string belongs", v.kind)
			}
			p.doc.ID = v.text
		case "Statement":
			statement = v
		default:
			return p.fail("", "unknown element %.64q", key)
		}
	}
	switch {
	case statement == nil:
		return p.fail("Statement", "missing")
	case statement.kind == jsonObject:
		p.path = "Statement"
		return p.statement(statement)
	case statement.kind != jsonArray:
		return p.fail("Statement", "%v where an object or a list belongs", statement.kind)
	case len(statement.items) == 0:
		return p.fail("Statement", "empty")
	}
	for i := range statement.items {
		p.path = "Statement[" + strconv.Itoa(i) + "]"
		if err := p.statement(&statement.items[i]); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) statement(n *node) error {
	if n.kind != jsonObject {
		return p.fail("", "%v where an object belongs", n.kind)
	}
	s := Statement{Start: n.start, End: n.end}
	var effect, principal, action, resource bool
	for i, key := range n.keys {
		v := &n.items[i]
		var err error
		switch key {
		case "Sid":
			s.Sid, err = p.sid(v)
		case "Effect":
			if v.kind != jsonString || v.text != "Allow" && v.text != "Deny" {
				return p.fail("Effect", "neither \"Allow\" nor \"Deny\"")
			}
			effect, s.Effect = true, v.text == "Allow"
		case "Principal", "NotPrincipal":
			if p.kind == Identity {
				return p.fail(key, "Policy document should not specify a principal.")
			}
			if principal {
				return p.fail(key, "both Principal and NotPrincipal")
			}
			principal, s.NotPrincipal = true, key == "NotPrincipal"
			s.Principals, err = p.principals(key, v)
		case "Action", "NotAction":
			if action {
				return p.fail(key, "both Action and NotAction")
			}
			action, s.NotAction = true, key == "NotAction"
			s.Actions, err = p.actions(key, v)
		case "Resource", "NotResource":
			if p.kind == Trust {
				return p.fail(key, "a trust policy names no resource")
			}
			if resource {
				return p.fail(key, "both Resource and NotResource")
			}
			resource, s.NotResource = true, key == "NotResource"
			s.Resources, err = p.resources(key, v)
		case "Condition":
			s.Conditions, err = p.conditions(v)
		default:
			return p.fail("", "unknown element %.64q", key)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case !effect:
		return p.fail("Effect", "missing")
	case !action:
		return p.fail("Action", "missing")
	case !principal && p.kind != Identity:
		return p.fail("Principal", "missing")
	case !resource && (p.kind == Identity || p.kind == Resource):
		return p.fail("Resource", "missing")
	}
	p.doc.Statements = append(p.doc.Statements, s)
	return nil
}

// sid checks a statement id. IAM takes letters and digits only; the policies
// of resources are looser (the default key policy's own Sid has blanks), so
// there anything printable passes. An empty Sid counts as none: Terraform
// writes one into every statement.
func (p *parser) sid(n *node) (string, error) {
	if n.kind != jsonString {
		return "", p.fail("Sid", "%v where a string belongs", n.kind)
	}
	if n.text == "" {
		return "", nil
	}
	for _, c := range n.text {
		alnum := c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !alnum && (p.kind == Identity || c < ' ' || c == 0x7F) {
			return "", p.fail("Sid", "a character that is not allowed")
		}
	}
	if _, dup := p.sids[n.text]; dup {
		return "", p.fail("Sid", "%.64q names two statements", n.text)
	}
	p.sids[n.text] = struct{}{}
	return n.text, nil
}

// list visits the strings of a string or list of strings.
func (p *parser) list(element string, n *node, each func(string) error) error {
	switch n.kind {
	case jsonString:
		return each(n.text)
	case jsonArray:
		if len(n.items) == 0 {
			return p.fail(element, "empty")
		}
		for i := range n.items {
			if n.items[i].kind != jsonString {
				return p.fail(element, "%v where a string belongs", n.items[i].kind)
			}
			if err := each(n.items[i].text); err != nil {
				return err
			}
		}
		return nil
	}
	return p.fail(element, "%v where a string or a list belongs", n.kind)
}

func (p *parser) principals(element string, n *node) (*Principals, error) {
	ps := &Principals{}
	if n.kind == jsonString {
		if n.text != "*" {
			return nil, p.fail(element, "a string other than \"*\"")
		}
		ps.Any = true
		return ps, nil
	}
	if n.kind != jsonObject || len(n.keys) == 0 {
		return nil, p.fail(element, "neither \"*\" nor an object with principals")
	}
	for i, key := range n.keys {
		at := element + "." + key
		var each func(string) error
		switch key {
		case "AWS":
			each = func(s string) error {
				if s == "*" {
					ps.Any = true
					return nil
				}
				pr, ok := ParsePrincipal(s)
				if !ok {
					return p.cannotBe(FaultPrincipal, at, s, "cannot be a principal")
				}
				ps.AWS = append(ps.AWS, pr)
				return nil
			}
		case "Service":
			each = func(s string) error {
				if !IsService(s) {
					return p.cannotBe(FaultService, at, s, "cannot be a service")
				}
				ps.Service = append(ps.Service, s)
				return nil
			}
		case "Federated":
			each = func(s string) error {
				if !validFederated(s) {
					return p.cannotBe(FaultPrincipal, at, s, "cannot be an identity provider")
				}
				ps.Federated = append(ps.Federated, s)
				return nil
			}
		case "CanonicalUser":
			each = func(s string) error {
				if len(s) != 64 || strings.Trim(s, "0123456789abcdef") != "" {
					return p.cannotBe(FaultPrincipal, at, s, "is not 64 hexadecimal digits")
				}
				ps.CanonicalUser = append(ps.CanonicalUser, s)
				return nil
			}
		default:
			return nil, p.fail(element, "unknown kind of principal %.64q", key)
		}
		if err := p.list(at, &n.items[i], each); err != nil {
			return nil, err
		}
	}
	return ps, nil
}

// ParsePrincipal takes an AWS principal apart; ok is false for what cannot be one.
// Wildcards are refused: a principal is one identity, and patterns belong into a
// condition on aws:PrincipalArn ("AWS JSON policy elements: Principal").
func ParsePrincipal(s string) (p Principal, ok bool) {
	pr := Principal{Text: s}
	if isAccount(s) {
		pr.Account = s
		return pr, true
	}
	if IsUniqueID(s) {
		pr.Type = UniqueID
		return pr, true
	}
	a, err := arn.Parse(s)
	if err != nil || a.Region != "" || !isAccount(a.Account) || !validPartition(a.Partition) {
		return pr, false
	}
	pr.Partition, pr.Account = a.Partition, a.Account
	what, name, _ := strings.Cut(a.Resource, "/")
	pr.Name = name
	switch a.Service + ":" + what {
	case "iam:root":
		return pr, a.Resource == "root"
	case "iam:user":
		pr.Type = User
		return pr, validName(name, true)
	case "iam:role":
		pr.Type = Role
		return pr, validName(name, true)
	case "sts:assumed-role":
		pr.Type = Session
		return pr, strings.Count(name, "/") == 1 && validName(name, true)
	case "sts:federated-user":
		pr.Type = FederatedUser
		return pr, validName(name, false)
	}
	return pr, false
}

func isAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// IsUniqueID reports whether s has the form of the unique id of what can act:
// a user or role. Groups and policies have unique ids as well but are never principals.
func IsUniqueID(s string) bool {
	if len(s) < 16 || len(s) > 128 || !strings.HasPrefix(s, "AIDA") && !strings.HasPrefix(s, "AROA") {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func validPartition(s string) bool {
	return s == "aws" || strings.HasPrefix(s, "aws-") && strings.Trim(s[4:], "abcdefghijklmnopqrstuvwxyz-") == ""
}

// validName checks [path/]name against the characters IAM allows in names
// ([\w+=,.@-]) and paths (anything printable).
func validName(s string, path bool) bool {
	if path {
		for i := strings.LastIndexByte(s, '/'); i >= 0; i = -1 {
			for _, c := range []byte(s[:i]) {
				if c <= ' ' || c >= 0x7F || c == '*' || c == '?' {
					return false
				}
			}
			s = s[i+1:]
		}
	}
	if s == "" || len(s) > 128 {
		return false
	}
	for _, c := range []byte(s) {
		if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("_+=,.@-", c) >= 0 {
			continue
		}
		return false
	}
	return true
}

// IsService reports whether s has the form of a service principal. Which services exist
// is not known here.
func IsService(s string) bool {
	name, ok := strings.CutSuffix(strings.TrimSuffix(s, ".cn"), ".amazonaws.com")
	if !ok || name == "" {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

// validFederated accepts the ARN of a SAML or OpenID Connect provider and the
// host names that are providers without one (accounts.google.com).
func validFederated(s string) bool {
	if arn.Is(s) {
		a, err := arn.Parse(s)
		return err == nil && a.Service == "iam" && isAccount(a.Account) && !strings.ContainsAny(s, "*?") &&
			(strings.HasPrefix(a.Resource, "saml-provider/") || strings.HasPrefix(a.Resource, "oidc-provider/"))
	}
	return strings.Contains(s, ".") && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
}

func (p *parser) actions(element string, n *node) (out []string, err error) {
	err = p.list(element, n, func(s string) error {
		if !validAction(s) {
			return p.cannotBe(FaultSyntax, element, s, "is not an action")
		}
		out = append(out, s)
		return nil
	})
	return out, err
}

// validAction: "*", or service:Name with wildcards in the name only.
func validAction(s string) bool {
	if s == "*" {
		return true
	}
	service, name, ok := strings.Cut(s, ":")
	if !ok || service == "" || name == "" {
		return false
	}
	for _, c := range []byte(service) {
		if c = lower(c); (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	for _, c := range []byte(name) {
		if c = lower(c); (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '*' && c != '?' {
			return false
		}
	}
	return true
}

func (p *parser) resources(element string, n *node) (out []Pattern, err error) {
	err = p.list(element, n, func(s string) error {
		pat, reason := compilePattern(s, p.doc.Version == Version2012, likeARN)
		if reason != "" {
			return p.fail(element, "%s", reason)
		}
		if s != "*" && arn.Is(s) && !validResource(s) {
			return p.fail(element, "%.128q is not a whole ARN", s)
		}
		if s != "*" && !arn.Is(s) {
			return p.fail(element, "Resource %.128s must be in ARN format or \"*\".", s)
		}
		out = append(out, pat)
		return nil
	})
	return out, err
}

// validResource asks for six parts, of which partition, service and resource
// are not empty. Colons inside "${...}" separate nothing.
func validResource(s string) bool {
	colons, depth, last := 0, 0, -1
	for i := 0; i < len(s) && colons < 5; i++ {
		switch s[i] {
		case '{':
			if i > 0 && s[i-1] == '$' {
				depth++
			}
		case '}':
			depth = max(depth-1, 0)
		case ':':
			if depth > 0 {
				continue
			}
			if colons++; colons <= 3 && colons > 1 && i == last+1 {
				return false // empty partition or service
			}
			last = i
		}
	}
	return colons == 5 && last+1 < len(s)
}

func (p *parser) conditions(n *node) (out []Condition, err error) {
	if n.kind != jsonObject {
		return nil, p.fail("Condition", "%v where an object belongs", n.kind)
	}
	for i, name := range n.keys {
		op, ok := parseOperator(name)
		if !ok {
			return nil, p.fail("Condition", "unknown operator %.64q", name)
		}
		at := "Condition." + name
		keys := &n.items[i]
		if keys.kind != jsonObject {
			return nil, p.fail(at, "%v where an object belongs", keys.kind)
		}
		for j, key := range keys.keys {
			if !validKey(key) {
				return nil, p.fail(at, "%.64q is not a condition key", key)
			}
			c := Condition{Operator: op, Key: key, key: strings.ToLower(key)}
			if err := p.values(at, &c, &keys.items[j]); err != nil {
				return nil, err
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// parseOperator takes an operator name apart. Null has no variants: whether a
// key is there is not a question about its values.
func parseOperator(s string) (Operator, bool) {
	var op Operator
	name := s
	if rest, ok := strings.CutPrefix(s, "ForAllValues:"); ok {
		op.Set, name = ForAllValues, rest
	} else if rest, ok := strings.CutPrefix(s, "ForAnyValue:"); ok {
		op.Set, name = ForAnyValue, rest
	}
	name, op.IfExists = strings.CutSuffix(name, "IfExists")
	def, ok := operators[name]
	if !ok || name == "Null" && s != "Null" {
		return Operator{}, false
	}
	def.Name, def.Set, def.IfExists = name, op.Set, op.IfExists
	return def, true
}

// values reads a condition's values. An empty list is legal and matches
// nothing, as IAM has it (Access Analyzer only advises against it).
func (p *parser) values(at string, c *Condition, n *node) error {
	items := []node{*n}
	if n.kind == jsonArray {
		items = n.items
	}
	family := c.Operator.Family
	// Variables work in string and ARN operators only; in the others "${"
	// does not pass for a value.
	text := family == StringFamily || family == ARNFamily
	c.Values = make([]Pattern, 0, len(items))
	for i := range items {
		v := &items[i]
		if v.kind != jsonString && v.kind != jsonNumber && v.kind != jsonBool {
			return p.fail(at, "%v where a value belongs", v.kind)
		}
		// A Deny that can never match because its date has a typing error is worse
		// than an error message.
		o, ok := parseOperand(family, v.text)
		if !ok {
			return p.fail(at, "%.64q does not suit the operator", v.text)
		}
		pat, reason := compilePattern(v.text, text && p.doc.Version == Version2012, textModeOf(c.Operator.Name, family))
		if reason != "" {
			return p.fail(at, "%s", reason)
		}
		c.Values = append(c.Values, pat)
		if !text {
			c.operands = append(c.operands, o)
		}
	}
	return nil
}

func isDecimal(s string) bool {
	if len(s) > 64 || strings.Trim(s, "0123456789.+-eE") != "" {
		return false // no hexadecimal, no "inf", no underscores
	}
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

// parseDate reads the forms of the W3C date and time note that the IAM guide
// refers to, and epoch seconds.
func parseDate(s string) (time.Time, bool) {
	if len(s) > 4 && strings.Trim(s, "0123456789") == "" || strings.HasPrefix(s, "-") {
		n, err := strconv.ParseInt(s, 10, 64)
		return time.Unix(n, 0), err == nil
	}
	for _, layout := range []string{
		"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z0700",
		"2006-01-02", "2006-01", "2006",
	} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// parseRange reads a CIDR block or a bare address. Ranges inside the block of
// IPv4-mapped IPv6 addresses are turned into the IPv4 ranges they are, so that
// ::ffff:0:0/96 does not look narrow.
func parseRange(s string) (netip.Prefix, bool) {
	pr, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, false
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	if a := pr.Addr(); a.Is4In6() && pr.Bits() >= 96 {
		pr = netip.PrefixFrom(a.Unmap(), pr.Bits()-96)
	}
	return pr.Masked(), true
}

// RewritePrincipals returns the document with each AWS principal replaced by what
// rename gives for it. All else stays byte for byte. A text that is not a JSON
// document comes back as it is.
func RewritePrincipals(text string, rename func(string) string) string {
	root, err := readJSON(text)
	if err != nil {
		return text
	}
	var b strings.Builder
	from := 0
	rewrite := func(n *node) {
		if n.kind != jsonString {
			return
		}
		if name := rename(n.text); name != n.text {
			b.WriteString(text[from:n.start])
			b.WriteString(strconv.Quote(name)) // ARNs and ids: plain ASCII
			from = n.end
		}
	}
	visit := func(s *node) {
		for i, key := range s.keys {
			if key != "Principal" && key != "NotPrincipal" {
				continue
			}
			if v := s.items[i].member("AWS"); v != nil {
				rewrite(v)
				for j := range v.items {
					rewrite(&v.items[j])
				}
			}
		}
	}
	if s := root.member("Statement"); s != nil {
		visit(s)
		if s.kind == jsonArray {
			for i := range s.items {
				visit(&s.items[i])
			}
		}
	}
	b.WriteString(text[from:])
	return b.String()
}

// RootARN is how AWS gives back a bare account id in a policy.
func RootARN(partition, principal string) string {
	if !isAccount(principal) {
		return principal
	}
	return "arn:" + partition + ":iam::" + principal + ":root"
}

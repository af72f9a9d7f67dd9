package policy_test

import (
	"cmp"
	"encoding/base64"
	"math/big"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"coffer/internal/policy"
)

// The policy language a second time, as one would read it out of the user guide:
// slow, without a thought for allocation, order or limits, and sharing
// nothing with the package but the forms of a request. Random cases compare the two.

type refStatement struct {
	effect       string
	principals   []string // names of principals; nil in identity policies
	notPrincipal bool
	actions      []string
	notAction    bool
	resources    []string // nil in trust policies
	notResource  bool
	conditions   []refCondition
}

type refCondition struct {
	operator, key string
	values        []string
}

type refDocument struct {
	version    string
	statements []refStatement
}

// refPolicies mirrors policy.Policies. A nil list is no such policy.
type refPolicies struct {
	identity, boundary, session, endpoint, resource []refDocument
	scp, rcp                                        [][]refDocument
	trust, governs, open                            bool
	grants                                          []refGrant
	encryption                                      map[string]string
}

type refGrant struct {
	grantee        string // name of a principal
	actions        []string
	equals, subset map[string]string
}

// token is a character of a pattern, or a wildcard.
type token struct {
	wildcard, char rune // one of them is 0
}

func refMatchTokens(p []token, s []rune) bool {
	if len(p) == 0 {
		return len(s) == 0
	}
	switch {
	case p[0].wildcard == '*':
		for i := range len(s) + 1 {
			if refMatchTokens(p[1:], s[i:]) {
				return true
			}
		}
		return false
	case len(s) == 0:
		return false
	case p[0].wildcard == '?' || p[0].char == s[0]:
		return refMatchTokens(p[1:], s[1:])
	}
	return false
}

// refExpand takes a pattern apart, with variables replaced; resolved is false when one has
// no value. written tells of each token whether the policy's author wrote it.
func refExpand(pattern, version string, f facts) (p []token, written []bool, resolved bool) {
	add := func(t token, byAuthor bool) { p, written = append(p, t), append(written, byAuthor) }
	resolved = true
	rest := []rune(pattern)
	for len(rest) > 0 {
		if version == "2012-10-17" && strings.HasPrefix(string(rest), "${") {
			end := strings.Index(string(rest), "}")
			body := string(rest)[2:end]
			rest = []rune(string(rest)[end+1:])
			if body == "*" || body == "?" || body == "$" {
				add(token{char: rune(body[0])}, true)
				continue
			}
			key, fallback, hasFallback := strings.Cut(body, ", '")
			key, value, ok := strings.ToLower(key), "", false
			switch values := f[key]; {
			case key == "aws:tagkeys" || len(values) > 1:
				hasFallback = false
			case len(values) == 1 && values[0] != "":
				value, ok = values[0], true
			}
			if !ok && hasFallback {
				value, ok = strings.TrimSuffix(fallback, "'"), true
			}
			resolved = resolved && ok
			for _, c := range value {
				add(token{char: c}, false)
			}
			continue
		}
		if rest[0] == '*' || rest[0] == '?' {
			add(token{wildcard: rest[0]}, true)
		} else {
			add(token{char: rest[0]}, true)
		}
		rest = rest[1:]
	}
	return p, written, resolved
}

// refARN matches an ARN part by part.
func refARN(pattern, version, text string, f facts) (matched, resolved bool) {
	p, written, resolved := refExpand(pattern, version, f)
	if !resolved {
		return false, false
	}
	if pattern == "*" {
		return true, true
	}
	parts := [][]token{nil}
	for i, t := range p {
		if t.char == ':' && written[i] && len(parts) < 6 {
			parts = append(parts, nil)
			continue
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], t)
	}
	texts := strings.SplitN(text, ":", 6)
	if len(texts) < 6 {
		return false, true
	}
	if len(parts) < 6 { // only a variable can make it an ARN
		return slices.Contains(written, false) && !slices.ContainsFunc(p, func(t token) bool { return t.wildcard != 0 }) &&
			refMatchTokens(p, []rune(text)), true
	}
	for i := range parts {
		if !refMatchTokens(parts[i], []rune(texts[i])) {
			return false, true
		}
	}
	return true, true
}

func refPlain(p []token) string {
	var b strings.Builder
	for _, t := range p {
		b.WriteRune(max(t.wildcard, t.char))
	}
	return b.String()
}

func refAction(pattern, action string) bool {
	p, _, _ := refExpand(strings.ToLower(pattern), "2008-10-17", nil)
	return refMatchTokens(p, []rune(strings.ToLower(action)))
}

// refCompare compares one value of the request with one of the policy, by the positive form
// of the operator.
func refCompare(operator, given, value, version string, f facts) (matched, resolved bool) {
	order := func(less, equal, greater bool, c int) (bool, bool) {
		return c < 0 && less || c == 0 && equal || c > 0 && greater, true
	}
	switch {
	case strings.HasPrefix(operator, "String"):
		p, _, resolved := refExpand(value, version, f)
		switch {
		case !resolved:
			return false, false
		case operator == "StringLike":
			return refMatchTokens(p, []rune(given)), true
		case operator == "StringEqualsIgnoreCase":
			return strings.EqualFold(refPlain(p), given), true
		}
		return refPlain(p) == given, true
	case strings.HasPrefix(operator, "Arn"):
		return refARN(value, version, given, f)
	case strings.HasPrefix(operator, "Numeric"):
		a, ok1 := refNumber(given)
		b, ok2 := refNumber(value)
		if !ok1 || !ok2 {
			return false, true
		}
		o := strings.TrimPrefix(operator, "Numeric")
		return order(strings.HasPrefix(o, "Less"), strings.HasSuffix(o, "Equals"), strings.HasPrefix(o, "Greater"), a.Cmp(b))
	case strings.HasPrefix(operator, "Date"):
		a, ok1 := refDate(given)
		b, ok2 := refDate(value)
		if !ok1 || !ok2 {
			return false, true
		}
		o := strings.TrimPrefix(operator, "Date")
		return order(strings.HasPrefix(o, "Less"), strings.HasSuffix(o, "Equals"), strings.HasPrefix(o, "Greater"), a.Compare(b))
	case operator == "Bool":
		given, value = strings.ToLower(given), strings.ToLower(value)
		return given == value && (given == "true" || given == "false"), true
	case operator == "BinaryEquals":
		a, err1 := base64.StdEncoding.DecodeString(given)
		b, err2 := base64.StdEncoding.DecodeString(value)
		return err1 == nil && err2 == nil && string(a) == string(b), true
	}
	a, err := netip.ParseAddr(given) // IpAddress
	if err != nil {
		return false, true
	}
	if !strings.Contains(value, "/") {
		return netip.MustParseAddr(value) == a.Unmap(), true
	}
	return netip.MustParsePrefix(value).Contains(a.Unmap()), true
}

func refNumber(s string) (*big.Rat, bool) {
	if s == "" || strings.Trim(s, "0123456789.eE+-") != "" {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

func refDate(s string) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, true
	}
	if t, err := time.Parse("2006-01-02", s); err == nil {
		return t, true
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return time.Unix(n, 0), err == nil && len(s) > 4
}

func (c *refCondition) holds(effect, version string, f facts) bool {
	operator, quantifier := c.operator, ""
	if q, rest, ok := strings.Cut(operator, ":"); ok {
		quantifier, operator = q, rest
	}
	operator, ifExists := strings.CutSuffix(operator, "IfExists")
	positive := strings.Replace(operator, "Not", "", 1)
	negated := positive != operator
	values := f[strings.ToLower(c.key)]
	null := strings.Join(values, "") == ""
	if operator == "Null" {
		return slices.ContainsFunc(c.values, func(v string) bool { return v == strconv.FormatBool(null) })
	}
	absent := len(values) == 0 || quantifier != "" && null
	if absent && ifExists {
		return true
	}
	one := func(given string) bool {
		some, unresolved := false, false
		for _, v := range c.values {
			m, resolved := refCompare(positive, given, v, version, f)
			some, unresolved = some || m, unresolved || !resolved
		}
		if negated {
			return !some && (effect == "Deny" || !unresolved)
		}
		return some
	}
	switch quantifier {
	case "ForAllValues":
		for _, v := range values {
			if !absent && !one(v) {
				return false
			}
		}
		return true
	case "ForAnyValue":
		return !absent && slices.ContainsFunc(values, one)
	}
	if absent {
		return negated
	}
	return len(values) == 1 && one(values[0])
}

// How a principal element names a caller.
const (
	notNamed = iota
	byAccount
	behind // the role of a session, the user of a federated session
	itself
)

func refNames(name string, c *policy.Caller) int {
	kind, text := principals[name][0], principals[name][1]
	switch {
	case text == "*":
		return itself
	case kind == "Service":
		if c.Type == policy.AWSService && c.Service == text {
			return itself
		}
	case kind == "Federated":
		if (c.Type == policy.WebIdentity || c.Type == policy.SAMLIdentity) && c.Provider == text {
			return itself
		}
	case c.Account == "":
	case text == c.Account || text == "arn:aws:iam::"+c.Account+":root":
		return byAccount
	case strings.Contains(text, ":assumed-role/") || strings.Contains(text, ":federated-user/"):
		if text == c.ARN {
			return itself
		}
	case ids[text] == c.ID: // a renamed user is the same
		if c.Type == policy.IAMUser {
			return itself
		}
		return behind
	}
	return notNamed
}

func (s *refStatement) names(c *policy.Caller) int {
	if s.principals == nil {
		return itself
	}
	best := notNamed
	for _, name := range s.principals {
		best = max(best, refNames(name, c))
	}
	if s.notPrincipal {
		if best == notNamed {
			return itself
		}
		return notNamed
	}
	return best
}

func (s *refStatement) matches(version string, r *policy.Request) bool {
	f := r.Context.(facts)
	action := slices.ContainsFunc(s.actions, func(a string) bool { return refAction(a, r.Action) })
	if action == s.notAction {
		return false
	}
	if s.resources != nil {
		some, unresolved := false, false
		for _, text := range s.resources {
			m, ok := refARN(text, version, r.Resource, f)
			some, unresolved = some || m, unresolved || !ok
		}
		if some == s.notResource || s.notResource && unresolved && s.effect == "Allow" {
			return false
		}
	}
	for i := range s.conditions {
		if !s.conditions[i].holds(s.effect, version, f) {
			return false
		}
	}
	return true
}

// refAsk is what a set of documents says.
func refAsk(ds []refDocument, r *policy.Request) (denies bool, allows int) {
	for _, d := range ds {
		for i := range d.statements {
			s := &d.statements[i]
			named := s.names(&r.Caller)
			if named == notNamed || !s.matches(d.version, r) {
				continue
			}
			if s.effect == "Deny" {
				denies = true
			} else {
				allows = max(allows, named)
			}
		}
	}
	return denies, allows
}

// refDecide gives "allow" or the reason of the denial.
func refDecide(r *policy.Request, p *refPolicies) string {
	if p.open {
		return "allow"
	}
	resourceName := "resource-based policy"
	if p.trust {
		resourceName = "role trust policy"
	}
	type set struct {
		name string
		ds   []refDocument
	}
	var all []set
	for _, level := range p.scp {
		all = append(all, set{"service control policy", level})
	}
	for _, level := range p.rcp {
		all = append(all, set{"resource control policy", level})
	}
	if p.endpoint != nil {
		all = append(all, set{"VPC endpoint policy", p.endpoint})
	}
	controls := all
	all = append(all[:len(all):len(all)], set{"identity-based policy", p.identity}, set{resourceName, p.resource},
		set{"permissions boundary", p.boundary}, set{"session policy", p.session})
	for _, s := range all {
		if denies, _ := refAsk(s.ds, r); denies {
			article := map[string]string{"identity-based policy": "an ", "role trust policy": "the "}[s.name]
			return "with an explicit deny in " + cmp.Or(article, "a ") + s.name
		}
	}
	no := func(name string) string { return "because no " + name + " allows the " + r.Action + " action" }
	for _, s := range controls {
		if _, allows := refAsk(s.ds, r); allows == notNamed {
			return no(s.name)
		}
	}
	by := func(ds []refDocument) int { _, allows := refAsk(ds, r); return allows }
	limits := func() string {
		if p.boundary != nil && by(p.boundary) == notNamed {
			return no("permissions boundary")
		}
		if (p.session != nil || r.Caller.Type == policy.FederatedSession) && by(p.session) == notNamed {
			return no("session policy")
		}
		return "allow"
	}
	outcome := func() string {
		resource := by(p.resource)
		if r.Caller.Account == "" { // nobody's: the resource policy alone
			if resource == itself {
				return "allow"
			}
			return no(resourceName)
		}
		if r.Caller.Account == r.ResourceAccount {
			if resource == itself {
				return "allow"
			}
			if resource == behind {
				return limits()
			}
			if p.governs && resource == notNamed {
				return no(resourceName)
			}
		} else if resource == notNamed {
			return no(resourceName)
		}
		if by(p.identity) == notNamed && r.Caller.Type != policy.Root {
			return no("identity-based policy")
		}
		return limits()
	}()
	if outcome == "allow" {
		return outcome
	}
	granted := notNamed
	for _, g := range p.grants {
		named := refNames(g.grantee, &r.Caller)
		if slices.ContainsFunc(g.actions, func(a string) bool { return strings.EqualFold(a, r.Action) }) && g.holds(p.encryption) {
			granted = max(granted, named)
		}
	}
	switch granted {
	case itself:
		return "allow"
	case behind:
		return limits()
	case byAccount:
		if by(p.identity) != notNamed || r.Caller.Type == policy.Root {
			return limits()
		}
	}
	return outcome
}

func (g *refGrant) holds(context map[string]string) bool {
	if context == nil || g.equals == nil && g.subset == nil {
		return true
	}
	among := func(want, have map[string]string) bool {
		for k, v := range want {
			if got, ok := have[k]; !ok || got != v {
				return false
			}
		}
		return true
	}
	if g.equals != nil {
		return among(g.equals, context) && among(context, g.equals)
	}
	return among(g.subset, context)
}

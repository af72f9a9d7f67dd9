package policy

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Context tells what a request knows of condition keys.
type Context interface {
	// Values appends the values of a key, whose name is in lower case, to dst. ok
	// is false if the request does not have the key; a key without values counts as
	// absent, too.
	Values(dst []string, key string) (values []string, ok bool)
}

// facts is the context of the request at hand, with room for values so that asking for
// them need not allocate, and how much work was done with them.
type facts struct {
	ctx   Context // may be nil
	room  *room
	steps int
}

type room struct {
	values   [8]string
	variable [1]string
}

var rooms = sync.Pool{New: func() any { return new(room) }}

// gather makes the facts of a context. They are to be released.
func gather(ctx Context) facts {
	if ctx == nil {
		return facts{}
	}
	return facts{ctx: ctx, room: rooms.Get().(*room)}
}

// maxSteps is how many steps a decision may take: about a tenth of a second. What people
// write takes a thousandth of that; but conditions cost the policies' values times the request's
// values, and AWS lets both be thousands.
const maxSteps = 1 << 20

// spend counts the steps of comparing a text of the policy with one of the request: one for each
// 64 bytes of both, as find takes in the worst case. It is false if there are none left.
func (f *facts) spend(written, given int) bool {
	f.steps += (1 + written/64) * (1 + given/64)
	return !f.exhausted()
}

// exhausted reports whether the decision took too many steps. Whatever comes of it is void.
func (f *facts) exhausted() bool { return f.steps > maxSteps }

func (f *facts) release() {
	if f.room != nil {
		*f.room = room{} // values are the request's; keep none
		rooms.Put(f.room)
	}
}

// values returns what a condition compares; variable, what a policy variable stands for, at
// the same time.
func (f *facts) values(key string) []string {
	if f.ctx == nil {
		return nil
	}
	return lookUp(f.ctx, f.room.values[:0], key)
}

func (f *facts) variable(key string) []string {
	if f.ctx == nil {
		return nil
	}
	f.steps++
	return lookUp(f.ctx, f.room.variable[:0], key)
}

func lookUp(ctx Context, dst []string, key string) []string {
	values, ok := ctx.Values(dst, key)
	if !ok {
		return nil
	}
	return values
}

// Multivalued reports whether a condition key (in lower case) can have several
// values: those need a set operator, and cannot be policy variables
// ("Multivalued context keys").
func Multivalued(key string) bool {
	switch key {
	case "aws:tagkeys", "aws:calledvia", "aws:principalorgpaths", "aws:resourceorgpaths", "aws:sourceorgpaths",
		"aws:principalservicenameslist", "secretsmanager:addreplicaregions", "sts:transitivetagkeys",
		"kms:encryptioncontextkeys", "kms:grantoperations", "kms:resourcealiases":
		return true
	}
	return strings.HasSuffix(key, ":amr")
}

// operand is a condition value made ready for its operator.
type operand struct {
	number number
	date   time.Time
	flag   bool
	bytes  []byte
	prefix netip.Prefix
}

// number is a decimal, compared exactly however long: ±0.digits times ten to the
// power of point. digits has no zeros at either end; zero has none.
type number struct {
	negative bool
	digits   string
	point    int
}

func parseNumber(s string) (n number, ok bool) {
	if !isDecimal(s) {
		return n, false
	}
	s, n.negative = strings.TrimLeft(s, "+-"), s[0] == '-'
	if e := strings.IndexAny(s, "eE"); e >= 0 {
		exponent, err := strconv.ParseInt(s[e+1:], 10, 32)
		if err != nil {
			return number{}, false
		}
		s, n.point = s[:e], int(exponent)
	}
	whole, fraction, _ := strings.Cut(s, ".")
	n.point += len(whole)
	if n.digits = whole; fraction != "" {
		n.digits += fraction
	}
	n.digits = strings.TrimRight(n.digits, "0")
	leading := len(n.digits)
	n.digits = strings.TrimLeft(n.digits, "0")
	n.point -= leading - len(n.digits)
	if n.digits == "" {
		return number{}, true
	}
	return n, true
}

func (n number) compare(m number) int {
	if n.negative != m.negative {
		if n.negative {
			return -1
		}
		return 1
	}
	c := cmp.Compare(len(n.digits), 0) - cmp.Compare(len(m.digits), 0) // zero is below all else
	if c == 0 {
		c = cmp.Or(cmp.Compare(n.point, m.point), strings.Compare(n.digits, m.digits))
	}
	if n.negative {
		return -c
	}
	return c
}

// parseOperand reads a value as its operator's family compares it. ok is false
// if it could never be compared.
func parseOperand(f Family, s string) (o operand, ok bool) {
	switch f {
	case NumericFamily:
		o.number, ok = parseNumber(s)
	case DateFamily:
		o.date, ok = parseDate(s)
	case BoolFamily, NullFamily:
		o.flag = strings.EqualFold(s, "true")
		ok = o.flag || strings.EqualFold(s, "false")
	case BinaryFamily:
		b, err := base64.StdEncoding.Strict().DecodeString(s)
		o.bytes, ok = b, err == nil
	case IPFamily:
		o.prefix, ok = parseRange(s)
	default:
		ok = true
	}
	return o, ok
}

// holds reports whether all conditions of the statement hold.
func (s *Statement) holds(f *facts) bool {
	for i := range s.Conditions {
		if f.exhausted() || !s.Conditions[i].holds(f, s.Effect) {
			return false
		}
	}
	return true
}

func (c *Condition) holds(f *facts, effect Effect) bool {
	values := f.values(c.key)
	f.steps += 1 + len(values)
	op := &c.Operator
	switch {
	case op.Family == NullFamily:
		for i := range c.operands {
			if c.operands[i].flag == empty(values) {
				return true
			}
		}
		return false
	case len(values) == 0 || op.Set != Plain && empty(values):
		// "ForAllValues ... returns true if there are no keys in the request";
		// ForAnyValue returns false, even negated.
		return op.IfExists || op.Set == ForAllValues || op.Set == Plain && op.Negated
	case op.Set == ForAllValues:
		for _, v := range values {
			if !c.test(f, effect, v) {
				return false
			}
		}
		return true
	case op.Set == ForAnyValue:
		for _, v := range values {
			if c.test(f, effect, v) {
				return true
			}
		}
		return false
	}
	// What a plain operator means on several values is not documented: no match.
	return len(values) == 1 && c.test(f, effect, values[0])
}

// empty: to the set operators and Null, empty texts are as good as no values ("a null
// dataset, such as an empty string"). The other operators do compare them.
func empty(values []string) bool {
	for _, v := range values {
		if v != "" {
			return false
		}
	}
	return true
}

// test compares one value of the request: positive operators hold if it matches
// any value of the policy, negated ones if it matches none of them.
func (c *Condition) test(f *facts, effect Effect, value string) bool {
	if f.exhausted() {
		return false
	}
	if c.Operator.Family != StringFamily && c.Operator.Family != ARNFamily {
		f.steps += len(c.operands)
		if !f.spend(0, len(value)) {
			return false
		}
		return c.compares(value) != c.Operator.Negated
	}
	for i := range c.Values {
		if c.Values[i].matches(f, value) {
			return !c.Operator.Negated
		}
	}
	if !c.Operator.Negated {
		return false
	}
	// A variable without value equals nothing, so a Deny for all that differs
	// from it holds. An Allow does not: it can not be told whom it was to leave out.
	return effect == Deny || !slices.ContainsFunc(c.Values, func(p Pattern) bool { return !p.resolved(f) })
}

// compares reports whether a value of the request stands to any of the policy's as the operator says,
// or its positive if it is negated. What is not of the operator's type stands to none.
func (c *Condition) compares(value string) bool {
	if c.Operator.Family == IPFamily {
		a, err := netip.ParseAddr(value)
		if err != nil {
			return false
		}
		a = a.Unmap().WithZone("")
		for i := range c.operands {
			if c.operands[i].prefix.Contains(a) {
				return true
			}
		}
		return false
	}
	given, ok := parseOperand(c.Operator.Family, value)
	for i := range c.operands {
		if ok && given.stands(c.Operator.Name, &c.operands[i]) {
			return true
		}
	}
	return false
}

// stands compares the request's value with a policy's. Of a negated operator it
// tests the positive.
func (o *operand) stands(operator string, policy *operand) bool {
	switch operator {
	case "NumericEquals", "NumericNotEquals":
		return o.number.compare(policy.number) == 0
	case "NumericLessThan":
		return o.number.compare(policy.number) < 0
	case "NumericLessThanEquals":
		return o.number.compare(policy.number) <= 0
	case "NumericGreaterThan":
		return o.number.compare(policy.number) > 0
	case "NumericGreaterThanEquals":
		return o.number.compare(policy.number) >= 0
	case "DateEquals", "DateNotEquals":
		return o.date.Equal(policy.date)
	case "DateLessThan":
		return o.date.Before(policy.date)
	case "DateLessThanEquals":
		return !o.date.After(policy.date)
	case "DateGreaterThan":
		return o.date.After(policy.date)
	case "DateGreaterThanEquals":
		return !o.date.Before(policy.date)
	case "Bool":
		return o.flag == policy.flag
	case "BinaryEquals":
		return bytes.Equal(o.bytes, policy.bytes)
	}
	return false
}

package policy

import (
	"bytes"
	"encoding/base64"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Context tells what a request knows of condition keys.
type Context interface {
	// Values appends the values of a key, whose name is in lower case, to dst. ok
	// is false if the request does not have the key; a key without values counts as
	// absent, too.
	Values(dst []string, key string) (values []string, ok bool)
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

// number is a decimal. Integers compare exactly, however large.
type number struct {
	whole   int64
	isWhole bool
	float   float64
}

func parseNumber(s string) (n number, ok bool) {
	if !isDecimal(s) {
		return n, false
	}
	n.float, _ = strconv.ParseFloat(s, 64)
	whole, err := strconv.ParseInt(s, 10, 64)
	n.whole, n.isWhole = whole, err == nil
	return n, true
}

func (n number) compare(m number) int {
	if n.isWhole && m.isWhole {
		switch {
		case n.whole < m.whole:
			return -1
		case n.whole > m.whole:
			return 1
		}
		return 0
	}
	switch {
	case n.float < m.float:
		return -1
	case n.float > m.float:
		return 1
	}
	return 0
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
func (s *Statement) holds(ctx Context) bool {
	for i := range s.Conditions {
		if !s.Conditions[i].holds(ctx) {
			return false
		}
	}
	return true
}

func (c *Condition) holds(ctx Context) bool {
	var scratch [8]string
	var values []string
	if ctx != nil {
		values, _ = ctx.Values(scratch[:0], c.key)
	}
	op := &c.Operator
	if op.Family == NullFamily {
		for i := range c.operands {
			if c.operands[i].flag == (len(values) == 0) {
				return true
			}
		}
		return false
	}
	if len(values) == 0 {
		// "ForAllValues ... returns true if there are no keys in the request";
		// ForAnyValue returns false, even negated.
		switch {
		case op.IfExists, op.Set == ForAllValues:
			return true
		case op.Set == ForAnyValue:
			return false
		}
		return op.Negated
	}
	switch op.Set {
	case ForAllValues:
		for _, v := range values {
			if !c.test(ctx, v) {
				return false
			}
		}
		return true
	case ForAnyValue:
		for _, v := range values {
			if c.test(ctx, v) {
				return true
			}
		}
		return false
	}
	// What a plain operator means on several values is not documented: no match.
	return len(values) == 1 && c.test(ctx, values[0])
}

// test compares one value of the request: positive operators hold if it matches
// any value of the policy, negated ones if it matches none of them. A policy value
// whose variable the request does not have makes the condition fail either way.
func (c *Condition) test(ctx Context, value string) bool {
	var given operand
	switch c.Operator.Family {
	case StringFamily, ARNFamily:
		matched := false
		for i := range c.Values {
			ok, known := c.Values[i].compare(ctx, value, c.mode)
			if !known && c.Operator.Negated {
				return false
			}
			matched = matched || ok
		}
		return matched != c.Operator.Negated
	case IPFamily:
		a, err := netip.ParseAddr(value)
		if err != nil {
			return c.Operator.Negated
		}
		a = a.Unmap().WithZone("")
		for i := range c.operands {
			if c.operands[i].prefix.Contains(a) {
				return !c.Operator.Negated
			}
		}
		return c.Operator.Negated
	default:
		var ok bool
		if given, ok = parseOperand(c.Operator.Family, value); !ok {
			return c.Operator.Negated
		}
	}
	for i := range c.operands {
		if given.stands(c.Operator.Name, &c.operands[i]) {
			return !c.Operator.Negated
		}
	}
	return c.Operator.Negated
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

package filterpattern

import (
	"cmp"
	"strings"
)

// number is a decimal: 0.digits * 10^exponent. It is as exact as it is written, and
// as long: nothing is multiplied out, whatever the exponent.
type number struct {
	negative bool
	digits   string // without zeros at either end; empty: zero
	exponent int64
}

// maxExponent saturates: beyond it, numbers differ in their digits alone.
const maxExponent = 1 << 40

// parseNumber reads an integer or a decimal, with or without a sign and an exponent.
func parseNumber(s string) (n number, ok bool) {
	n.negative = strings.HasPrefix(s, "-")
	if n.negative || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	whole, s := digits(s)
	if whole == "" {
		return n, false
	}
	var fraction string
	if strings.HasPrefix(s, ".") {
		if fraction, s = digits(s[1:]); fraction == "" {
			return n, false
		}
	}
	if s != "" && (s[0] == 'e' || s[0] == 'E') {
		if n.exponent, s, ok = exponent(s[1:]); !ok {
			return n, false
		}
	}
	n.exponent += int64(len(whole))
	all := whole
	if fraction != "" {
		all += fraction
	}
	significant := strings.TrimLeft(all, "0")
	n.exponent -= int64(len(all) - len(significant))
	n.digits = strings.TrimRight(significant, "0")
	if n.digits == "" {
		n = number{}
	}
	return n, s == ""
}

func digits(s string) (digits, rest string) {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return s[:n], s[n:]
}

func exponent(s string) (e int64, rest string, ok bool) {
	negative := strings.HasPrefix(s, "-")
	if negative || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	ds, rest := digits(s)
	for i := range len(ds) {
		e = min(10*e+int64(ds[i]-'0'), maxExponent)
	}
	if negative {
		e = -e
	}
	return e, rest, ds != ""
}

// compare orders numbers.
func (n number) compare(o number) int {
	if c := cmp.Compare(n.sign(), o.sign()); c != 0 || n.digits == "" {
		return c
	}
	c := cmp.Or(cmp.Compare(n.exponent, o.exponent), strings.Compare(n.digits, o.digits))
	return c * n.sign()
}

func (n number) sign() int {
	switch {
	case n.digits == "":
		return 0
	case n.negative:
		return -1
	}
	return 1
}

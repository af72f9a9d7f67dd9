package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// rewrite is a pattern that RE2 cannot express, said otherwise by hand.
type rewrite struct {
	match, except string
}

// rewrites holds the patterns of AWS's models that RE2 cannot express. A new
// one stops the generator until somebody has thought about it.
var rewrites = map[string]rewrite{
	// Not only blanks.
	`^(?!\s*$).+`: {`.+`, `\s*`},
	// No hyphen after a hyphen.
	`^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$`: {`[a-z0-9][a-z0-9-]{1,61}[a-z0-9]`, `.*--.*`},
	// Not ending in a dot.
	`[0-9A-Za-z\.\-_]*(?<!\.)`: {`[0-9A-Za-z.\-_]*`, `.*\.`},
	// Not beginning with "system.".
	`(^(?!(system\x2e)))(^[_a-zA-Z0-9])([^$]*)`: {`[_a-zA-Z0-9][^$]*`, `(?s)system\..*`},
	// Not only digits.
	`(?!^[0-9]+$)([a-zA-Z0-9-_]+)`: {`[a-zA-Z0-9_-]+`, `[0-9]+`},
	`((?!^\d+$)^[0-9a-zA-Z-_]+$)`:  {`[0-9a-zA-Z_-]+`, `[0-9]+`},
	// RE2 repeats at most 1,000 times; the upper limits are the service's to check.
	`^.{1,100000}$`: {`.+`, ``},
	`^https:\/\/[-a-zA-Z0-9@:%._\+~#=]{1,253}\.s3(\.[a-z\d-]{9,16})?\.amazonaws\.com\/.{1,2000}`: {
		`https://[-a-zA-Z0-9@:%._+~#=]{1,253}\.s3(\.[a-z\d-]{9,16})?\.amazonaws\.com/.+`, ``},
	// An ISO 8601 date with back references: the service parses it anyhow.
	`^([\-]?\d{4}(?!\d{2}\b))((-?)((0[1-9]|1[0-2])(\3([12]\d|0[1-9]|3[01]))?|W([0-4]\d|5[0-2])(-?[1-7])?|(00[1-9]|0[1-9]\d|[12]\d{2}|3([0-5]\d|6[1-6])))([T\s]((([01]\d|2[0-3])((:?)[0-5]\d)?|24\:?00)([\.,]\d(?!:))?)?(\17[0-5]\d([\.,]\d)?)?([zZ]|([\-])([01]\d|2[0-3]):?([0-5]\d)?)?)?)?$`: {``, ``},
}

// translate turns a Java pattern into RE2 that accepts the same texts.
func translate(java string) (match, except string, err error) {
	if r, ok := rewrites[java]; ok {
		match, except = r.match, r.except
	} else if match, err = toRE2(java); err != nil {
		return "", "", err
	}
	for _, p := range []string{match, except} {
		if _, err := regexp.Compile(`\A(?:` + p + `)\z`); err != nil {
			return "", "", fmt.Errorf("pattern %q cannot be expressed in RE2: %w; add it to rewrites", java, err)
		}
	}
	return match, except, nil
}

// toRE2 translates what Java writes or means differently: \uXXXX with
// surrogate pairs, \s (which includes the vertical tab), and the dot (which
// excludes every line terminator).
func toRE2(p string) (string, error) {
	const blanks = `\t\n\v\f\r `
	var b strings.Builder
	class := 0
	dotall := strings.HasPrefix(p, "(?s)")
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c == '\\' && i+1 < len(p):
			i++
			switch p[i] {
			case 'u':
				r, err := hex4(p, i+1)
				if err != nil {
					return "", err
				}
				i += 4
				if 0xd800 <= r && r < 0xdc00 && strings.HasPrefix(p[i+1:], `\u`) {
					low, err := hex4(p, i+3)
					if err != nil {
						return "", err
					}
					i += 6
					r = 0x10000 + (r-0xd800)<<10 + (low - 0xdc00)
				}
				fmt.Fprintf(&b, `\x{%X}`, r)
			case 's':
				if class > 0 {
					b.WriteString(blanks)
				} else {
					b.WriteString("[" + blanks + "]")
				}
			default:
				b.WriteByte('\\')
				b.WriteByte(p[i])
			}
		case c == '[' && class > 0:
			return "", fmt.Errorf("pattern %q: a class in a class is a union in Java and a bracket in RE2", p)
		case c == '[':
			class++
			b.WriteByte(c)
			if strings.HasPrefix(p[i+1:], "^") {
				i++
				b.WriteByte('^')
			}
		case c == ']' && class > 0:
			class--
			b.WriteByte(c)
		case c == '&' && class > 0 && strings.HasPrefix(p[i+1:], "&"):
			return "", fmt.Errorf("pattern %q: RE2 has no intersection of classes", p)
		case c == '.' && class == 0 && !dotall:
			b.WriteString(`[^\n\r\x{85}\x{2028}\x{2029}]`)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

func hex4(p string, i int) (rune, error) {
	if i+4 > len(p) {
		return 0, fmt.Errorf("pattern %q: \\u cut off", p)
	}
	n, err := strconv.ParseUint(p[i:i+4], 16, 32)
	return rune(n), err
}

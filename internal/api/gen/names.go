package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// upper makes a Go name of a model name.
func upper(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '_' || r < 128 && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return '_'
	}, s)
	return strings.ToUpper(s[:1]) + s[1:]
}

// lower is AWS's lower camel case: only the first letter changes, so ARN
// becomes aRN, as seen in CloudTrail records and validation messages.
func lower(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// camel makes a Go name of an enumeration's value: RSA_2048 is Rsa2048.
func camel(s string) string {
	var b strings.Builder
	for _, w := range strings.FieldsFunc(s, func(r rune) bool {
		return r >= 128 || !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		if w == strings.ToUpper(w) {
			w = strings.ToLower(w)
		}
		b.WriteString(upper(w))
	}
	return b.String()
}

// scope hands out the names of one Go package. Who comes first gets the
// name itself, the next one an underscore: operations, inputs and outputs
// come first, then errors, structures, enumerations.
type scope map[string]string // name -> what has it

func (s scope) claim(name, what string) string {
	for s[name] != "" {
		name += "_"
	}
	s[name] = what
	return name
}

// must is for names that must not be changed.
func (s scope) must(name, what string) (string, error) {
	if s[name] != "" {
		return "", fmt.Errorf("%s is the name of both %s and %s", name, s[name], what)
	}
	s[name] = what
	return name, nil
}

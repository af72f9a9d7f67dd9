package policy

import "strings"

// ContextKeys returns the condition keys that the document refers to, in
// conditions and as variables: each once, whatever its case, as it is first written.
func (d *Document) ContextKeys() []string {
	var out []string
	seen := map[string]bool{}
	add := func(key string) {
		if k := strings.ToLower(key); !seen[k] {
			seen[k] = true
			out = append(out, key)
		}
	}
	variables := func(ps []Pattern) {
		for i := range ps {
			for _, part := range ps[i].parts {
				for j := range part {
					if part[j].variable != "" {
						add(part[j].written)
					}
				}
			}
		}
	}
	for i := range d.Statements {
		s := &d.Statements[i]
		variables(s.Resources)
		for j := range s.Conditions {
			add(s.Conditions[j].Key)
			variables(s.Conditions[j].Values)
		}
	}
	return out
}

// Comparable reports whether a value of a condition key can be compared by the
// operators of the family: whether it is a number, a time, and so on.
func Comparable(f Family, value string) bool {
	_, ok := parseOperand(f, value)
	return ok
}

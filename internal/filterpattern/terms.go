package filterpattern

import "strings"

// terms are the words and phrases of a pattern, each as a function of a message.
type terms struct{ required, excluded, optional []func(string) bool }

// parseTerms reads words, phrases in double quotes and regular expressions, each with - or ? or without.
func parseTerms(l *lexer) (func(string) bool, error) {
	var t terms
	for l.blanks(); !l.end(); l.blanks() {
		list := &t.required
		switch {
		case l.eat("-"):
			list = &t.excluded
		case l.eat("?"):
			list = &t.optional
		}
		l.blanks()
		f, err := l.term()
		if err != nil {
			return nil, err
		}
		*l.cost++
		*list = append(*list, f)
	}
	return t.match, nil
}

func (l *lexer) term() (func(string) bool, error) {
	switch {
	case l.end():
		return nil, invalid()
	case l.peek() == '%':
		re, err := l.regexp()
		if err != nil {
			return nil, err
		}
		return re.MatchString, nil
	case l.peek() == '"':
		start := l.i
		if _, err := l.quoted(); err != nil {
			return nil, err
		}
		return contains(phrase(l.s[start+1 : l.i-1])), nil
	}
	word := l.word("")
	if word == "" {
		return nil, l.unexpected()
	}
	return contains(word), nil
}

// phrase takes the backslashes out of what stands between quotes. One of blanks alone matches
// everything ("Match everything").
func phrase(s string) string {
	if strings.TrimSpace(s) == "" {
		return ""
	}
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(s)
}

func contains(term string) func(string) bool {
	return func(message string) bool { return strings.Contains(message, term) }
}

// match: beside others, optional terms do not count ("If you combine the question mark with other
// filter patterns, such as include and exclude terms", it is ignored).
func (t *terms) match(message string) bool {
	for _, f := range t.required {
		if !f(message) {
			return false
		}
	}
	for _, f := range t.excluded {
		if f(message) {
			return false
		}
	}
	if len(t.optional) == 0 || len(t.required)+len(t.excluded) > 0 {
		return true
	}
	for _, f := range t.optional {
		if f(message) {
			return true
		}
	}
	return false
}

package api

import (
	"regexp"
	"sync"
)

// Pattern is a regular expression constraint. AWS's are Java's and must match
// the whole text. The generator translates them to RE2, which runs in linear
// time on any input; what RE2 lacks, look-ahead above all, becomes Except.
//
// Patterns are compiled when first used: a server start needs none of them.
type Pattern struct {
	Source string // as in the model, for messages
	Match  string // RE2, matched against the whole text; empty: not checked
	Except string // RE2; text that wholly matches it is refused; empty: none

	once          sync.Once
	match, except *regexp.Regexp
}

// Matches reports whether s satisfies the pattern.
func (p *Pattern) Matches(s string) bool {
	p.once.Do(func() {
		// The generator has compiled both: MustCompile cannot panic here.
		if p.Match != "" {
			p.match = regexp.MustCompile(`\A(?:` + p.Match + `)\z`)
		}
		if p.Except != "" {
			p.except = regexp.MustCompile(`\A(?:` + p.Except + `)\z`)
		}
	})
	return (p.match == nil || p.match.MatchString(s)) && (p.except == nil || !p.except.MatchString(s))
}

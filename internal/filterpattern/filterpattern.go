// Package filterpattern is the language in which CloudWatch Logs is told which log
// events to show ("Filter pattern syntax for metric filters, subscription filters,
// filter log events, and Live Tail", CloudWatch Logs user guide).
//
//	ERROR "out of memory" -retrying     terms: all of the first, none of those with -
//	?ERROR ?WARN                        one at least
//	%4[0-9]{2}%                         a regular expression
//	{ $.user.id = 7 && $.level != info* }   members of a JSON object
//	[ip, user, ..., status = 4*, bytes > 1000]   words of a line
//
// # Promises
//
// Parse takes any text and fails with an [*Error] in AWS's words where they are known.
// Match takes time in proportion to the message: there is no backtracking, numbers
// are compared digit by digit, and regular expressions are bounded in size. Both are pure.
package filterpattern

import (
	"strings"
	"unicode/utf8"
)

// maxText is the longest pattern, in bytes: AWS's 1,024 characters.
const maxText = 1024 * utf8.UTFMax

// Error says what is wrong with a pattern. Its text is for the caller.
type Error struct{ Text string }

func (e *Error) Error() string { return e.Text }

// invalid is what AWS says when it says no more.
func invalid() error { return &Error{"Invalid filter pattern"} }

// badCharacter names what must stand in double quotes, or nowhere.
func badCharacter(s string) error {
	return &Error{"Invalid character(s) in term '" + s + "'"}
}

// Pattern is a parsed pattern. It is immutable and safe for concurrent use.
type Pattern struct {
	match func(message string) bool
	cost  int
}

// Match reports whether a message is one of those that the pattern asks for.
func (p *Pattern) Match(message string) bool { return p.match(message) }

// Cost is about what Match takes for each byte of a message, in nanoseconds at worst.
func (p *Pattern) Cost() int { return p.cost }

// Parse reads a pattern. The empty one matches everything.
func Parse(text string) (*Pattern, error) {
	if len(text) > maxText || !utf8.ValidString(text) {
		return nil, invalid()
	}
	text = strings.TrimSpace(text)
	p := &Pattern{cost: 1}
	l := &lexer{s: text, cost: &p.cost}
	var err error
	switch {
	case strings.HasPrefix(text, "{"):
		if l.s, err = inside(text, "{", "}"); err == nil {
			p.match, err = parseObject(l)
		}
	case strings.HasPrefix(text, "["):
		if l.s, err = inside(text, "[", "]"); err == nil {
			p.match, err = parseFields(l)
		}
	default:
		p.match, err = parseTerms(l)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// inside is the text between the brackets that a pattern starts and ends with.
func inside(text, open, close string) (string, error) {
	if len(text) < 2 || !strings.HasSuffix(text, close) {
		return "", &Error{"If a filter pattern starts with '" + open + "' it must end with '" + close + "'"}
	}
	return text[1 : len(text)-1], nil
}

package filterpattern

import (
	"regexp"
	"regexp/syntax"
	"strings"
)

// maxProgram bounds a regular expression, in instructions: the matcher takes up to so many
// steps for each byte, and {m,n} makes many of a few characters.
const maxProgram = 256

// compile reads AWS's subset of regular expressions: letters, digits and a few symbols stand for
// themselves, there are no groups, and of the classes \d, \s, \w, their opposites and \xhh. What is left
// means the same in Go. Behind a backslash all other symbols of ASCII stand for themselves.
func compile(text string) (re *regexp.Regexp, size int, err error) {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\\' && i+1 < len(text) {
			i++
			if !escapable(text[i:]) {
				return nil, 0, badCharacter(`\` + text[i:i+1])
			}
			continue
		}
		if !alphanumeric(c) && strings.IndexByte(`:_#=@/;,-^$?[]{}|\*+.`, c) < 0 {
			return nil, 0, badCharacter(text[i : i+1])
		}
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil || text == "" {
		return nil, 0, &Error{"Invalid regular expression in filter pattern"}
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil || len(program.Inst) > maxProgram {
		return nil, 0, &Error{"The regular expression in the filter pattern is too large"}
	}
	if re, err = regexp.Compile(text); err != nil {
		return nil, 0, &Error{"Invalid regular expression in filter pattern"}
	}
	return re, len(program.Inst), nil
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func hexadecimal(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// escapable reports whether s may stand behind a backslash.
func escapable(s string) bool {
	switch c := s[0]; {
	case c == 'x':
		return len(s) >= 3 && hexadecimal(s[1]) && hexadecimal(s[2])
	case strings.IndexByte("dDsSwW", c) >= 0:
		return true
	default:
		return '!' <= c && c <= '~' && !alphanumeric(c)
	}
}

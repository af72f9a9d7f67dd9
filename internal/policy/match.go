package policy

import (
	"strings"
	"unicode/utf8"
)

// Match reports whether text matches pattern, in which "*" stands for any run
// of characters and "?" for exactly one. Case matters.
func Match(pattern, text string) bool { return glob(pattern, text, '*', '?', false) }

// MatchAction is Match without regard to ASCII case, as action names are
// compared ("IAM JSON policy elements: Action").
func MatchAction(pattern, action string) bool { return glob(pattern, action, '*', '?', true) }

// MatchARN matches an ARN part by part: a wildcard in partition, service,
// region or account does not reach into the next part; the resource part may
// contain colons. The pattern "*" matches everything.
func MatchARN(pattern, arn string) bool { return globARN(pattern, arn, '*', '?') }

func globARN(pattern, text string, star, one byte) bool {
	if len(pattern) == 1 && pattern[0] == star {
		return true
	}
	for range 5 {
		p, prest, pok := strings.Cut(pattern, ":")
		t, trest, tok := strings.Cut(text, ":")
		if !pok || !tok || !glob(p, t, star, one, false) {
			return false
		}
		pattern, text = prest, trest
	}
	return glob(pattern, text, star, one, false)
}

// glob matches with the bytes star and one as wildcards. It remembers only the
// last star: should the rest fail, that star takes one character more, and no
// earlier star ever needs to, so the work is at most len(p) * len(s). The
// recursive textbook matcher is exponential in the number of stars, which an
// author of policies could use to stop the gate.
func glob(p, s string, star, one byte, fold bool) bool {
	var i, j int
	starAt, starEnd := -1, 0 // the last star in p, and how far in s it reaches
	for j < len(s) {
		if i < len(p) {
			switch c := p[i]; {
			case c == star:
				starAt, starEnd = i, j
				i++
				continue
			case c == one:
				// A character, not a byte: "?" matches one "é".
				_, size := utf8.DecodeRuneInString(s[j:])
				i++
				j += size
				continue
			case c == s[j] || fold && lower(c) == lower(s[j]) || c == colonByte && s[j] == ':':
				i++
				j++
				continue
			}
		}
		if starAt < 0 {
			return false
		}
		_, size := utf8.DecodeRuneInString(s[starEnd:])
		starEnd += size
		i, j = starAt+1, starEnd
	}
	for i < len(p) && p[i] == star {
		i++
	}
	return i == len(p)
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// Compiled patterns hold these in place of the wildcards "*" and "?", so that
// the literal "${*}" and the inserted value of a policy variable stay literal;
// and colonByte in place of an inserted colon, which must not end a part of an
// ARN. None occurs in UTF-8: Parse refuses what is not UTF-8, and a value of the
// request with one of them is not inserted.
const (
	starByte  = 0xFF
	oneByte   = 0xFE
	colonByte = 0xFD
)

// Pattern is a Resource or a condition value, with wildcards and policy
// variables found once. Whether its wildcards act depends on the operator.
type Pattern struct {
	Text    string // as written
	pieces  []piece
	literal string // without variables: the text in which wildcards are plain characters
}

type piece struct {
	glob     string // text with starByte and oneByte, when variable is empty
	variable string // condition key, in lower case
	fallback string // `${key, 'fallback'}`
	hasFall  bool
}

// Variables reports whether the pattern's meaning depends on the request.
func (p *Pattern) Variables() bool {
	for i := range p.pieces {
		if p.pieces[i].variable != "" {
			return true
		}
	}
	return false
}

// compiled returns the glob of a pattern without variables.
func (p *Pattern) compiled() string {
	if len(p.pieces) == 0 {
		return ""
	}
	return p.pieces[0].glob
}

// Wildcards reports whether the pattern has an acting "*" or "?".
func (p *Pattern) Wildcards() bool {
	for i := range p.pieces {
		if strings.IndexByte(p.pieces[i].glob, starByte) >= 0 || strings.IndexByte(p.pieces[i].glob, oneByte) >= 0 {
			return true
		}
	}
	return false
}

// textMode is how a pattern is compared with a text.
type textMode uint8

const (
	exact   textMode = iota // wildcards are plain characters
	folded                  // as exact, without regard to case
	like                    // wildcards act
	likeARN                 // wildcards act within a part of an ARN
)

func textModeOf(operator string, f Family) textMode {
	switch {
	case f == ARNFamily: // "ArnEquals and ArnLike behave identically"
		return likeARN
	case strings.HasSuffix(operator, "IgnoreCase"):
		return folded
	case strings.HasSuffix(operator, "Like"):
		return like
	}
	return exact
}

// compare matches the pattern with a text. known is false if the pattern has a
// variable that the request has no single value for.
func (p *Pattern) compare(ctx Context, text string, mode textMode) (matched, known bool) {
	if !p.Variables() {
		switch mode {
		case exact:
			return p.literal == text, true
		case folded:
			return strings.EqualFold(p.literal, text), true
		case like:
			return glob(p.compiled(), text, starByte, oneByte, false), true
		}
		return globARN(p.compiled(), text, starByte, oneByte), true
	}
	var scratch [512]byte
	b, fits, known := p.expand(scratch[:0], ctx, mode, 4*len(text))
	if !known || !fits {
		return false, known
	}
	switch mode {
	case exact:
		return string(b) == text, true
	case folded:
		return strings.EqualFold(string(b), text), true
	case like:
		return glob(string(b), text, starByte, oneByte, false), true
	}
	return globARN(string(b), text, starByte, oneByte), true
}

// expand inserts the values of variables. What becomes longer than any pattern that could
// match a text of a quarter of limit does not fit: so that the work is bounded by the policy and
// the text, whatever a request makes its headers. (The quarter is for letters that
// are longer in another case.)
func (p *Pattern) expand(b []byte, ctx Context, mode textMode, limit int) (expanded []byte, fits, known bool) {
	fits = true
	wild := 0
	for i := range p.pieces {
		pc := &p.pieces[i]
		if pc.variable == "" {
			if !fits {
				continue
			}
			for j := range len(pc.glob) {
				c := pc.glob[j]
				switch {
				case c != starByte && c != oneByte:
				case mode >= like:
					wild++
				case c == starByte:
					c = '*'
				default:
					c = '?'
				}
				b = append(b, c)
			}
			continue
		}
		value, ok := pc.value(ctx)
		if !ok {
			return nil, false, false
		}
		if fits = fits && len(b)-wild+len(value) <= limit; !fits {
			continue
		}
		from := len(b)
		b = append(b, value...)
		for j := from; mode == likeARN && j < len(b); j++ {
			if b[j] == ':' {
				b[j] = colonByte
			}
		}
	}
	return b, fits, true
}

// value is what a variable stands for.
func (pc *piece) value(ctx Context) (string, bool) {
	if Multivalued(pc.variable) {
		return "", false
	}
	var one [1]string
	if ctx != nil {
		values, _ := ctx.Values(one[:0], pc.variable)
		switch {
		case len(values) > 1:
			return "", false
		case len(values) == 1:
			for i := range len(values[0]) {
				if values[0][i] >= colonByte {
					return "", false
				}
			}
			return values[0], true
		}
	}
	return pc.fallback, pc.hasFall
}

// compilePattern finds wildcards, and variables where the language version has
// them. It returns a reason, or "".
func compilePattern(text string, variables bool) (Pattern, string) {
	p := Pattern{Text: text}
	if !strings.ContainsAny(text, "*?$") { // nothing special: share the text
		p.pieces, p.literal = []piece{{glob: text}}, text
		return p, ""
	}
	var b []byte
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '*':
			b = append(b, starByte)
		case c == '?':
			b = append(b, oneByte)
		case c == '$' && variables && strings.HasPrefix(text[i+1:], "{"):
			v, size, reason := variable(text[i:])
			if reason != "" {
				return p, reason
			}
			i += size - 1
			if v.variable == "" {
				b = append(b, v.glob...) // ${*}, ${?}, ${$}
				continue
			}
			if len(b) > 0 {
				p.pieces = append(p.pieces, piece{glob: string(b)})
				b = b[:0]
			}
			p.pieces = append(p.pieces, v)
		default:
			b = append(b, c)
		}
	}
	if len(b) > 0 {
		p.pieces = append(p.pieces, piece{glob: string(b)})
	}
	if !p.Variables() {
		p.literal = plain.Replace(p.compiled())
	}
	return p, ""
}

var plain = strings.NewReplacer(string([]byte{starByte}), "*", string([]byte{oneByte}), "?")

// variable reads the variable at the start of text and returns its length.
// Forms: ${key}, ${key, 'default'}, and the literals ${*}, ${?}, ${$}. Source:
// "IAM policy elements: Variables and tags".
func variable(text string) (v piece, size int, reason string) {
	body := text[2:]
	if len(body) >= 2 && body[1] == '}' && strings.IndexByte("*?$", body[0]) >= 0 {
		return piece{glob: body[:1]}, 4, ""
	}
	end := strings.IndexAny(body, ",}")
	if end < 0 {
		return v, 0, "a policy variable without end"
	}
	v.variable, size = strings.ToLower(body[:end]), 2+end+1
	if !validKey(v.variable) || strings.ContainsAny(v.variable, "${*?'") {
		return v, 0, "a policy variable that names no condition key"
	}
	if body[end] == ',' {
		rest, ok := strings.CutPrefix(body[end+1:], " '")
		if !ok {
			return v, 0, "a default value not of the form , 'text'"
		}
		quote := strings.Index(rest, "'}")
		if quote < 0 {
			return v, 0, "a default value without end"
		}
		v.fallback, v.hasFall = rest[:quote], true
		size += 2 + quote + 2
	}
	return v, size, ""
}

// validKey reports whether s has the form of a condition key: a vendor, a
// colon, a name. The vendor of federation keys is a URL without scheme
// (oidc.example.com/id/X:sub), and names have slashes (aws:RequestTag/k), so
// no more than that can be asked.
func validKey(s string) bool {
	vendor, name, ok := strings.Cut(s, ":")
	if !ok || vendor == "" || name == "" || len(s) > 512 {
		return false
	}
	for _, c := range vendor {
		if c <= ' ' || c == 0x7F {
			return false
		}
	}
	return true
}

package policy

import "strings"

// Compiled patterns hold these in place of the wildcards "*" and "?", so that
// the literal "${*}" and the inserted value of a policy variable stay literal.
// Neither occurs in UTF-8: Parse refuses what is not UTF-8, and a value of a
// request with one of them is not inserted.
const (
	starByte = 0xFF
	oneByte  = 0xFE
)

var starPattern = string([]byte{starByte})

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

// Pattern is a Resource or a condition value, with wildcards and policy
// variables found once.
type Pattern struct {
	Text string // as written

	mode textMode
	// Without variables, glob is all; head is what of it stands before the first
	// wildcard. colons is how many of those that separate the parts of an ARN come
	// after head; -1 if the pattern has too few to be one.
	glob   string
	head   int
	colons int
	// With variables, the pieces in turn; of an ARN for each of its six parts, as the
	// colons in the policy's own text divide them: not those of an inserted value, with
	// which a caller would move himself to another account.
	parts [][]piece
}

// piece is a part of a pattern: a text, or a variable.
type piece struct {
	glob     string // with starByte and oneByte, when variable is empty
	variable string // condition key, in lower case
	written  string // the same as it was written
	fallback string // `${key, 'fallback'}`
	hasFall  bool
}

// Variables reports whether the pattern's meaning depends on the request.
func (p *Pattern) Variables() bool { return p.parts != nil }

// Wildcards reports whether the pattern has an acting "*" or "?".
func (p *Pattern) Wildcards() bool {
	if wild(p.glob) {
		return true
	}
	for _, part := range p.parts {
		for i := range part {
			if wild(part[i].glob) {
				return true
			}
		}
	}
	return false
}

func wild(glob string) bool {
	return strings.IndexByte(glob, starByte) >= 0 || strings.IndexByte(glob, oneByte) >= 0
}

// matches compares the pattern with a text. A pattern with a variable that the
// request has no value for matches nothing ("There is no equal or like value").
func (p *Pattern) matches(f *facts, text string) bool {
	written := len(p.Text)
	if p.parts != nil {
		written += len(text) // to which values are inserted at most
	}
	switch {
	case !f.spend(written, len(text)):
		return false
	case p.parts != nil:
		return p.expandedMatches(f, text)
	case p.mode == exact:
		return p.glob == text
	case p.mode == folded:
		return strings.EqualFold(p.glob, text)
	case !strings.HasPrefix(text, p.glob[:p.head]):
		return false
	case p.mode == like:
		return glob(p.glob[p.head:], text[p.head:], starByte, oneByte)
	case p.colons < 0:
		return p.glob == starPattern
	}
	return globARN(p.glob[p.head:], text[p.head:], p.colons, starByte, oneByte)
}

func (p *Pattern) expandedMatches(f *facts, text string) bool {
	if p.mode != likeARN {
		return partMatches(p.parts[0], f, text, p.mode)
	}
	if len(p.parts) == 1 {
		// Not an ARN by itself: then its variables have to make it one, and
		// nothing tells the colons of a value from those of an ARN.
		return strings.Count(text, ":") >= colonsBeforeResource && !p.Wildcards() && partMatches(p.parts[0], f, text, exact)
	}
	for i, part := range p.parts {
		t := text
		if i < colonsBeforeResource {
			var ok bool
			if t, text, ok = strings.Cut(text, ":"); !ok {
				return false
			}
		}
		if !partMatches(part, f, t, like) {
			return false
		}
	}
	return true
}

// partMatches inserts the values of the variables and compares. What becomes
// longer than any pattern that could match the text is given up before it is made: the
// work is bounded by the policy and the text, whatever a request makes its headers.
func partMatches(part []piece, f *facts, text string, mode textMode) bool {
	if len(part) == 1 && part[0].variable == "" {
		return glob(part[0].glob, text, starByte, oneByte)
	}
	limit := len(text)
	if mode == folded {
		limit *= 4 // letters can be longer in another case
	}
	var b strings.Builder
	stars := 0
	for i := range part {
		s := part[i].glob
		if part[i].variable != "" {
			var ok bool
			if s, ok = part[i].value(f); !ok || b.Len()-stars+len(s) > limit || wild(s) {
				return false
			}
		} else {
			stars += strings.Count(s, starPattern)
		}
		b.WriteString(s)
	}
	switch mode {
	case exact:
		return b.String() == text
	case folded:
		return strings.EqualFold(b.String(), text)
	}
	return glob(b.String(), text, starByte, oneByte)
}

// resolved reports whether the request has a value for each variable.
func (p *Pattern) resolved(f *facts) bool {
	for _, part := range p.parts {
		for i := range part {
			if part[i].variable != "" {
				if _, ok := part[i].value(f); !ok {
					return false
				}
			}
		}
	}
	return true
}

// value is what a variable stands for. A key with several values cannot be told, not even
// by the default. An empty value is none: a tag without value must not
// turn "${aws:PrincipalTag/team}*" into everything.
func (pc *piece) value(f *facts) (string, bool) {
	if Multivalued(pc.variable) {
		return "", false
	}
	switch values := f.variable(pc.variable); {
	case len(values) > 1:
		return "", false
	case len(values) == 1 && values[0] != "":
		return values[0], true
	}
	return pc.fallback, pc.hasFall
}

// compilePattern finds wildcards, and variables where the language version has
// them. It returns a reason, or "".
func compilePattern(text string, variables bool, mode textMode) (p Pattern, reason string) {
	p = Pattern{Text: text, mode: mode}
	pieces, hasVariables := []piece(nil), false
	var b []byte
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '*' && mode >= like:
			b = append(b, starByte)
		case c == '?' && mode >= like:
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
			hasVariables = true
			pieces = append(pieces, piece{glob: string(b)}, v)
			b = b[:0]
		default:
			b = append(b, c)
		}
	}
	if hasVariables {
		pieces = append(pieces, piece{glob: string(b)})
		p.parts = [][]piece{pieces}
		if mode == likeARN {
			p.parts = arnParts(pieces)
		}
		return p, ""
	}
	p.glob = text
	if string(b) != text {
		p.glob = string(b)
	}
	for p.head < len(p.glob) && p.glob[p.head] != starByte && p.glob[p.head] != oneByte {
		p.head++
	}
	if p.colons = -1; strings.Count(p.glob, ":") >= colonsBeforeResource {
		p.colons = max(colonsBeforeResource-strings.Count(p.glob[:p.head], ":"), 0)
	}
	return p, ""
}

// arnParts divides pieces at the first five colons of their texts; a pattern
// with fewer stays in one.
func arnParts(pieces []piece) [][]piece {
	parts := [][]piece{nil}
	for _, pc := range pieces {
		for pc.variable == "" && len(parts) <= colonsBeforeResource {
			before, after, ok := strings.Cut(pc.glob, ":")
			if !ok {
				break
			}
			last := &parts[len(parts)-1]
			*last = append(*last, piece{glob: before})
			parts = append(parts, nil)
			pc.glob = after
		}
		last := &parts[len(parts)-1]
		*last = append(*last, pc)
	}
	if len(parts) <= colonsBeforeResource {
		return [][]piece{pieces}
	}
	return parts
}

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
	v.written, size = body[:end], 2+end+1
	v.variable = strings.ToLower(v.written)
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

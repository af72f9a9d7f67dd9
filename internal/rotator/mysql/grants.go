package mysql

import (
	"slices"
	"strings"

	"coffer/internal/rotator"
)

// grant is a line of SHOW GRANTS.
//
//	GRANT SELECT (`a`), INSERT ON `db`.`t` TO `app`@`%` WITH GRANT OPTION
//	GRANT USAGE ON *.* TO `app`@`%` IDENTIFIED BY PASSWORD '*...' REQUIRE SSL
//	GRANT `role` TO `app`@`%` WITH ADMIN OPTION
//	GRANT PROXY ON ''@'%' TO 'app'@'%'
//	REVOKE INSERT ON `db`.* FROM `app`@`%`
//	SET DEFAULT ROLE `role` FOR `app`@`%`
type grant struct {
	head string // up to the word before the grantee: "GRANT SELECT ON `db`.* TO "
	tail string // what may be kept of what follows it: " WITH GRANT OPTION", " WITH ADMIN OPTION" or ""
}

// word is a piece of a line at the top level, outside of quotes and parentheses.
type word struct {
	text       string
	start, end int
}

// words splits a line. Quotes in names are doubled (NO_BACKSLASH_ESCAPES). ok is false
// when a quote or parenthesis is not closed.
func words(line string) (all []word, ok bool) {
	depth, start := 0, -1
	for i := 0; i < len(line); i++ {
		c := line[i]
		if c == ' ' && depth == 0 {
			if start >= 0 {
				all = append(all, word{line[start:i], start, i})
				start = -1
			}
			continue
		}
		if start < 0 {
			start = i
		}
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case '\'', '"', '`':
			// A doubled quote ends one string and begins the next: the same in effect.
			end := strings.IndexByte(line[i+1:], c)
			if end < 0 {
				return nil, false
			}
			i += 1 + end
		}
		if depth < 0 {
			return nil, false
		}
	}
	if start >= 0 {
		all = append(all, word{line[start:], start, len(line)})
	}
	return all, depth == 0
}

// parseGrant reads a line about an account. mine is false when it is about somebody
// else, such as PUBLIC.
func parseGrant(line string, a account) (g grant, mine bool, err error) {
	unknown := rotator.DatabaseErrorf("a grant of %s cannot be read", a)
	all, ok := words(line)
	if !ok || len(all) < 3 {
		return grant{}, false, unknown
	}
	before := map[string]string{"GRANT": "TO", "REVOKE": "FROM", "SET": "FOR"}[all[0].text]
	if all[0].text == "SET" && (all[1].text != "DEFAULT" || all[2].text != "ROLE") {
		return grant{}, false, unknown
	}
	at := slices.IndexFunc(all, func(w word) bool { return w.text == before })
	if before == "" || at < 0 || at+1 >= len(all) {
		return grant{}, false, unknown
	}
	grantee := all[at+1]
	if grantee.text == "PUBLIC" {
		return grant{}, false, nil
	}
	if !slices.Contains(spellings(a), grantee.text) {
		return grant{}, false, unknown
	}
	g.head = line[:grantee.start]
	rest := all[at+2:]
	for i := 0; i+1 < len(rest); i++ {
		if rest[i+1].text == "OPTION" && (rest[i].text == "GRANT" || rest[i].text == "ADMIN") {
			g.tail = " WITH " + rest[i].text + " OPTION"
		}
	}
	return g, true, nil
}

// spellings are the ways in which servers write an account: MySQL 5.7 with single quotes, not
// doubling any, others with backticks.
func spellings(a account) []string {
	backtick := func(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }
	return []string{backtick(a.user) + "@" + backtick(a.host), a.String()}
}

// statement gives the account what the line is about.
func (g grant) statement(to account) string { return g.head + to.String() + g.tail }

// isNothing tells whether the line gives nothing but an account's existence. Servers let only those
// repeat it who may do anything on *.*.
func (g grant) isNothing() bool { return g.head == "GRANT USAGE ON *.* TO " && g.tail == "" }

// isDefaultRole tells whether the line sets a default role, which must have been granted.
func (g grant) isDefaultRole() bool { return strings.HasPrefix(g.head, "SET ") }

// right is one thing that an account may do. For a role, object is "role" and its name.
type right struct{ privilege, column, object string }

func (r right) String() string {
	if r.column != "" {
		return r.privilege + " (" + r.column + ") ON " + r.object
	}
	return r.privilege + " ON " + r.object
}

const grantOption, allPrivileges = "GRANT OPTION", "ALL PRIVILEGES"

// rights are what the line gives. A line that takes away, or sets a default role, gives nothing.
func (g grant) rights() []right {
	all, _ := words(g.head)
	if len(all) < 3 || all[0].text != "GRANT" {
		return nil
	}
	last := len(all) - 1 // TO
	on := slices.IndexFunc(all, func(w word) bool { return w.text == "ON" })
	var found []right
	if on < 0 || on+1 >= last {
		for _, role := range list(g.head[all[1].start:all[last].start]) {
			found = append(found, right{"MEMBER", "", "role " + role})
			if g.tail != "" {
				found = append(found, right{"ADMIN OPTION", "", "role " + role})
			}
		}
		return found
	}
	object := strings.TrimSpace(g.head[all[on+1].start:all[last].start])
	for _, p := range list(g.head[all[1].start:all[on].start]) {
		name, columns, has := strings.Cut(p, "(")
		name = strings.TrimSpace(name)
		switch {
		case name == "USAGE":
		case has:
			for _, c := range list(strings.TrimSuffix(columns, ")")) {
				found = append(found, right{name, c, object})
			}
		default:
			found = append(found, right{name, "", object})
		}
	}
	if g.tail != "" {
		found = append(found, right{grantOption, "", object})
	}
	return found
}

// list splits at commas outside of quotes and parentheses.
func list(text string) []string {
	var all []string
	depth, start := 0, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '(':
			depth++
		case ')':
			depth--
		case '\'', '"', '`':
			if end := strings.IndexByte(text[i+1:], c); end >= 0 {
				i += 1 + end
			}
		case ',':
			if depth == 0 {
				all = append(all, strings.TrimSpace(text[start:i]))
				start = i + 1
			}
		}
	}
	return append(all, strings.TrimSpace(text[start:]))
}

// places are the object and what it is in: `db`.`t`, `db`.*, *.*.
func places(object string) []string {
	found := []string{object}
	i := strings.IndexAny(object, "`\"'") // after PROCEDURE or the like
	if i < 0 || object[i] == '\'' {
		return found
	}
	name := object[i:]
	for i := 1; i < len(name); i++ {
		if name[i] != name[0] {
			continue
		}
		if i+1 < len(name) && name[i+1] == name[0] {
			i++ // a doubled quote
			continue
		}
		if strings.HasPrefix(name[i+1:], ".") {
			if schema := name[:i+1] + ".*"; schema != object {
				found = append(found, schema)
			}
			found = append(found, "*.*")
		}
		break
	}
	return found
}

// exceeds is something that one account may do and the other may not, or "".
func exceeds(these, those []grant) string {
	has := map[right]bool{}
	var taken []string
	for _, g := range those {
		for _, r := range g.rights() {
			has[r] = true
		}
		if strings.HasPrefix(g.head, "REVOKE ") {
			taken = append(taken, g.head)
			if !slices.ContainsFunc(these, func(other grant) bool { return other.head == g.head }) {
				return "no " + strings.TrimSuffix(g.head, " FROM ") // a partial revoke of the other's
			}
		}
	}
	covered := func(r right) bool {
		for _, place := range places(r.object) {
			if place == "*.*" && r.object != place && len(taken) > 0 {
				continue // not everywhere
			}
			if has[right{r.privilege, r.column, place}] || has[right{r.privilege, "", place}] {
				return true
			}
			special := r.privilege == grantOption || r.privilege == "PROXY"
			if !special && has[right{allPrivileges, "", place}] {
				return true
			}
		}
		return false
	}
	for _, g := range these {
		for _, r := range g.rights() {
			if !has[r] && !covered(r) {
				return r.String()
			}
		}
	}
	return ""
}

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

// powers are what makes an account that has the grant an administrator, of the whole server or of
// who may do what: privileges on *.* and on the schema mysql, proxies, roles.
func (g grant) powers() []string {
	all, _ := words(g.head)
	if len(all) < 3 || all[0].text != "GRANT" {
		return nil
	}
	on := slices.IndexFunc(all, func(w word) bool { return w.text == "ON" })
	if on < 0 {
		return []string{"role " + g.head[all[1].start:all[len(all)-1].start] + g.tail}
	}
	object := all[on+1].text
	privileges := strings.Split(g.head[all[1].start:all[on].start], ",")
	var found []string
	for _, p := range privileges {
		p = strings.TrimSpace(p)
		switch {
		case p == "USAGE":
		case object == "*.*", p == "PROXY", strings.HasPrefix(object, "`mysql`."), strings.HasPrefix(object, `"mysql".`):
			found = append(found, p+" ON "+object)
		}
	}
	if g.tail != "" && object == "*.*" {
		found = append(found, "GRANT OPTION ON *.*")
	}
	return found
}

// exceeds is the first power that one list has and the other has not, or "".
func exceeds(these, those []string) string {
	for _, p := range these {
		if slices.Contains(those, p) {
			continue
		}
		if strings.HasSuffix(p, " ON *.*") && p != "GRANT OPTION ON *.*" && slices.Contains(those, "ALL PRIVILEGES ON *.*") {
			continue
		}
		return p
	}
	return ""
}

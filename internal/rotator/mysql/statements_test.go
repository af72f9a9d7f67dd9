package mysql

import (
	"strings"
	"testing"
)

// TestVersions are the statements that depend on a server's kind and version; MySQL's have
// not been run against a live server.
func TestVersions(t *testing.T) {
	for _, tt := range []struct{ version, plugin, set, create string }{
		{"5.7.5", "mysql_native_password", `PASSWORD('p''w\')`, `IDENTIFIED WITH mysql_native_password BY 'p''w\'`},
		{"5.7.44-log", "mysql_native_password", `'p''w\'`, `IDENTIFIED WITH mysql_native_password BY 'p''w\'`},
		{"8.0.36", "caching_sha2_password", `'p''w\'`, `IDENTIFIED WITH caching_sha2_password BY 'p''w\'`},
		{"9.1.0", "sha256_password", `'p''w\'`, `IDENTIFIED WITH sha256_password BY 'p''w\'`},
		{"8.4.0", "authentication_ldap_simple", `'p''w\'`, ""},
		{"10.11.6-MariaDB-0+deb12u1", "mysql_native_password", `PASSWORD('p''w\')`, `IDENTIFIED BY 'p''w\'`},
		{"11.4.2-MariaDB", "ed25519", `PASSWORD('p''w\')`, `IDENTIFIED VIA ed25519 USING PASSWORD('p''w\')`},
		{"11.4.2-MariaDB", "unix_socket", `PASSWORD('p''w\')`, ""},
	} {
		s := server{tt.version}
		if got := s.password(`p'w\`); got != tt.set {
			t.Errorf("%s: SET PASSWORD = %s, want %s", tt.version, got, tt.set)
		}
		if got, ok := s.identified(tt.plugin, `p'w\`); got != tt.create || ok != (tt.create != "") {
			t.Errorf("%s: CREATE USER u %s, want %s", tt.version, got, tt.create)
		}
	}
}

// TestGrants reads lines of SHOW GRANTS of MySQL 5.7 and 8 and of MariaDB and gives
// somebody else the same.
func TestGrants(t *testing.T) {
	odd, to := account{"o`d'd", "10.%"}, account{"o`d'd_clone", "10.%"}
	const clone = "'o`d''d_clone'@'10.%'"
	for _, tt := range []struct{ line, want, rights string }{
		{"GRANT USAGE ON *.* TO `o``d'd`@`10.%`", "GRANT USAGE ON *.* TO " + clone, ""},
		{"GRANT SELECT (`a TO b`, `c`), INSERT ON `d``b`.`t ON x` TO 'o`d''d'@'10.%' WITH GRANT OPTION", "GRANT SELECT (`a TO b`, `c`), INSERT ON `d``b`.`t ON x` TO " + clone + " WITH GRANT OPTION", "SELECT (`a TO b`) ON `d``b`.`t ON x`|SELECT (`c`) ON `d``b`.`t ON x`|INSERT ON `d``b`.`t ON x`|GRANT OPTION ON `d``b`.`t ON x`"},
		{"GRANT ALL PRIVILEGES ON *.* TO `o``d'd`@`10.%` IDENTIFIED BY PASSWORD '*ABC' REQUIRE SSL WITH GRANT OPTION MAX_USER_CONNECTIONS 3", "GRANT ALL PRIVILEGES ON *.* TO " + clone + " WITH GRANT OPTION", "ALL PRIVILEGES ON *.*|GRANT OPTION ON *.*"},
		{"GRANT `reader`@`%`,`writer`@`%` TO `o``d'd`@`10.%`", "GRANT `reader`@`%`,`writer`@`%` TO " + clone, "MEMBER ON role `reader`@`%`|MEMBER ON role `writer`@`%`"},
		{"GRANT `role` TO `o``d'd`@`10.%` WITH ADMIN OPTION", "GRANT `role` TO " + clone + " WITH ADMIN OPTION", "MEMBER ON role `role`|ADMIN OPTION ON role `role`"},
		{"GRANT PROXY ON ''@'%' TO 'o`d''d'@'10.%' WITH GRANT OPTION", "GRANT PROXY ON ''@'%' TO " + clone + " WITH GRANT OPTION", "PROXY ON ''@'%'|GRANT OPTION ON ''@'%'"},
		{"GRANT APPLICATION_PASSWORD_ADMIN,BACKUP_ADMIN ON *.* TO `o``d'd`@`10.%`", "GRANT APPLICATION_PASSWORD_ADMIN,BACKUP_ADMIN ON *.* TO " + clone, "APPLICATION_PASSWORD_ADMIN ON *.*|BACKUP_ADMIN ON *.*"},
		{"GRANT SELECT ON `mysql`.* TO `o``d'd`@`10.%`", "GRANT SELECT ON `mysql`.* TO " + clone, "SELECT ON `mysql`.*"},
		{"REVOKE INSERT ON `db`.* FROM `o``d'd`@`10.%`", "REVOKE INSERT ON `db`.* FROM " + clone, ""},
		{"SET DEFAULT ROLE `role` FOR `o``d'd`@`10.%`", "SET DEFAULT ROLE `role` FOR " + clone, ""},
	} {
		g, mine, err := parseGrant(tt.line, odd)
		if err != nil || !mine {
			t.Errorf("%s: %v, %v", tt.line, mine, err)
			continue
		}
		if got := g.statement(to); got != tt.want {
			t.Errorf("%s\nbecomes %s\nwant    %s", tt.line, got, tt.want)
		}
		var rights []string
		for _, r := range g.rights() {
			rights = append(rights, r.String())
		}
		if got := strings.Join(rights, "|"); got != tt.rights {
			t.Errorf("%s gives the rights %q, want %q", tt.line, got, tt.rights)
		}
	}
	if _, mine, err := parseGrant("GRANT SELECT ON `db`.* TO PUBLIC", odd); mine || err != nil {
		t.Error(mine, err)
	}
	for _, line := range []string{"", "GRANT", "DROP USER x", "GRANT SELECT ON *.* TO `other`@`%`", "GRANT SELECT ON `db TO `o``d'd`@`10.%`", "GRANT SELECT ON *.*", "SET PASSWORD FOR `o``d'd`@`10.%`", "GRANT a) ON b TO c"} {
		if _, _, err := parseGrant(line, odd); err == nil {
			t.Errorf("%q is read", line)
		}
	}
}

// TestExceeds: an existing account is a clone only if each of its rights is one of the first's.
func TestExceeds(t *testing.T) {
	for _, tt := range []struct{ name, clone, first, want string }{
		{"nothing", "GRANT USAGE ON *.* TO", "GRANT USAGE ON *.* TO", ""},
		{"the same", "GRANT SELECT, INSERT ON `d`.* TO", "GRANT INSERT, SELECT ON `d`.* TO", ""},
		{"less", "GRANT SELECT ON `d`.* TO", "GRANT INSERT, SELECT ON `d`.* TO", ""},
		{"another privilege", "GRANT SELECT, DROP ON `d`.* TO", "GRANT SELECT ON `d`.* TO", "DROP ON `d`.*"},
		{"another schema", "GRANT SELECT ON `e`.* TO", "GRANT SELECT ON `d`.* TO", "SELECT ON `e`.*"},
		{"a table of the schema", "GRANT SELECT ON `d`.`t` TO", "GRANT SELECT ON `d`.* TO", ""},
		{"the schema of a table", "GRANT SELECT ON `d`.* TO", "GRANT SELECT ON `d`.`t` TO", "SELECT ON `d`.*"},
		{"a schema, of one who has it everywhere", "GRANT SELECT ON `d`.* TO", "GRANT ALL PRIVILEGES ON *.* TO", ""},
		{"a column of the table", "GRANT SELECT (`a`) ON `d`.`t` TO", "GRANT SELECT ON `d`.`t` TO", ""},
		{"the table of a column", "GRANT SELECT ON `d`.`t` TO", "GRANT SELECT (`a`) ON `d`.`t` TO", "SELECT ON `d`.`t`"},
		{"another column", "GRANT SELECT (`a`, `b`) ON `d`.`t` TO", "GRANT SELECT (`a`) ON `d`.`t` TO", "SELECT (`b`) ON `d`.`t`"},
		{"a procedure of the schema", "GRANT EXECUTE ON PROCEDURE `d`.`p` TO", "GRANT EXECUTE ON `d`.* TO", ""},
		{"a procedure", "GRANT EXECUTE ON PROCEDURE `d`.`p` TO", "GRANT EXECUTE ON FUNCTION `d`.`p` TO", "EXECUTE ON PROCEDURE `d`.`p`"},
		{"all of a schema", "GRANT ALL PRIVILEGES ON `d`.* TO", "GRANT SELECT ON `d`.* TO", "ALL PRIVILEGES ON `d`.*"},
		{"the option to grant", "GRANT SELECT ON `d`.* TO+", "GRANT ALL PRIVILEGES ON `d`.* TO", "GRANT OPTION ON `d`.*"},
		{"a role", "GRANT `r`@`%`,`s`@`%` TO", "GRANT `r`@`%` TO", "MEMBER ON role `s`@`%`"},
		{"the administration of a role", "GRANT `r` TO+", "GRANT `r` TO", "ADMIN OPTION ON role `r`"},
		{"a proxy", "GRANT PROXY ON 'root'@'%' TO", "GRANT ALL PRIVILEGES ON *.* TO", "PROXY ON 'root'@'%'"},
		{"the first's partial revoke is missing", "GRANT SELECT ON *.* TO", "GRANT SELECT ON *.* TO;REVOKE SELECT ON `d`.* FROM", "no REVOKE SELECT ON `d`.*"},
		{"around the first's partial revoke", "GRANT SELECT ON `d`.* TO;REVOKE SELECT ON `d`.* FROM", "GRANT SELECT ON *.* TO;REVOKE SELECT ON `d`.* FROM", "SELECT ON `d`.*"},
		{"a name with a quote", "GRANT SELECT ON `d``.*`.`t` TO", "GRANT SELECT ON `d`.* TO", "SELECT ON `d``.*`.`t`"},
	} {
		read := func(lines string) (all []grant) {
			for _, line := range strings.Split(lines, ";") {
				line, option := strings.CutSuffix(line, "+")
				line += " 'u'@'%'"
				if option {
					line += map[bool]string{true: " WITH GRANT OPTION", false: " WITH ADMIN OPTION"}[strings.Contains(line, " ON ")]
				}
				g, mine, err := parseGrant(line, account{"u", "%"})
				if err != nil || !mine {
					t.Fatal(line, err)
				}
				all = append(all, g)
			}
			return all
		}
		if got := exceeds(read(tt.clone), read(tt.first)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// FuzzGrant wants no line to be read as one that is about somebody else, or to panic.
func FuzzGrant(f *testing.F) {
	f.Add("GRANT SELECT (`a`), INSERT ON `db`.`t` TO `app`@`%` WITH GRANT OPTION")
	f.Add("GRANT PROXY ON ''@'%' TO 'app'@'%'")
	f.Add("SET DEFAULT ROLE `role` FOR `app`@`%`")
	f.Fuzz(func(t *testing.T, line string) {
		g, mine, err := parseGrant(line, account{"app", "%"})
		if err != nil || !mine {
			return
		}
		all, ok := words(g.statement(account{"clone", "%"}))
		if !ok {
			t.Fatal("the statement cannot be read")
		}
		found := 0
		for _, w := range all {
			if w.text == "'clone'@'%'" {
				found++
			}
		}
		if found == 0 {
			t.Fatalf("%q is not about the clone", g.statement(account{"clone", "%"}))
		}
		g.rights()
	})
}

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
	for _, tt := range []struct{ line, want, powers string }{
		{"GRANT USAGE ON *.* TO `o``d'd`@`10.%`", "GRANT USAGE ON *.* TO " + clone, ""},
		{"GRANT SELECT (`a TO b`, `c`), INSERT ON `d``b`.`t ON x` TO 'o`d''d'@'10.%' WITH GRANT OPTION", "GRANT SELECT (`a TO b`, `c`), INSERT ON `d``b`.`t ON x` TO " + clone + " WITH GRANT OPTION", ""},
		{"GRANT ALL PRIVILEGES ON *.* TO `o``d'd`@`10.%` IDENTIFIED BY PASSWORD '*ABC' REQUIRE SSL WITH GRANT OPTION MAX_USER_CONNECTIONS 3", "GRANT ALL PRIVILEGES ON *.* TO " + clone + " WITH GRANT OPTION", "ALL PRIVILEGES ON *.*|GRANT OPTION ON *.*"},
		{"GRANT `reader`@`%`,`writer`@`%` TO `o``d'd`@`10.%`", "GRANT `reader`@`%`,`writer`@`%` TO " + clone, "role `reader`@`%`,`writer`@`%` "},
		{"GRANT `role` TO `o``d'd`@`10.%` WITH ADMIN OPTION", "GRANT `role` TO " + clone + " WITH ADMIN OPTION", "role `role`  WITH ADMIN OPTION"},
		{"GRANT PROXY ON ''@'%' TO 'o`d''d'@'10.%' WITH GRANT OPTION", "GRANT PROXY ON ''@'%' TO " + clone + " WITH GRANT OPTION", "PROXY ON ''@'%'"},
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
		if got := strings.Join(g.powers(), "|"); got != tt.powers {
			t.Errorf("%s has the powers %q, want %q", tt.line, got, tt.powers)
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
		g.powers()
	})
}

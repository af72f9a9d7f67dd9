package mongo_test

import (
	"crypto/tls"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"coffer/internal/rotator"
	"coffer/internal/rotator/mongo"
	"coffer/internal/rotator/rotatortest"
)

var (
	single      = rotator.SingleUser(mongo.Engine{})
	alternating = rotator.AlternatingUsers(mongo.Engine{})
)

type bench struct {
	*server
	*rotatortest.Vault
	master string
}

func newBench(t *testing.T) *bench {
	b := &bench{server: newServer(t, nil), Vault: rotatortest.NewVault(t)}
	b.add("root", "marker-root", account{admin: true, roles: []string{"root"}})
	b.add("app", "marker-0", account{roles: []string{"readWrite"}, restrictions: bson.A{bson.M{"clientSource": bson.A{"10.0.0.0/8"}}}})
	b.master = b.Create("master", b.secret("root", "marker-root"))
	return b
}

func (b *bench) secret(user, password string) map[string]any {
	return map[string]any{"engine": "mongo", "host": rotatortest.Host, "port": b.port, "username": user, "password": password, "ssl": false}
}

func (b *bench) withMaster(user, password string) map[string]any {
	s := b.secret(user, password)
	s["masterarn"] = b.master
	return s
}

// sent is the commands about users that the server got, passwords replaced.
func (b *bench) sent() string {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	var all []string
	for _, c := range b.commands {
		for _, name := range []string{"usersInfo", "createUser", "updateUser"} {
			if v, ok := c[name]; ok {
				all = append(all, fmt.Sprint(name, " ", v, " roles ", c["roles"], " custom ", c["customData"], " restrictions ", c["authenticationRestrictions"], " in ", c["$db"]))
			}
		}
	}
	b.commands = nil
	return strings.Join(all, "\n")
}

// TestSingleUser sends one command.
func TestSingleUser(t *testing.T) {
	b := newBench(t)
	arn := b.Create("app", b.secret("app", "marker-0"))
	b.MustRotate(single, arn)
	value := b.MustRotate(single, arn)
	if value["username"] != "app" {
		t.Errorf("the user is %v", value["username"])
	}
	const one = "updateUser app roles <nil> custom <nil> restrictions <nil> in admin"
	if got := b.sent(); got != one+"\n"+one {
		t.Errorf("sent\n%s", got)
	}
	rotatortest.WantNone(t, "the log", b.Log(), "marker")
}

// TestAlternatingUsers gives the clone what the user has, when it is made and later.
func TestAlternatingUsers(t *testing.T) {
	b := newBench(t)
	arn := b.Create("app", b.withMaster("app", "marker-0"))
	const (
		info = `usersInfo {"user":"app","db":"admin"} roles <nil> custom <nil> restrictions <nil> in admin
usersInfo {"user":"app_clone","db":"admin"} roles <nil> custom <nil> restrictions <nil> in admin
`
		has = ` app_clone roles [{"role":"readWrite","db":"orders"}] custom {"team":"blue"} restrictions [{"clientSource":["10.0.0.0/8"]}] in admin`
	)
	if value := b.MustRotate(alternating, arn); value["username"] != "app_clone" {
		t.Errorf("the user is %v", value["username"])
	}
	if got := b.sent(); got != info+"createUser"+has {
		t.Errorf("sent\n%s", got)
	}
	b.MustRotate(alternating, arn)
	b.sent()
	if value := b.MustRotate(alternating, arn); value["username"] != "app_clone" {
		t.Errorf("the user is %v", value["username"])
	}
	if got := b.sent(); got != info+"updateUser"+has {
		t.Errorf("sent\n%s", got)
	}
}

// TestDocumentDB asks again without what such a server does not know.
func TestDocumentDB(t *testing.T) {
	b := newBench(t)
	b.old = true
	b.MustRotate(alternating, b.Create("app", b.withMaster("app", "marker-0")))
	if got := b.sent(); !strings.HasSuffix(got, `createUser app_clone roles [{"role":"readWrite","db":"orders"}] custom {"team":"blue"} restrictions <nil> in admin`) {
		t.Errorf("sent\n%s", got)
	}
}

// TestRefusals are users that cannot be rotated.
func TestRefusals(t *testing.T) {
	tests := []struct {
		name     string
		rotation rotator.Rotation
		change   func(*bench, map[string]any)
		want     string
	}{
		{"a wrong password", single, func(b *bench, v map[string]any) { v["password"] = "marker-x" }, "Unable to log into database with previous, current, or pending secret"},
		{"an unknown user", alternating, func(b *bench, v map[string]any) { v["username"] = "nobody" }, "Unable to log into database using current credentials"},
		{"a user who may not change itself", single, func(b *bench, _ map[string]any) { b.users["app"].frozen = true }, "give it a role with the privilege changeOwnPassword on database admin"},
		{"a superuser who is none", alternating, func(b *bench, _ map[string]any) { b.users["root"].admin = false }, "may not read users (not authorized on admin to execute command (Unauthorized)): grant it userAdmin"},
		{"a clone with more roles", alternating, func(b *bench, _ map[string]any) {
			b.add("app_clone", "marker-c", account{roles: []string{"readWrite", "dbOwner"}})
		}, "has the role dbOwner of database orders, which app has not: it is not taken for its clone"},
		{"another engine", single, func(b *bench, v map[string]any) { v["engine"] = "mysql" }, "Database engine must be set to 'mongo'"},
		{"nobody there", single, func(b *bench, v map[string]any) { v["port"] = 1 }, "Unable to log into database"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			value := b.withMaster("app", "marker-0")
			tt.change(b, value)
			f := b.Rotate(tt.rotation, b.Create("app", value), rotatortest.NewToken())
			if f == nil || !strings.Contains(f.Message, tt.want) {
				t.Errorf("%+v, want %q\n%s", f, tt.want, b.Log())
			}
			rotatortest.WantNone(t, "the log", b.Log(), "marker")
		})
	}
}

// TestDropped loses the answer to the command that changed the password: the next try
// finds it changed.
func TestDropped(t *testing.T) {
	b := newBench(t)
	for name, r := range map[string]rotator.Rotation{"single": single, "alternating": alternating} {
		b.add("app", "marker-0", account{roles: []string{"readWrite"}})
		b.dropAfter(map[string]string{"single": "updateUser", "alternating": "createUser"}[name])
		arn := b.Create(name, b.withMaster("app", "marker-0"))
		token := rotatortest.NewToken()
		if f := b.Rotate(r, arn, token); f == nil || !strings.Contains(f.Message, "the connection to the server was lost") {
			t.Errorf("%s: %+v", name, f)
		}
		b.dropAfter("")
		if f := b.Rotate(r, arn, token); f != nil {
			t.Errorf("%s: %s", name, f.Message)
		}
	}
}

// TestOdd takes names and passwords as they are.
func TestOdd(t *testing.T) {
	b := newBench(t)
	for i, odd := range []string{`a'b"c\d%s`, "$gt {x: 1}", "ünïcødé", "with space"} {
		b.add(odd, odd+"0", account{})
		arn := b.Create(fmt.Sprint("odd", i), b.secret(odd, odd+"0"))
		token := rotatortest.NewToken()
		b.PutPending(arn, token, b.secret(odd, odd+"1"))
		if f := b.Rotate(single, arn, token); f != nil {
			t.Errorf("%q: %s", odd, f.Message)
		}
	}
}

// TestTLS reaches servers with TLS, verified or not, and those without.
func TestTLS(t *testing.T) {
	h := httptest.NewUnstartedServer(nil)
	h.StartTLS()
	defer h.Close()
	s := newServer(t, &tls.Config{Certificates: h.TLS.Certificates})
	v := rotatortest.NewVault(t)
	s.add("app", "marker-0", account{})
	secret := map[string]any{"engine": "mongo", "host": rotatortest.Host, "port": s.port, "username": "app", "password": "marker-0"}
	v.MustRotate(single, v.Create("try", secret))
	if !strings.Contains(v.Log(), "unverified SSL/TLS connection as user 'app'") {
		t.Error(v.Log())
	}
	s.add("app", "marker-0", account{})
	secret["ssl"] = "true"
	if f := v.Rotate(single, v.Create("verify", secret), rotatortest.NewToken()); f == nil {
		t.Error("a certificate that nobody knows is taken")
	}
	secret["ssl"] = "false"
	if f := v.Rotate(single, v.Create("plain", secret), rotatortest.NewToken()); f == nil {
		t.Error("a server with TLS is reached without")
	}
	b := newBench(t)
	plain := b.secret("app", "marker-0")
	delete(plain, "ssl")
	b.MustRotate(single, b.Create("no-tls", plain))
	if !strings.Contains(b.Log(), "non SSL/TLS connection as user 'app'") {
		t.Error(b.Log())
	}
}

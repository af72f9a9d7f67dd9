package mongo_test

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/xdg-go/scram"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// server speaks as much of MongoDB's protocol as shows what a driver sends: it checks
// passwords by SCRAM and keeps users. What a real server makes of the commands it does
// not know.
type server struct {
	t    *testing.T
	port int

	mu       sync.Mutex
	users    map[string]*account // by name, of database admin
	commands []bson.M            // createUser, updateUser and usersInfo
	old      bool                // knows no authentication restrictions, like DocumentDB
	drop     string              // the command after which the connection breaks
}

type account struct {
	credentials  scram.StoredCredentials
	roles        []string
	restrictions bson.A
	admin        bool // may change others
	frozen       bool // may not even change itself
}

func newServer(t *testing.T, config *tls.Config) *server {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, port: l.Addr().(*net.TCPAddr).Port, users: map[string]*account{}}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	var conns sync.WaitGroup
	t.Cleanup(func() { l.Close(); conns.Wait() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { defer c.Close(); s.serve(c) })
		}
	}()
	return s
}

func (s *server) add(name, password string, a account) {
	c, err := scram.SHA256.NewClient(name, password, "")
	if err != nil {
		s.t.Fatal(err)
	}
	a.credentials, err = c.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt of " + name, Iters: 4096})
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[name] = &a
}

// dropAfter breaks the connection after each such command.
func (s *server) dropAfter(command string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop = command
}

// serve answers OP_QUERY, with which drivers greet, and OP_MSG.
func (s *server) serve(c net.Conn) {
	who := &login{}
	for {
		head := make([]byte, 16)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		le := binary.LittleEndian
		size, id, op := le.Uint32(head), le.Uint32(head[4:]), le.Uint32(head[12:])
		if size < 16 || size > 1<<20 {
			return
		}
		body := make([]byte, size-16)
		if _, err := io.ReadFull(c, body); err != nil {
			return
		}
		query := op == 2004
		if query {
			body = body[4+slices.Index(body[4:], 0)+1+8:]
		} else {
			body = body[5:]
		}
		var command bson.D
		if err := bson.Unmarshal(body, &command); err != nil {
			s.t.Error(err)
			return
		}
		answer, drop := s.answer(who, command)
		if drop {
			return
		}
		b, err := bson.Marshal(answer)
		if err != nil {
			s.t.Error(err)
			return
		}
		before := []byte{0, 0, 0, 0, 0} // flags, kind of section
		code := uint32(2013)
		if query {
			code = 1
			before = make([]byte, 20)
			before[16] = 1
		}
		out := make([]byte, 16)
		le.PutUint32(out, uint32(16+len(before)+len(b)))
		le.PutUint32(out[8:], id)
		le.PutUint32(out[12:], code)
		if _, err := c.Write(append(append(out, before...), b...)); err != nil {
			return
		}
	}
}

type login struct {
	talk *scram.ServerConversation
	name string
}

func failed(code int, name, text string) bson.M {
	return bson.M{"ok": 0, "code": code, "codeName": name, "errmsg": text}
}

func (s *server) answer(who *login, command bson.D) (answer bson.M, drop bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := bson.M{}
	for _, e := range command {
		c[e.Key] = e.Value
	}
	name := command[0].Key
	switch name {
	case "isMaster", "ismaster", "hello":
		return bson.M{"ok": 1, "ismaster": true, "isWritablePrimary": true, "maxWireVersion": 21, "minWireVersion": 0, "helloOk": true,
			"maxBsonObjectSize": 1 << 24, "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 1000, "saslSupportedMechs": bson.A{"SCRAM-SHA-256"}}, false
	case "saslStart":
		server, err := scram.SHA256.NewServer(func(name string) (scram.StoredCredentials, error) {
			u, ok := s.users[name]
			if !ok {
				return scram.StoredCredentials{}, fmt.Errorf("nobody")
			}
			return u.credentials, nil
		})
		if err != nil {
			s.t.Error(err)
		}
		who.talk = server.NewConversation()
		fallthrough
	case "saslContinue":
		payload, err := who.talk.Step(string(c["payload"].(bson.Binary).Data))
		if err != nil {
			return failed(18, "AuthenticationFailed", "Authentication failed."), false
		}
		if who.talk.Done() {
			who.name = who.talk.Username()
		}
		return bson.M{"ok": 1, "conversationId": 1, "done": who.talk.Done(), "payload": []byte(payload)}, false
	case "endSessions", "ping":
		return bson.M{"ok": 1}, false
	}
	if who.name == "" {
		return failed(13, "Unauthorized", "Command requires authentication"), false
	}
	if name == "connectionStatus" {
		return bson.M{"ok": 1, "authInfo": bson.M{"authenticatedUsers": bson.A{bson.M{"user": who.name, "db": "admin"}}}}, false
	}
	s.commands = append(s.commands, c)
	self := s.users[who.name]
	target, isSelf := c[name].(string)
	isSelf = isSelf && target == who.name && name == "updateUser" && !self.frozen && c["roles"] == nil
	if !self.admin && !isSelf {
		return failed(13, "Unauthorized", fmt.Sprintf("not authorized on admin to execute command { %s: %q, pwd: %q }", name, target, c["pwd"])), false
	}
	switch name {
	case "usersInfo":
		if s.old && c["showAuthenticationRestrictions"] != nil {
			return failed(303, "FeatureNotSupported", "Feature not supported: showAuthenticationRestrictions"), false
		}
		list := bson.A{}
		for _, e := range c["usersInfo"].(bson.D) {
			if e.Key != "user" {
				continue
			}
			if u, ok := s.users[e.Value.(string)]; ok {
				roles := bson.A{}
				for _, r := range u.roles {
					roles = append(roles, bson.M{"role": r, "db": "orders"})
				}
				info := bson.M{"user": e.Value, "db": "admin", "roles": roles, "mechanisms": bson.A{"SCRAM-SHA-256"}, "customData": bson.M{"team": "blue"}}
				if !s.old {
					info["authenticationRestrictions"] = u.restrictions
				}
				list = append(list, info)
			}
		}
		return bson.M{"ok": 1, "users": list}, false
	case "createUser", "updateUser":
		_, exists := s.users[target]
		if exists != (name == "updateUser") {
			return failed(51003, "Location51003", "User already exists, or not"), false
		}
		a := account{}
		if exists {
			a = *s.users[target]
		}
		if roles, ok := c["roles"].(bson.A); ok {
			a.roles = nil
			for _, r := range roles {
				for _, e := range r.(bson.D) {
					if e.Key == "role" {
						a.roles = append(a.roles, e.Value.(string))
					}
				}
			}
		}
		s.mu.Unlock()
		s.add(target, c["pwd"].(string), a)
		s.mu.Lock()
		return bson.M{"ok": 1}, s.drop == name
	}
	return failed(59, "CommandNotFound", "no such command"), false
}

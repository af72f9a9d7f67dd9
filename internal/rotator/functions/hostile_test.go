package functions_test

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/builtin"
	"coffer/internal/rotator"
	"coffer/internal/rotator/functions"
	"coffer/internal/rotator/rotatortest"
)

// TestHostile logs in to servers that are none: whoever writes a secret says where to go. It
// ends within the time of two logins, with an error and not a panic, and lets nobody in.
func TestHostile(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex
	noise := func(n int) []byte {
		mu.Lock()
		defer mu.Unlock()
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	servers := map[string]func(net.Conn){
		"closes":           func(net.Conn) {},
		"closes late":      func(c net.Conn) { c.Read(make([]byte, 4096)) },
		"sends noise":      func(c net.Conn) { c.Write(noise(4096)) },
		"answers by noise": func(c net.Conn) { c.Read(make([]byte, 4096)); c.Write(noise(64)); c.Read(make([]byte, 4096)) },
		"answers zeros":    func(c net.Conn) { c.Read(make([]byte, 4096)); c.Write(make([]byte, 4096)); c.Read(make([]byte, 4096)) },
		"answers HTTP": func(c net.Conn) {
			c.Read(make([]byte, 4096))
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		},
		"echoes": func(c net.Conn) { io.Copy(c, io.LimitReader(c, 1<<20)) },
		"claims a GB": func(c net.Conn) {
			c.Read(make([]byte, 4096))
			c.Write([]byte("R\x40\x00\x00\x00$1000000000\r\n"))
			c.Read(make([]byte, 4096))
		},
		"takes its time":  func(c net.Conn) { io.Copy(io.Discard, c) },
		"drips":           drip,
		"OKs every login": func(c net.Conn) { c.Read(make([]byte, 4096)); io.WriteString(c, "+OK\r\n"); io.Copy(io.Discard, c) },
	}
	v := rotatortest.NewVault(t)
	if testing.Short() {
		delete(servers, "takes its time")
		delete(servers, "drips")
	}
	var all sync.WaitGroup // at once: they wait most of the time
	for kind, serve := range servers {
		for _, f := range builtin.Functions {
			var secret map[string]any
			if err := json.Unmarshal([]byte(f.Secret), &secret); err != nil {
				t.Fatal(err)
			}
			if secret["engine"] == nil || secret["masterarn"] != nil && secret["engine"] != "redis" || f.Name == "SecretsManagerMemoryDBUserRotation" {
				continue
			}
			secret["host"], secret["port"], secret["ssl"], secret["password"] = rotatortest.Host, listen(t, serve), false, "marker"
			arn, token := v.Create(strings.ReplaceAll(kind, " ", "-")+f.Name, secret), rotatortest.NewToken()
			v.PutPending(arn, token, secret)
			r, _ := functions.Rotation(f.Name)
			all.Go(func() {
				start := time.Now()
				failure := v.Step(r, rotator.SetSecret, arn, token)
				if failure == nil || failure.Type != "ValueError" {
					t.Errorf("%s %s: %+v", kind, f.Name, failure)
				}
				if took := time.Since(start); took > 25*time.Second {
					t.Errorf("%s %s took %s", kind, f.Name, took)
				}
			})
		}
	}
	all.Wait()
	rotatortest.WantNone(t, "the log", v.Log(), "marker")
}

func drip(c net.Conn) {
	for range 100 {
		if _, err := c.Write([]byte{0}); err != nil {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func listen(t *testing.T, serve func(net.Conn)) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			all.Go(func() { defer c.Close(); serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return l.Addr().(*net.TCPAddr).Port
}

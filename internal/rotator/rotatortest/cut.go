package rotatortest

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"testing"
)

// Cut is a network that breaks a connection once, when a statement goes through that has
// a word. Connections must be without TLS.
type Cut struct {
	Port int

	to   int
	mu   sync.Mutex
	word []byte
	late bool
}

// NewCut starts one in front of a server's port. It lets everything through at first.
func NewCut(t testing.TB, port int) *Cut {
	t.Helper()
	l, err := net.Listen("tcp", Host+":0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cut{Port: l.Addr().(*net.TCPAddr).Port, to: port}
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { c.pass(client) })
		}
	})
	return c
}

// Before breaks the connection before the server gets what has the word.
func (c *Cut) Before(word string) { c.set(word, false) }

// After breaks the connection when the server has answered what has the word, and lets
// nobody see the answer.
func (c *Cut) After(word string) { c.set(word, true) }

func (c *Cut) set(word string, late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.word, c.late = []byte(word), late
}

// hit tells whether to break, and when; once.
func (c *Cut) hit(b []byte) (hit, late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.word == nil || !bytes.Contains(b, c.word) {
		return false, false
	}
	c.word = nil
	return true, c.late
}

// Done tells whether it broke a connection.
func (c *Cut) Done() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.word == nil
}

func (c *Cut) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", fmt.Sprint(Host, ":", c.to))
	if err != nil {
		return
	}
	defer server.Close()
	var mu sync.Mutex
	waiting := false
	var back sync.WaitGroup
	defer back.Wait()
	defer server.Close() // before the wait: ends it
	back.Go(func() {
		defer client.Close()
		copyUnless(client, server, func([]byte) bool { mu.Lock(); defer mu.Unlock(); return waiting })
	})
	copyUnless(server, client, func(b []byte) bool {
		hit, late := c.hit(b)
		if hit && late {
			mu.Lock()
			waiting = true
			mu.Unlock()
		}
		return hit && !late
	})
}

// copyUnless copies until either end closes or stop says so about what was read.
func copyUnless(to, from net.Conn, stop func([]byte) bool) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err != nil || stop(b[:n]) {
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

package pebble_test

import (
	"log/slog"
	"testing"

	"coffer/internal/kv"
	"coffer/internal/kv/kvtest"
	"coffer/internal/kv/pebble"
)

func TestStore(t *testing.T) {
	kvtest.Run(t, func(t *testing.T) kv.Store { return mustOpen(t, t.TempDir()) })
}

func mustOpen(t testing.TB, dir string) *pebble.Store {
	t.Helper()
	s, err := pebble.Open(config(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func config(dir string) pebble.Config {
	return pebble.Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)}
}

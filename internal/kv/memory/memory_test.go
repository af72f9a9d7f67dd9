package memory_test

import (
	"testing"

	"coffer/internal/kv"
	"coffer/internal/kv/kvtest"
	"coffer/internal/kv/memory"
)

func TestStore(t *testing.T) {
	kvtest.Run(t, func(*testing.T) kv.Store { return memory.New() })
}

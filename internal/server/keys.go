package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"coffer/internal/audit"
	"coffer/internal/envelope"
	"coffer/internal/kv"
	"coffer/internal/table"
)

// keyringRow holds the wrapped keyring. It is the one row that is not sealed
// under the store key, because it holds that key.
var keyringRow = []byte("coffer.keyring")

// RootKeyConfig says where the root key of a store comes from.
type RootKeyConfig struct {
	Dir        Dir
	File       string                 // empty: root.key in Dir
	Passphrase func() ([]byte, error) // if set, instead of a file
	Create     bool                   // make one if the store is new

	PassphraseFile string // where Passphrase reads, for messages
}

// OpenRootKey opens the root key of a store. With Create, it makes one if the
// store is new. A store that holds a keyring never gets a new root
// key: that would hide that the old one is missing.
func OpenRootKey(ctx context.Context, store kv.Store, cfg RootKeyConfig) (envelope.RootKey, error) {
	used, err := hasKeyring(ctx, store)
	if err != nil {
		return nil, err
	}
	create := cfg.Create && !used
	if cfg.Passphrase != nil {
		return openPassphrase(cfg, create)
	}
	file := cfg.File
	if file == "" {
		file = cfg.Dir.RootKey()
	}
	there, err := exists(file)
	if err != nil {
		return nil, fmt.Errorf("root key file: %w", err)
	}
	switch {
	case there:
		return envelope.OpenKeyFile(file)
	case create:
		return envelope.CreateKeyFile(file)
	}
	if passphrase, _ := exists(cfg.Dir.Passphrase()); passphrase {
		return nil, fmt.Errorf("the store in %s was made with a passphrase; start with --passphrase-file or COFFER_PASSPHRASE", cfg.Dir)
	}
	return nil, fmt.Errorf("root key file %s is missing, and the store in %s cannot be read without it; put it back from where you keep it, or name it with --root-key-file", file, cfg.Dir)
}

func openPassphrase(cfg RootKeyConfig, create bool) (envelope.RootKey, error) {
	pass, err := cfg.Passphrase()
	if err != nil {
		return nil, err
	}
	defer clear(pass)
	// Argon2id took 64 MiB that nothing needs again.
	defer debug.FreeOSMemory()
	header, err := os.ReadFile(cfg.Dir.Passphrase())
	switch {
	case err == nil:
		return envelope.OpenPassphrase(pass, header)
	case !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("passphrase header: %w", err)
	case !create:
		return nil, fmt.Errorf("%s is missing: the store was made with a root key file, or the header was lost; put it back from a backup", cfg.Dir.Passphrase())
	}
	key, header, err := envelope.NewPassphrase(pass, envelope.PassphraseParams{})
	if err != nil {
		return nil, err
	}
	return key, writeFile(cfg.Dir.Passphrase(), header)
}

func hasKeyring(ctx context.Context, store kv.Store) (has bool, err error) {
	err = store.View(ctx, func(tx kv.Tx) error {
		_, err := tx.Get(keyringRow)
		if errors.Is(err, kv.ErrNotFound) {
			// Rows without a keyring are not a new store but a broken one.
			for range tx.Scan([]byte{0}, nil, false) {
				return fmt.Errorf("the store holds data but no keyring: %w", kv.ErrCorrupt)
			}
			has = false
			return nil
		}
		has = err == nil
		return err
	})
	return has, err
}

// OpenTables opens the keyring of a store, makes it if the store is new, and
// returns the sealed tables over it.
func OpenTables(ctx context.Context, store kv.Store, root envelope.RootKey, cacheBytes int) (*table.DB, *envelope.Keyring, error) {
	var ring *envelope.Keyring
	var blob []byte
	err := store.View(ctx, func(tx kv.Tx) error {
		b, err := tx.Get(keyringRow)
		blob = append([]byte(nil), b...)
		return err
	})
	switch {
	case err == nil:
		ring, err = envelope.OpenKeyring(ctx, root, blob)
	case errors.Is(err, kv.ErrNotFound):
		if ring, blob, err = envelope.NewKeyring(ctx, root); err == nil {
			err = store.Update(ctx, func(tx kv.Tx) error { return tx.Put(keyringRow, blob) })
		}
	}
	if err != nil {
		return nil, nil, err
	}
	return table.New(table.Config{Store: store, Sealer: ring.Sealer(), CacheBytes: cacheBytes}), ring, nil
}

// auditKey is the key of the audit log's chain.
func auditKey(ring *envelope.Keyring) []byte {
	k := ring.Derive("audit chain")
	return k.Bytes()
}

// anchorRow is where the audit log stood when it was last synced.
type anchorRow struct {
	Blob []byte `cbor:"1,keyasint"`
}

// Anchors is the collection of the log's one anchor.
var Anchors = table.Collection[anchorRow]{
	Name: "audit.anchor", NoCache: true,
	Key: func(*anchorRow) table.Key { return table.K("head") },
}

// anchors keeps the audit log's anchor sealed in the store, so that cutting
// the log's tail, or rewriting all of it, is noticed.
type anchors struct{ db *table.DB }

// Save implements audit.AnchorStore.
func (a *anchors) Save(anchor audit.Anchor) error {
	blob, err := anchor.MarshalBinary()
	if err != nil {
		return err
	}
	return a.db.Update(context.Background(), func(tx *table.Tx) error {
		return Anchors.Put(tx, &anchorRow{blob})
	})
}

// Load implements audit.AnchorStore.
func (a *anchors) Load() (anchor audit.Anchor, ok bool, err error) {
	err = a.db.View(context.Background(), func(tx *table.Tx) error {
		row, err := Anchors.Get(tx, table.K("head"))
		if err == nil {
			ok = true
			err = anchor.UnmarshalBinary(row.Blob)
		}
		return err
	})
	if errors.Is(err, table.ErrNotFound) {
		return audit.Anchor{}, false, nil
	}
	return anchor, ok, err
}

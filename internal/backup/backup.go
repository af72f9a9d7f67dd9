// Package backup writes a consistent, sealed copy of a whole Coffer while it
// serves, and restores it.
//
// # Format, version 1
//
//	"coffer-backup" 01
//	4 bytes   length of the header, big-endian
//	header    JSON: when it was made, the keyring wrapped by the root key, the
//	          salt and cost of the passphrase if one is used
//	32 bytes  salt
//	          a sealed stream (stream.go) of entries:
//	'R'       a row: key and value, each behind its length as a uvarint
//	'F'       a file: name and content, each behind its length as a uvarint
//	'E'       the end: numbers of rows and files as uvarints
//
// Rows come from one snapshot of the store; they are sealed there already and are
// sealed here once more, so that a backup shows not even the names of
// secrets. Files are the audit log, which was synced before the
// snapshot and may be longer than it, and the server's certificates
// and first credentials. The root key is not in a backup: without it a backup
// is noise, so keep it somewhere else.
package backup

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"coffer/internal/envelope"
	"coffer/internal/kv"
)

const (
	magic     = "coffer-backup\x01"
	maxHeader = 1 << 20
	maxName   = 4 << 10
	saltSize  = 32
	keyLabel  = "backup"
)

// Source is what a backup is made of.
type Source struct {
	Store      kv.Store
	Keyring    *envelope.Keyring
	KeyringRow []byte            // the row that holds the wrapped keyring
	Passphrase []byte            // header of the passphrase; nil with a root key file
	Files      map[string]string // name in the backup -> path; missing files are left out
	Dirs       map[string]string // name in the backup -> directory whose files go along
	Now        time.Time
}

// Header is the readable beginning of a backup.
type Header struct {
	Created    time.Time `json:"created"`
	Keyring    []byte    `json:"keyring"`
	Passphrase []byte    `json:"passphrase,omitempty"`
}

// Write writes a backup to w. What was written is a backup only if Write
// returns nil: without its end mark Restore refuses it.
func Write(ctx context.Context, w io.Writer, src Source) error {
	return src.Store.View(ctx, func(tx kv.Tx) error {
		ring, err := tx.Get(src.KeyringRow)
		if err != nil {
			return fmt.Errorf("backup: keyring: %w", err)
		}
		header, err := json.Marshal(Header{Created: src.Now.UTC(), Keyring: ring, Passphrase: src.Passphrase})
		if err != nil {
			return err
		}
		salt := make([]byte, saltSize)
		rand.Read(salt)
		lead := append([]byte(magic), binary.BigEndian.AppendUint32(nil, uint32(len(header)))...)
		lead = append(append(lead, header...), salt...)
		if _, err := w.Write(lead); err != nil {
			return err
		}
		key := src.Keyring.Derive(keyLabel).Bytes()
		defer clear(key)
		aead, err := streamAEAD(key, salt, header)
		if err != nil {
			return err
		}
		sealed := newSealer(w, aead)
		e := entries{w: bufio.NewWriterSize(sealed, chunkSize)}
		for row, err := range tx.Scan([]byte{0}, nil, false) {
			if err != nil {
				return fmt.Errorf("backup: %w", err)
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := e.row(row); err != nil {
				return err
			}
		}
		for name, path := range src.Files {
			if err := e.file(name, path); err != nil {
				return err
			}
		}
		for name, dir := range src.Dirs {
			files, err := os.ReadDir(dir)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("backup: %w", err)
			}
			for _, f := range files {
				if f.Type().IsRegular() {
					if err := e.file(name+"/"+f.Name(), filepath.Join(dir, f.Name())); err != nil {
						return err
					}
				}
			}
		}
		if err := e.end(); err != nil {
			return err
		}
		return sealed.Close()
	})
}

// entries writes the inside of the stream.
type entries struct {
	w           *bufio.Writer
	rows, files uint64
}

func (e *entries) row(r kv.Row) error {
	e.rows++
	e.w.WriteByte('R') // bufio keeps the first error for Flush
	e.bytes(r.Key)
	return e.bytes(r.Value)
}

func (e *entries) bytes(b []byte) error {
	e.w.Write(binary.AppendUvarint(nil, uint64(len(b))))
	_, err := e.w.Write(b)
	return err
}

// file copies as much of a file as it has now: the audit log's last segment is growing.
func (e *entries) file(name, path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	e.files++
	e.w.WriteByte('F')
	e.bytes([]byte(name))
	e.w.Write(binary.AppendUvarint(nil, uint64(info.Size())))
	if _, err := io.CopyN(e.w, f, info.Size()); err != nil {
		return fmt.Errorf("backup: %s: %w", path, err)
	}
	return nil
}

func (e *entries) end() error {
	e.w.WriteByte('E')
	e.w.Write(binary.AppendUvarint(binary.AppendUvarint(nil, e.rows), e.files))
	return e.w.Flush()
}

// Reader reads a backup's entries.
type Reader struct {
	Header      Header
	r           *bufio.Reader
	raw         []byte
	salt        []byte
	rows, files uint64
}

// Open reads the header. Unlock comes next.
func Open(r io.Reader) (*Reader, error) {
	lead := make([]byte, len(magic)+4)
	if _, err := io.ReadFull(r, lead); err != nil || string(lead[:len(magic)]) != magic {
		return nil, errors.New("this is not a backup made by coffer, or one of a newer format")
	}
	n := binary.BigEndian.Uint32(lead[len(magic):])
	if n > maxHeader {
		return nil, errCut
	}
	b := &Reader{raw: make([]byte, n), salt: make([]byte, saltSize), r: bufio.NewReaderSize(r, 2*chunkSize)}
	if _, err := io.ReadFull(b.r, b.raw); err != nil {
		return nil, errCut
	}
	if _, err := io.ReadFull(b.r, b.salt); err != nil {
		return nil, errCut
	}
	if err := json.Unmarshal(b.raw, &b.Header); err != nil {
		return nil, errCut
	}
	return b, nil
}

// Unlock opens the stream with the root key.
func (b *Reader) Unlock(ctx context.Context, root envelope.RootKey) error {
	ring, err := envelope.OpenKeyring(ctx, root, b.Header.Keyring)
	if err != nil {
		return err
	}
	defer ring.Destroy()
	key := ring.Derive(keyLabel).Bytes()
	defer clear(key)
	aead, err := streamAEAD(key, b.salt, b.raw)
	if err != nil {
		return err
	}
	b.r = bufio.NewReaderSize(newOpener(b.r, aead), chunkSize)
	return nil
}

// Entries calls row and file for everything in the backup, and returns nil only
// if the backup was whole to its end mark. A file's name is a relative,
// slash-separated path without dots.
func (b *Reader) Entries(row func(key, value []byte) error, file func(name string, content io.Reader) error) error {
	for {
		kind, err := b.r.ReadByte()
		if err != nil {
			return cut(err)
		}
		switch kind {
		case 'R':
			key, err := b.bytes(kv.MaxKey)
			if err != nil {
				return err
			}
			value, err := b.bytes(kv.MaxValue)
			if err != nil {
				return err
			}
			b.rows++
			if err := row(key, value); err != nil {
				return err
			}
		case 'F':
			name, err := b.bytes(maxName)
			if err != nil {
				return err
			}
			if !filepath.IsLocal(filepath.FromSlash(string(name))) || strings.Contains(string(name), "..") {
				return errCut
			}
			size, err := binary.ReadUvarint(b.r)
			if err != nil || size > 1<<50 {
				return cut(err)
			}
			b.files++
			content := &io.LimitedReader{R: b.r, N: int64(size)}
			if err := file(string(name), content); err != nil {
				return err
			}
			if content.N > 0 {
				return errCut
			}
		case 'E':
			rows, err1 := binary.ReadUvarint(b.r)
			files, err2 := binary.ReadUvarint(b.r)
			if err1 != nil || err2 != nil || rows != b.rows || files != b.files {
				return errCut
			}
			if _, err := b.r.ReadByte(); err != io.EOF {
				return errCut
			}
			return nil
		default:
			return errCut
		}
	}
}

func (b *Reader) bytes(limit uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(b.r)
	if err != nil || n > limit {
		return nil, cut(err)
	}
	p := make([]byte, n)
	_, err = io.ReadFull(b.r, p)
	return p, cut2(err)
}

// cut makes an early end, or no error where there should be one, an error.
func cut(err error) error {
	if err == nil || err == io.EOF || err == io.ErrUnexpectedEOF {
		return errCut
	}
	return err
}

func cut2(err error) error {
	if err == nil {
		return nil
	}
	return cut(err)
}

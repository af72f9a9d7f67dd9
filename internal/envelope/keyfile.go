package envelope

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	keyFileTag = "coffer-root-key-v1:"
	// 36 bytes are 48 characters of base64: no padding, no unused bits, hence
	// one spelling per key.
	keyFileSize = len(keyFileTag) + (KeySize+checksumSize)/3*4 + 1
	keyFileTemp = ".new-"

	checksumSize = 4
)

// CreateKeyFile draws a root key and writes it to path, mode 0600, in a
// directory that exists. Call it only for a store that is known to be new: a
// fresh key over existing data would hide that the old one is missing. An
// existing path is fs.ErrExist, and is not touched.
//
// The key is written and synced under a temporary name in the same directory,
// then linked to path, then the directory is synced: after a crash path holds
// a whole key or does not exist, and when CreateKeyFile returns the key
// survives a power cut. On file systems without hard links the file is renamed
// instead, and only the caller's lock on the store keeps two processes from
// replacing each other's key. A temporary name that a crash leaves behind, mode
// 0600 like the key, is removed by the next OpenKeyFile.
func CreateKeyFile(path string) (*LocalKey, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("envelope: root key file %s: %w", path, fs.ErrExist)
	}
	k := NewKey()
	defer k.Destroy()
	line := formatKeyFile(k)
	defer clear(line)
	if err := writeNew(path, line); err != nil {
		return nil, fmt.Errorf("envelope: create root key file %s: %w", path, err)
	}
	// Read it back, so that nothing is ever sealed under a key that this file
	// system did not keep or that the next start would refuse.
	return OpenKeyFile(path)
}

func writeNew(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+keyFileTemp) // O_EXCL, 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := f.Chmod(0o600); err != nil && !isWindows { // whatever the umask took away
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	// Link, unlike rename, fails when path exists: nobody's key is replaced.
	if err := os.Link(f.Name(), path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fs.ErrExist
		}
		if _, err := os.Lstat(path); err == nil {
			return fs.ErrExist
		}
		if err := os.Rename(f.Name(), path); err != nil {
			return err
		}
	} else if err := os.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // not existing: an OpenKeyFile that saw path was quicker
	}
	return syncDir(dir)
}

// OpenKeyFile reads the root key at path.
//
// On Unix it refuses, with ErrKeyFile and the command that mends it, a file
// with any permission beyond 0600 (0400 is fine, 0640 and 0700 are not), one
// owned by somebody other than this process's user or root, anything but a
// regular file, and a symbolic link made by such a somebody: each lets another
// user read the key or put their own in its place. It does not look at the
// directories above. Windows has no such mode bits; there the directory's ACL
// has to protect the file and only its content is checked.
//
// fs.ErrNotExist if there is no file, ErrCorrupt if the content is not what
// CreateKeyFile writes. Errors never hold content.
func OpenKeyFile(path string) (*LocalKey, error) {
	line, err := readKeyFile(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("envelope: root key file %s is missing; put it back from your backup, the store cannot be read without it: %w", path, fs.ErrNotExist)
		}
		return nil, err
	}
	defer clear(line)
	k, err := parseKeyFile(line)
	if err != nil {
		return nil, fmt.Errorf("root key file %s: %w; put it back from your backup", path, err)
	}
	defer k.Destroy()
	removeLeftovers(path)
	return newLocalKey("key file "+path, k)
}

func readKeyFile(path string) ([]byte, error) {
	link, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("envelope: root key file: %w", err)
	}
	if link.Mode()&fs.ModeSymlink != 0 {
		if err := checkOwner(path, link); err != nil {
			return nil, fmt.Errorf("%w (it is a symbolic link)", err)
		}
	}
	f, err := openNonblock(path)
	if err != nil {
		return nil, fmt.Errorf("envelope: root key file: %w", err)
	}
	defer f.Close()
	// Everything else is asked of the open file: a check of the name could be
	// true of one file and the read come from another.
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("envelope: root key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrKeyFile, path)
	}
	if err := checkOwner(path, info); err != nil {
		return nil, err
	}
	if perm := info.Mode().Perm(); perm&^0o600 != 0 && !isWindows {
		return nil, fmt.Errorf("%w: %s has mode %#o, so others may read or replace it; run: chmod 600 %s", ErrKeyFile, path, perm, path)
	}
	b := make([]byte, keyFileSize+1) // one more, to notice a longer file
	n, err := io.ReadFull(f, b)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, fmt.Errorf("envelope: root key file: %w", err)
	}
	return b[:n], nil
}

func formatKeyFile(k Key) []byte {
	raw := make([]byte, 0, KeySize+checksumSize)
	raw = append(raw, k.bytes()...)
	raw = append(raw, keyFileChecksum(k)...)
	defer func() { clear(raw) }()
	line := make([]byte, 0, keyFileSize)
	line = append(line, keyFileTag...)
	line = base64.StdEncoding.AppendEncode(line, raw)
	return append(line, '\n')
}

func keyFileChecksum(k Key) []byte {
	h := sha256.New()
	h.Write([]byte(keyFileTag))
	h.Write(k.bytes())
	return h.Sum(nil)[:checksumSize]
}

func parseKeyFile(line []byte) (Key, error) {
	rest, ok := bytes.CutPrefix(line, []byte(keyFileTag))
	switch {
	case len(line) == 0:
		return Key{}, fmt.Errorf("%w: the file is empty", ErrCorrupt)
	case !ok:
		return Key{}, fmt.Errorf("%w: it does not start with %q", ErrCorrupt, keyFileTag)
	case len(line) != keyFileSize || line[keyFileSize-1] != '\n':
		return Key{}, fmt.Errorf("%w: want one line of %d bytes with its newline", ErrCorrupt, keyFileSize)
	}
	var raw [KeySize + checksumSize]byte
	defer clear(raw[:])
	// The decoder skips newlines inside, and says in its error where and so
	// what the bytes are: neither may pass.
	if n, err := base64.StdEncoding.Decode(raw[:], rest[:len(rest)-1]); err != nil || n != len(raw) {
		return Key{}, fmt.Errorf("%w: not base64", ErrCorrupt)
	}
	k, err := KeyFrom(raw[:KeySize])
	if err != nil {
		return Key{}, fmt.Errorf("%w: the key is all zero", ErrCorrupt)
	}
	if !bytes.Equal(keyFileChecksum(k), raw[KeySize:]) {
		k.Destroy()
		return Key{}, fmt.Errorf("%w: the checksum does not match", ErrCorrupt)
	}
	return k, nil
}

// removeLeftovers removes what a crash in writeNew left: a second name of the
// key, or a key that was never used. It is called once path is known to hold a
// good key, so that no CreateKeyFile for it can be under way, and does its
// best: the key may well rest in a directory that we must not write.
func removeLeftovers(path string) {
	names, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), filepath.Base(path)+keyFileTemp) && n.Type().IsRegular() {
			os.Remove(filepath.Join(filepath.Dir(path), n.Name()))
		}
	}
}

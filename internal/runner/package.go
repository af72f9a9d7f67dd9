package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"coffer/internal/lambda"
)

// packages is the cache of unpacked code: Dir/packages holds one directory for each
// combination of zips, named by the digest of their digests, its bytes and its
// files. A directory gets that name when everything in it is on the disk; what a crash
// left half-way has another and is removed at the next start. Safe for concurrent use.
type packages struct {
	dir   string
	bound int64 // bytes of all together, as far as those in use allow
	group int   // may read; -1: only the server's user is there
	now   func() time.Time

	mu     sync.Mutex
	images map[string]*image
}

// image is unpacked code, or unpacked layers.
type image struct {
	digest string
	path   string
	room   room // what it took

	mu    sync.Mutex // held while it is made
	users int        // guarded by packages.mu
	used  time.Time
}

// maxZip bounds one zip: 50 MB come inline, and a layer may be larger.
const maxZip = maxUnpacked

func openPackages(dir string, bound int64, group int, now func() time.Time) (*packages, error) {
	p := &packages{dir: dir, bound: bound, group: group, now: now, images: make(map[string]*image)}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		im, ok := parseImage(e.Name())
		if info, err := e.Info(); ok && err == nil && e.IsDir() {
			im.path, im.used = path, info.ModTime()
			p.images[im.digest] = im
			if err := p.admit(path); err != nil { // an earlier server's functions had another group
				return nil, err
			}
			continue
		}
		if err := wipe(path); err != nil {
			return nil, err
		}
	}
	return p, p.evict()
}

func imageName(digest string, took room) string {
	return fmt.Sprintf("%s-%d-%d", digest, took.bytes, took.files)
}

func parseImage(name string) (*image, bool) {
	parts := strings.Split(name, "-")
	if len(parts) != 3 || len(parts[0]) != 2*sha256.Size {
		return nil, false
	}
	bytes, err1 := strconv.ParseInt(parts[1], 10, 64)
	files, err2 := strconv.ParseInt(parts[2], 10, 64)
	im := &image{digest: parts[0], room: room{bytes: bytes, files: files}}
	return im, err1 == nil && err2 == nil && imageName(im.digest, im.room) == name
}

// get returns the directory of zips unpacked over each other, and takes it out of left.
// It stays until put.
func (p *packages) get(ctx context.Context, zips []*lambda.Package, left *room) (*image, error) {
	all := sha256.New()
	for _, z := range zips {
		all.Write(z.Digest[:])
	}
	digest := hex.EncodeToString(all.Sum(nil))

	p.mu.Lock()
	im := p.images[digest]
	if im == nil {
		im = &image{digest: digest}
		p.images[digest] = im
	}
	im.users++
	im.used = p.now()
	p.mu.Unlock()

	if err := p.fill(ctx, im, zips, *left); err != nil {
		p.put(im)
		return nil, err
	}
	left.bytes -= im.room.bytes
	left.files -= im.room.files
	if left.bytes < 0 {
		p.put(im)
		return nil, errFull
	}
	if err := (&room{files: left.files + 1}).file(); err != nil {
		p.put(im)
		return nil, err
	}
	return im, nil
}

// put ends one use of im.
func (p *packages) put(im *image) {
	p.mu.Lock()
	im.users--
	if im.path == "" && im.users == 0 {
		delete(p.images, im.digest)
	}
	p.mu.Unlock()
}

// fill unpacks im unless that was done.
func (p *packages) fill(ctx context.Context, im *image, zips []*lambda.Package, left room) (err error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	if im.path != "" {
		// The order of use survives a restart in the directory's time.
		now := p.now()
		err := os.Chtimes(im.path, now, now)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// Somebody removed it: it is unpacked again.
		p.mu.Lock()
		im.path, im.room = "", room{}
		p.mu.Unlock()
	}
	temp, err := os.MkdirTemp(p.dir, ".new-")
	if err != nil {
		return err
	}
	defer func() {
		if e := wipe(temp); err == nil {
			err = e
		}
	}()
	content := filepath.Join(temp, "content")
	if err := os.Mkdir(content, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(content)
	if err != nil {
		return err
	}
	defer root.Close()
	before := left
	u := unpacking{root: root, left: &left}
	for _, z := range zips {
		if err := u.fetch(ctx, filepath.Join(temp, "zip"), z); err != nil {
			return err
		}
	}
	if err := u.verify(); err != nil {
		return err
	}
	if err := p.seal(content); err != nil {
		return err
	}
	took := room{bytes: before.bytes - left.bytes, files: before.files - left.files}
	path := filepath.Join(p.dir, imageName(im.digest, took))
	if err := os.Rename(content, path); err != nil {
		return err
	}
	p.mu.Lock()
	im.path, im.room = path, took
	p.mu.Unlock()
	return p.evict()
}

// fetch brings one zip to the disk, for its table of contents is at its end, and
// unpacks it.
func (u *unpacking) fetch(ctx context.Context, path string, z *lambda.Package) (err error) {
	in, err := z.Open(ctx)
	if err != nil {
		return fmt.Errorf("runner: code of a function: %w", err)
	}
	defer in.Close()
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		file.Close()
		if e := os.Remove(path); err == nil {
			err = e
		}
	}()
	var sum hash.Hash = sha256.New()
	size, err := io.Copy(io.MultiWriter(file, sum), io.LimitReader(in, maxZip+1))
	switch {
	case err != nil:
		return fmt.Errorf("runner: code of a function: %w", err)
	case size > maxZip:
		return codeErrorf("The zip file is larger than %d bytes", maxZip)
	case [32]byte(sum.Sum(nil)) != z.Digest:
		return errors.New("runner: code of a function is not what its digest says")
	}
	return u.unzip(file, size)
}

// seal closes the tree to writing, and has it on the disk before the rename that says so.
func (p *packages) seal(content string) error {
	err := filepath.WalkDir(content, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.Chmod(path, 0o555)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := p.admit(content); err != nil {
		return err
	}
	return syncTree(content)
}

// admit lets the functions' group into an image, and nobody else: what is inside may then be
// 0555, and is secret from the machine's other users all the same.
func (p *packages) admit(dir string) error {
	if p.group < 0 {
		return os.Chmod(dir, 0o700)
	}
	return errors.Join(os.Chown(dir, -1, p.group), os.Chmod(dir, 0o750))
}

// evict removes the least used images until they are within the bound. Those in use
// stay.
func (p *packages) evict() error {
	gone, err := p.retire()
	for _, path := range gone {
		if e := wipe(path); err == nil {
			err = e
		}
	}
	return err
}

// retire takes images out of use, and out of their names: a crash before they are
// removed leaves nothing that looks whole.
func (p *packages) retire() (gone []string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var total int64
	var idle []*image
	for _, im := range p.images {
		total += im.cost()
		if im.users == 0 {
			idle = append(idle, im)
		}
	}
	slices.SortFunc(idle, func(a, b *image) int { return a.used.Compare(b.used) })
	for _, im := range idle {
		if total <= p.bound {
			break
		}
		path := filepath.Join(p.dir, fmt.Sprintf(".old-%s-%d", im.digest, p.now().UnixNano()))
		err := os.Rename(im.path, path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // else somebody removed it
			return gone, err
		}
		delete(p.images, im.digest)
		total -= im.cost()
		gone = append(gone, path)
	}
	return gone, nil
}

// cost is what im takes on the disk, about: a file takes a block.
func (im *image) cost() int64 { return im.room.bytes + 4096*im.room.files }

// wipe removes a tree whose directories may be closed, as a function can leave them.
func wipe(path string) error {
	err := os.RemoveAll(path)
	if err == nil {
		return nil
	}
	// WalkDir follows no links and asks here before it reads a directory.
	_ = filepath.WalkDir(path, func(path string, e fs.DirEntry, _ error) error {
		if e != nil && e.IsDir() {
			_ = os.Chmod(path, 0o700) // what does not help shows below
		}
		return nil
	})
	return os.RemoveAll(path)
}

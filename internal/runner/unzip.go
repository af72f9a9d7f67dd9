package runner

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"coffer/internal/lambda"
)

// Bounds of what a function is unpacked to, code and layers together. The first is
// AWS's ("Lambda quotas"); the others keep a small zip from costing many inodes or
// much memory.
const (
	maxUnpacked  = 262_144_000 // bytes
	maxFiles     = 65_536      // files, directories and links
	maxDirectory = 12 << 20    // bytes of the zip's table of contents
	maxName      = 1024        // bytes of a path
	maxDepth     = 100         // directories above a file
	maxTarget    = 1024        // bytes of a symbolic link
)

// room is what may still be unpacked.
type room struct{ bytes, files int64 }

func newRoom() *room { return &room{bytes: maxUnpacked, files: maxFiles} }

var errFull = &lambda.CodeError{Text: fmt.Sprintf("Unzipped size must be smaller than %d bytes, code and layers together", int64(maxUnpacked))}

func (r *room) file() error {
	if r.files--; r.files < 0 {
		return &lambda.CodeError{Text: fmt.Sprintf("The code and its layers have more than %d files", maxFiles)}
	}
	return nil
}

func codeErrorf(format string, args ...any) error {
	return &lambda.CodeError{Text: fmt.Sprintf(format, args...)}
}

// bounded is a zip file that gives out so many bytes and no more: package zip reads
// the whole table of contents into memory, whatever the file claims of it.
type bounded struct {
	io.ReaderAt
	left int64 // -1: without bound
}

var errDirectory = errors.New("the table of contents is too large")

func (b *bounded) ReadAt(p []byte, off int64) (int, error) {
	if b.left >= 0 {
		if b.left -= int64(len(p)); b.left < 0 {
			b.left = 0
			return 0, errDirectory
		}
	}
	return b.ReaderAt.ReadAt(p, off)
}

// unpacking fills a directory with one zip, or with the zips of layers that lie over
// each other. All that it makes is below root whatever the zips say, and what does
// not belong into a package is a *lambda.CodeError. Files are 0444, or 0555 if the zip
// has one of the executable bits.
type unpacking struct {
	root  *os.Root
	left  *room
	seen  map[string]bool // files and links of this zip
	links []string        // of all zips
}

// unzip unpacks one zip over what is there; verify comes after the last.
func (u *unpacking) unzip(file io.ReaderAt, size int64) error {
	b := &bounded{ReaderAt: file, left: maxDirectory}
	z, err := zip.NewReader(b, size)
	switch {
	case errors.Is(err, errDirectory):
		return codeErrorf("The zip file's table of contents is larger than %d bytes", maxDirectory)
	case err != nil && !errors.Is(err, zip.ErrInsecurePath):
		return codeErrorf("Could not unzip uploaded file. Please check your file, then try to upload again: %v.", err)
	}
	b.left = -1
	u.seen = make(map[string]bool)
	var links []*zip.File
	for _, f := range z.File {
		name, err := u.name(f)
		if err != nil {
			return err
		}
		switch mode := f.Mode(); {
		case mode.IsDir():
			err = u.directory(name)
		case mode.IsRegular():
			err = u.file(name, f)
		case mode&fs.ModeSymlink != 0:
			// After everything else: until then no path leads through a link.
			links = append(links, f)
		default:
			return codeErrorf("%q is neither file, directory nor symbolic link", clip(f.Name))
		}
		if err != nil {
			return err
		}
	}
	for _, f := range links {
		if err := u.link(f); err != nil {
			return err
		}
	}
	return nil
}

// verify follows all links: they may lead through each other, so that only this
// tells where.
func (u *unpacking) verify() error {
	for _, name := range u.links {
		if _, err := u.root.Stat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return codeErrorf("The symbolic link %q leads out of the package or in a circle", clip(name))
		}
	}
	return nil
}

func clean(name string) string { return strings.TrimSuffix(name, "/") }

func clip(name string) string { return name[:min(len(name), 200)] }

// name checks the path of f and that it is the only one of that name.
func (u *unpacking) name(f *zip.File) (string, error) {
	name := clean(f.Name)
	switch {
	case len(f.Name) > maxName:
		return "", codeErrorf("A path in the package has %d bytes; %d are allowed: %q...", len(f.Name), maxName, clip(f.Name))
	case strings.Count(name, "/") > maxDepth:
		return "", codeErrorf("A path in the package has more than %d directories: %q...", maxDepth, clip(f.Name))
	case strings.Contains(name, `\`):
		return "", codeErrorf(`The path %q has backslashes; make the zip with slashes between directories`, clip(f.Name))
	case strings.HasPrefix(name, "/"):
		return "", codeErrorf("The path %q is absolute", clip(f.Name))
	case strings.ContainsRune(name, 0), name == "." && !f.Mode().IsDir(), !fs.ValidPath(name):
		return "", codeErrorf("The path %q does not lead into the package", clip(f.Name))
	case f.Flags&1 != 0:
		return "", codeErrorf("%q is encrypted", clip(f.Name))
	}
	if !f.Mode().IsDir() {
		if u.seen[name] {
			return "", codeErrorf("%q is in the zip more than once", clip(f.Name))
		}
		u.seen[name] = true
	}
	return name, u.left.file()
}

// directory makes name and what is above it. A file in the way is of another layer, or
// of this zip and then a contradiction.
func (u *unpacking) directory(name string) error {
	if name == "." {
		return nil
	}
	switch info, err := u.root.Lstat(name); {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return codeErrorf("%q is a directory here and something else there", clip(name))
	case !errors.Is(err, fs.ErrNotExist):
		return u.conflict(name, err)
	}
	if err := u.directory(path.Dir(name)); err != nil {
		return err
	}
	if err := u.left.file(); err != nil {
		return err
	}
	return u.conflict(name, u.root.Mkdir(name, 0o755))
}

// conflict turns the error of a name that the file system does not take into one for
// the author of the package.
func (u *unpacking) conflict(name string, err error) error {
	if err == nil {
		return nil
	}
	for _, text := range []string{"not a directory", "is a directory", "file name too long", "invalid argument", "file exists", "escapes from parent", "illegal byte sequence", "too many levels"} {
		if strings.Contains(err.Error(), text) {
			return codeErrorf("%q cannot be unpacked: %s", clip(name), text)
		}
	}
	return err
}

// clear takes away a file of a layer below.
func (u *unpacking) clear(name string) error {
	info, err := u.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return u.conflict(name, err)
	case info.IsDir():
		return codeErrorf("%q is a directory here and something else there", clip(name))
	}
	return u.root.Remove(name)
}

func (u *unpacking) file(name string, f *zip.File) (err error) {
	if err := u.directory(path.Dir(name)); err != nil {
		return err
	}
	if err := u.clear(name); err != nil {
		return err
	}
	in, err := f.Open()
	if err != nil {
		return codeErrorf("%q cannot be read from the zip: %v", clip(name), err)
	}
	defer in.Close()
	mode := fs.FileMode(0o444)
	if f.Mode().Perm()&0o111 != 0 {
		mode = 0o555
		syscall.ForkLock.RLock() // as in replace
		defer syscall.ForkLock.RUnlock()
	}
	out, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return u.conflict(name, err)
	}
	defer func() {
		if e := out.Close(); err == nil {
			err = e
		}
	}()
	// What counts is what comes out: a header may say anything.
	n, err := io.Copy(out, io.LimitReader(reading{in}, u.left.bytes+1))
	if u.left.bytes -= n; u.left.bytes < 0 {
		return errFull
	}
	var damaged *damagedError
	if errors.As(err, &damaged) {
		return codeErrorf("%q in the zip is damaged: %v", clip(name), damaged.err)
	}
	if err != nil {
		return err
	}
	return out.Chmod(mode)
}

// reading marks errors of the zip, to tell them from those of the disk.
type reading struct{ io.Reader }

type damagedError struct{ err error }

func (e *damagedError) Error() string { return e.err.Error() }

func (r reading) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = &damagedError{err}
	}
	return n, err
}

// link makes a symbolic link, relative and in a directory that is really there.
func (u *unpacking) link(f *zip.File) error {
	name := clean(f.Name)
	in, err := f.Open()
	if err != nil {
		return codeErrorf("%q cannot be read from the zip: %v", clip(name), err)
	}
	defer in.Close()
	target, err := io.ReadAll(io.LimitReader(in, maxTarget+1))
	switch {
	case err != nil:
		return codeErrorf("%q in the zip is damaged: %v", clip(name), err)
	case len(target) == 0, len(target) > maxTarget, bytes.ContainsAny(target, "\x00\\"):
		return codeErrorf("%q is a symbolic link to nowhere", clip(name))
	case target[0] == '/':
		return codeErrorf("The symbolic link %q is absolute; use a relative one", clip(name))
	case !filepath.IsLocal(path.Join(path.Dir(name), string(target))):
		return codeErrorf("The symbolic link %q leads out of the package", clip(name))
	}
	if err := u.directory(path.Dir(name)); err != nil {
		return err
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if info, err := u.root.Lstat(dir); err != nil || !info.IsDir() {
			return codeErrorf("%q lies behind a symbolic link", clip(name))
		}
	}
	if err := u.clear(name); err != nil {
		return err
	}
	u.links = append(u.links, name)
	return u.conflict(name, u.root.Symlink(string(target), name))
}

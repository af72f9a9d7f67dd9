package lambda

import (
	"archive/zip"
	"bytes"
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"

	lambdaapi "coffer/internal/api/lambda"
)

const (
	// MaxUnpacked is the most that a function's code and layers unpack to, in bytes
	// ("Lambda quotas").
	MaxUnpacked = 262144000

	// maxEntries bounds the files of a package: looking at each takes memory.
	maxEntries = 100_000
	maxLink    = 4 << 10 // bytes of a symbolic link's target
	maxDepth   = 40      // links that may lead to one another

	// maxSteps bounds what following links and looking at folders takes for a whole
	// package, in bytes of paths looked up: links that lead through one another twice
	// take twice the time for each.
	maxSteps = 64 << 20

	textNotZip   = "Could not unzip uploaded file. Please check your file, then try to upload again."
	textEmptyZip = "Uploaded file must be a non-empty zip"
)

var textUnpacked = "Unzipped size must be smaller than " + strconv.Itoa(MaxUnpacked) + " bytes"

// checkArchive checks a deployment package by its directory, without unpacking it: it
// is well-formed, nothing in it would be unpacked elsewhere than where it belongs, and
// it says that it is not too large. Whoever unpacks it must see for themselves.
func checkArchive(b []byte) (unpacked int64, err error) {
	notZip := func(why string) (int64, error) {
		return 0, lambdaapi.InvalidParameterValueException(textNotZip).Because(errors.New(why))
	}
	switch {
	case len(b) == 0:
		return 0, lambdaapi.InvalidParameterValueException(textEmptyZip)
	case bytes.Count(b, []byte("PK\x01\x02")) > maxEntries:
		// Every entry of the directory begins with these bytes: it is not read
		// before it is known that it can be held.
		return notZip("too many entries")
	}
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return notZip(err.Error())
	}
	tree := tree{targets: make(map[string]string, len(r.File)), steps: maxSteps}
	for _, f := range r.File {
		// Each size is below 2^64, so that their sum could be anything.
		if f.UncompressedSize64 > MaxUnpacked || unpacked+int64(f.UncompressedSize64) >= MaxUnpacked {
			return 0, lambdaapi.InvalidParameterValueException(textUnpacked)
		}
		unpacked += int64(f.UncompressedSize64)
		if err := tree.add(f); err != nil {
			return notZip(err.Error())
		}
	}
	if len(r.File) == 0 {
		return 0, lambdaapi.InvalidParameterValueException(textEmptyZip)
	}
	if err := tree.check(); err != nil {
		return notZip(err.Error())
	}
	return unpacked, nil
}

// tree is what a package unpacks to.
type tree struct {
	targets map[string]string // of each path that is a symbolic link; "" for files and folders
	steps   int               // that are left of maxSteps
}

// target looks a path up.
func (t *tree) target(name string) (string, error) {
	if t.steps -= 1 + len(name); t.steps < 0 {
		return "", errors.New("links or folders take too long to follow")
	}
	return t.targets[name], nil
}

func (t *tree) add(f *zip.File) error {
	name := strings.TrimSuffix(f.Name, "/")
	switch {
	case strings.ContainsAny(f.Name, "\\\x00"), name == "", path.IsAbs(name), name != path.Clean(name), name == "..", strings.HasPrefix(name, "../"):
		return errors.New("an entry's name is not a path within the package")
	case f.Flags&1 != 0:
		return errors.New("an entry is encrypted")
	case f.Method != zip.Store && f.Method != zip.Deflate:
		return errors.New("an entry is compressed in a way that is not known")
	}
	target := ""
	switch mode := f.Mode(); {
	case mode&fs.ModeSymlink != 0:
		var err error
		if target, err = link(f); err != nil {
			return err
		}
	case mode&fs.ModeType != 0 && !mode.IsDir():
		return errors.New("an entry is neither file, folder nor link")
	}
	if old, ok := t.targets[name]; ok && (old != "" || target != "") {
		return errors.New("two entries have one name, and one of them is a link")
	}
	t.targets[name] = target
	return nil
}

// link reads the target of a symbolic link.
func link(f *zip.File) (string, error) {
	if f.UncompressedSize64 == 0 || f.UncompressedSize64 > maxLink {
		return "", errors.New("a link's target is empty or too long")
	}
	r, err := f.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	b := make([]byte, maxLink+1)
	n := 0
	for n < len(b) {
		var k int
		k, err = r.Read(b[n:])
		if n += k; err != nil {
			break
		}
	}
	switch target := string(b[:n]); {
	case n > maxLink || uint64(n) != f.UncompressedSize64:
		return "", errors.New("a link's target is not as long as the directory says")
	case path.IsAbs(target) || strings.ContainsAny(target, "\\\x00"):
		return "", errors.New("a link leads out of the package")
	default:
		return target, nil
	}
}

// check follows every link: it must end within the package. No entry may lie
// below a link, as what is unpacked there would be elsewhere.
func (t *tree) check() error {
	for name, target := range t.targets {
		for i := strings.LastIndexByte(name, '/'); i > 0; i = strings.LastIndexByte(name[:i], '/') {
			switch link, err := t.target(name[:i]); {
			case err != nil:
				return err
			case link != "":
				return errors.New("an entry lies below a link")
			}
		}
		if target == "" {
			continue
		}
		if _, err := t.follow(name, maxDepth); err != nil {
			return err
		}
	}
	return nil
}

// follow resolves a path of the package to one without links, as an operating system
// does: part by part, and ".." from where a link led.
func (t *tree) follow(name string, depth int) (string, error) {
	if depth == 0 {
		return "", errors.New("links lead to one another too often")
	}
	at := ""
	for part := range strings.SplitSeq(name, "/") {
		switch part {
		case "", ".":
			continue
		case "..":
			if at == "" {
				return "", errors.New("a link leads out of the package")
			}
			if at = path.Dir(at); at == "." {
				at = ""
			}
			if _, err := t.target(at); err != nil {
				return "", err
			}
			continue
		}
		next := path.Join(at, part)
		target, err := t.target(next)
		if err != nil {
			return "", err
		}
		if target == "" {
			at = next
			continue
		}
		if at, err = t.follow(path.Join(at, ".")+"/"+target, depth-1); err != nil {
			return "", err
		}
		if at == "." {
			at = ""
		}
	}
	return at, nil
}

package pebble

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"

	crdb "github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2"

	"coffer/internal/kv"
)

// Pebble's errors print 5 KB of stack frames with %+v, which is what slog's
// text handler uses, and some name keys, which hold names of secrets. So none
// of them leaves this package as it is: problem has one line of our words, and
// the cause is there for errors.Is alone.

// problem is an error of one line, for every verb.
type problem struct {
	text   string
	causes []error
}

func (p *problem) Error() string   { return p.text }
func (p *problem) Unwrap() []error { return p.causes }

// explain adds the directory and what to do.
func explain(dir, what string, err error) error {
	var hint string
	switch {
	case isNoSpace(err):
		hint = "the disk is full; nothing acknowledged is lost; free space and start again"
	case errors.Is(err, fs.ErrPermission):
		hint = "no permission to read and write there; change its owner or mode, or run as its owner"
	case strings.Contains(err.Error(), "unknown format major version"):
		hint = "a newer version of coffer wrote it; use that version"
	default:
		err = corrupt(dir, err, what == "open")
		if errors.Is(err, kv.ErrCorrupt) {
			hint = "restore a backup, or the damaged file from one"
		}
	}
	text := fmt.Sprintf("pebble: cannot %s %s: %s", what, dir, line(err))
	if hint != "" {
		text += " (" + hint + ")"
	}
	return &problem{text, []error{err}}
}

// line is the text of err, on one line.
func line(err error) string { return oneLine(err.Error()) }

func oneLine(s string) string {
	s = strings.ReplaceAll(s, "<corruption detail carrier>", "")
	return strings.Join(strings.Fields(s), " ")
}

// corrupt marks damage with kv.ErrCorrupt, and says file, place and what.
func corrupt(dir string, err error, opening bool) error {
	if err == nil || errors.Is(err, kv.ErrCorrupt) {
		return err
	}
	damaged := pebble.IsCorruptionError(err)
	if opening && !damaged {
		// Not marked by Pebble: a table gone, or shorter than it was.
		damaged = strings.Contains(err.Error(), "object size mismatch") || errors.Is(err, fs.ErrNotExist)
	}
	if !damaged {
		return err
	}
	return damage(place(dir, err), err)
}

// damage is err as damage of file, told without keys.
func damage(file string, err error) error {
	return &problem{file + ": " + what(err), []error{kv.ErrCorrupt, err}}
}

var (
	logPlace      = regexp.MustCompile(`(\d{6,}\.log)\W+(\d+)`)
	manifestPlace = regexp.MustCompile(`MANIFEST-\d{6,}`)
	tablePlace    = regexp.MustCompile(`\bL\d+: (\d{6,})\b|\b(\d{6,})\.sst\b`)
	block         = regexp.MustCompile(`block (\d+)/(\d+): (?:\w+ )?checksum mismatch`)
	sizes         = regexp.MustCompile(`object size mismatch .*: (\d+) \(disk\) != (\d+) \(MANIFEST\)`)
	// Behind one of these Pebble's messages may name keys, or go on for pages.
	maybeKeys = regexp.MustCompile(`["'\[<#\n‹]|0x| bounds| ranges| properly ordered|prefix|corrupted key| key kind| from `)
)

// place returns the damaged file, or dir if the error does not say.
func place(dir string, err error) string {
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil {
		return info.Path
	}
	text := err.Error()
	for _, detail := range crdb.GetAllDetails(err) {
		if strings.HasPrefix(detail, "replaying wal ") {
			if m := logPlace.FindStringSubmatch(detail); m != nil {
				return filepath.Join(dir, m[1]) + ": behind byte " + m[2]
			}
			return filepath.Join(dir, oneLine(detail))
		}
	}
	var path *fs.PathError
	if errors.As(err, &path) && filepath.IsAbs(path.Path) {
		return path.Path
	}
	if m := tablePlace.FindStringSubmatch(text); m != nil {
		return filepath.Join(dir, m[1]+m[2]+".sst")
	}
	if m := manifestPlace.FindString(text); m != "" {
		return filepath.Join(dir, m)
	}
	return dir
}

// what says what is wrong, in words that name no key.
func what(err error) string {
	text := err.Error()
	if m := block.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("the block at byte %s (%s bytes) is damaged: checksum mismatch", m[1], m[2])
	}
	if m := sizes.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("has %s bytes and should have %s", m[1], m[2])
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "the file is gone"
	}
	if strings.Contains(text, "(footer") || strings.Contains(text, "magic number") || strings.Contains(text, "index block handle") {
		return "the footer at the end of the file is damaged"
	}
	if strings.Contains(text, "error when replaying WAL") {
		return "damaged: a record that cannot be read"
	}
	if at := maybeKeys.FindStringIndex(text); at != nil {
		text = text[:at[0]]
	}
	text = strings.TrimRight(oneLine(text), " :;,(")
	for _, p := range []string{"pebble/table: ", "pebble: "} {
		text = strings.TrimPrefix(text, p)
	}
	if text == "" {
		return "damaged"
	}
	return "damaged: " + text
}

var tableNumber = regexp.MustCompile(`fileNum=(\d{6,})`)

// disorder is an error of CheckLevels, which names the two keys that are out
// of order; the tables they are in are enough.
func disorder(dir string, err error) (file, text string) {
	if pebble.IsCorruptionError(err) {
		file = place(dir, err)
		return file, damage(file, err).Error()
	}
	var tables []string
	for _, m := range tableNumber.FindAllStringSubmatch(err.Error(), -1) {
		tables = append(tables, m[1]+".sst")
	}
	if len(tables) == 0 {
		return dir, dir + ": damaged: rows are out of order"
	}
	return dir, fmt.Sprintf("%s: damaged: rows are out of order in %s", dir, strings.Join(tables, " and "))
}

// recovered is a panic of Pebble on damaged input. Let no file crash the server.
func recovered(file string, r any) error {
	err, ok := r.(error)
	if !ok {
		err = errors.New(oneLine(fmt.Sprint(r)))
	}
	if pebble.IsCorruptionError(err) {
		file = place(file, err)
	}
	return damage(file, err)
}

package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"coffer/internal/kv"
)

// Checker is a collection as fsck sees it.
type Checker interface {
	names() (collection string, indexes []string)
	checkRecord(tx *Tx, row kv.Row) error
	checkIndex(tx *Tx, index string, row kv.Row) error
}

// Check reads every row of the store, opens and decodes it, and checks that
// it is stored under its own key, that each index row leads to a record that
// has it, and that no record lacks an index row. raw names rows that belong to
// no collection and are not sealed. What is wrong goes to report,
// row by row; the error returned is of the store itself.
func Check(tx *Tx, collections []Checker, raw [][]byte, report func(row, problem string)) (rows int, err error) {
	type part struct {
		c     Checker
		index string
	}
	byName := make(map[string]part)
	for _, c := range collections {
		name, indexes := c.names()
		byName[name] = part{c: c}
		for _, ix := range indexes {
			byName[ix] = part{c, ix}
		}
	}
next:
	for row, err := range tx.kv.Scan([]byte{0}, nil, false) {
		if err != nil {
			return rows, err
		}
		rows++
		for _, r := range raw {
			if bytes.Equal(r, row.Key) {
				continue next
			}
		}
		name, _, _ := strings.Cut(string(row.Key), "\x00")
		p, ok := byName[name]
		switch {
		case !ok:
			err = errors.New("belongs to no known collection")
		case p.index != "":
			err = p.c.checkIndex(tx, p.index, row)
		default:
			err = p.c.checkRecord(tx, row)
		}
		if err != nil {
			report(Printable(row.Key), err.Error())
		}
	}
	return rows, nil
}

// Printable is a row's key for people: parts separated by slashes, quoted if odd.
func Printable(row []byte) string {
	return strings.Trim(fmt.Sprintf("%q", strings.ReplaceAll(string(row), "\x00", " / ")), `"`)
}

func (c *Collection[T]) names() (string, []string) {
	var ix []string
	for i := range c.Indexes {
		ix = append(ix, c.Indexes[i].Name)
	}
	return c.Name, ix
}

func (c *Collection[T]) checkRecord(tx *Tx, row kv.Row) error {
	v, err := c.decode(tx.db, row.Key, row.Value)
	if err != nil {
		return err
	}
	own, err := c.row(c.Key(v))
	if err != nil || !bytes.Equal(own, row.Key) {
		return errors.New("the record belongs under another key")
	}
	for i := range c.Indexes {
		ix := &c.Indexes[i]
		for _, k := range ix.Keys(v) {
			blob, err := tx.kv.Get(ix.row(k))
			if errors.Is(err, kv.ErrNotFound) {
				return fmt.Errorf("index %s lacks its row", ix.Name)
			}
			if err != nil {
				return err
			}
			primary, err := tx.db.sealer.Open(nil, blob, ix.row(k))
			if err != nil {
				return fmt.Errorf("index %s: %w", ix.Name, err)
			}
			if !bytes.Equal(primary, row.Key) {
				return fmt.Errorf("index %s has another record under the same key", ix.Name)
			}
		}
	}
	return nil
}

func (c *Collection[T]) checkIndex(tx *Tx, index string, row kv.Row) error {
	primary, err := tx.db.sealer.Open(nil, row.Value, row.Key)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if !bytes.HasPrefix(primary, append([]byte(c.Name), 0)) {
		return errors.New("the index row leads out of its collection")
	}
	blob, err := tx.kv.Get(primary)
	if errors.Is(err, kv.ErrNotFound) {
		return fmt.Errorf("the index row leads to %s, which does not exist", Printable(primary))
	}
	if err != nil {
		return err
	}
	v, err := c.decode(tx.db, primary, blob)
	if err != nil {
		return nil // reported under its own key
	}
	for i := range c.Indexes {
		if c.Indexes[i].Name == index && has(c.Indexes[i].Keys(v), Key(row.Key[len(index):])) {
			return nil
		}
	}
	return fmt.Errorf("%s is not found under this index key", Printable(primary))
}

// Fsck is a service's part of fsck under way: beyond Check, it holds records against each
// other.
type Fsck struct {
	Ctx        context.Context
	Tx         *Tx                              // a View's
	Report     func(format string, args ...any) // gets a sentence for each finding
	Incomplete bool                             // a damaged row hides others

	err error // what ended the check
}

// Each gives the records of a collection to check. A damaged row ends that: what is behind
// it cannot be told apart from what is missing. The error is of check, of the store, or
// Ctx's; there is no more to check after it, and it is returned once.
func Each[T any](f *Fsck, rows *Collection[T], check func(*T) error) error {
	if f.err != nil {
		return nil
	}
	f.err = each(f, rows, check)
	return f.err
}

func each[T any](f *Fsck, rows *Collection[T], check func(*T) error) error {
	for e, err := range rows.Scan(f.Tx, Range{}) {
		if errors.Is(err, ErrDamaged) {
			f.Report("%s: %v; the rows behind it are not checked", rows.Name, err)
			f.Incomplete = true
			return nil
		}
		if err != nil {
			return err
		}
		if err := check(e.Value); err != nil {
			return err
		}
		if err := f.Ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

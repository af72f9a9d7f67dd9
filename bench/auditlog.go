package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// requestID is the x-amzn-requestid of an answer: a UUID without its hyphens.
type requestID [16]byte

func idOf(text []byte) (id requestID) {
	hex.Decode(id[:], []byte(strings.ReplaceAll(string(text), "-", ""))) // what is none is found in no log
	return id
}

func (id requestID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// auditReader follows a data directory's audit log and checks that each
// acknowledged call is in it exactly once. It counts records of Secrets
// Manager; the calls of KMS that these made have the same request id.
type auditReader struct {
	dir     string
	offsets map[string]int64 // how far each segment was read
	seen    map[requestID]struct{}
	missing map[requestID]struct{} // acknowledged and not yet seen
	records int
}

func newAuditReader(dir string) *auditReader {
	return &auditReader{dir: dir, offsets: map[string]int64{}, seen: map[requestID]struct{}{}, missing: map[requestID]struct{}{}}
}

// expect adds calls that were acknowledged.
func (a *auditReader) expect(ids []requestID) {
	for _, id := range ids {
		if _, ok := a.seen[id]; !ok {
			a.missing[id] = struct{}{}
		}
	}
}

// read reads what is new in the log of a server that is ready, and reports calls
// that are in it twice, and acknowledged ones that are not.
func (a *auditReader) read(wrong *violations) error {
	segments, err := auditSegments(a.dir)
	if err != nil {
		return err
	}
	for _, name := range segments {
		if err := a.segment(name, wrong); err != nil {
			return fmt.Errorf("audit log: %w", err)
		}
	}
	for id := range a.missing {
		wrong.add("the audit log has no record of the acknowledged request %s", id)
	}
	clear(a.missing)
	return nil
}

func (a *auditReader) segment(name string, wrong *violations) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(a.offsets[name], io.SeekStart); err != nil {
		return err
	}
	for r := bufio.NewReaderSize(f, 256<<10); ; {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // an unfinished line is read again
		}
		if err != nil {
			return err
		}
		a.offsets[name] += int64(len(line))
		if err := a.line(line, wrong); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

func (a *auditReader) line(line []byte, wrong *violations) error {
	var l struct {
		Record struct{ RequestID, EventSource string }
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return err
	}
	if l.Record.EventSource != "secretsmanager.amazonaws.com" {
		return nil // a segment's header, or a call of KMS
	}
	a.records++
	id := idOf([]byte(l.Record.RequestID))
	if _, twice := a.seen[id]; twice {
		wrong.add("the audit log has two records of request %s", id)
	}
	a.seen[id] = struct{}{}
	delete(a.missing, id)
	return nil
}

func lastLine(s string) string {
	return s[strings.LastIndexByte(s, '\n')+1:]
}

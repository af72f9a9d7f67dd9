package audit

import "os"

// SetFaults replaces the system calls that tests make fail; nil keeps one. Call it
// before the log is used.
func SetFaults(l *Log, writeAt func(*os.File, []byte, int64) (int, error), sync func(*os.File) error) {
	if writeAt != nil {
		l.writeAt = writeAt
	}
	if sync != nil {
		l.syncFile = sync
	}
}

// The parsers that bytes from the disk reach first.
func ParseLine(b []byte) (seq uint64, record []byte, err error) {
	l, err := parseLine(b)
	return l.seq, l.record, err
}

func ParseHeader(b []byte) error { _, err := parseHeader(b); return err }

func EventID(b []byte) string { return eventID(b) }

func ScanJSON(b []byte) bool {
	s := scanner{b: b}
	return s.value(0) && s.i == len(b)
}

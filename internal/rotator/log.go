package rotator

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxLine is how long a log line is at most, in bytes.
const maxLine = 4 << 10

// line writes one line as the Python runtime of Lambda does, which tools know how to
// read: level, time, request id and text between tabs. Control characters in names
// cannot make further lines.
func line(w io.Writer, level, requestID, text string) {
	text = strings.ToValidUTF8(text, "\uFFFD")
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	text = b.String()
	if len(text) > maxLine {
		n := maxLine
		for !utf8.RuneStart(text[n]) {
			n--
		}
		text = text[:n] + " ..."
	}
	// One write: lines of two processes on one pipe stay whole. There is nowhere to
	// report that a log cannot be written.
	io.WriteString(w, fmt.Sprintf("[%s]\t%s\t%s\t%s\n", level, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), requestID, text))
}

// Infof tells what was done.
func (j *Job) Infof(format string, args ...any) { j.logf("INFO", format, args...) }

// Warnf tells what is odd.
func (j *Job) Warnf(format string, args ...any) { j.logf("WARNING", format, args...) }

// Errorf tells what went wrong.
func (j *Job) Errorf(format string, args ...any) { j.logf("ERROR", format, args...) }

func (j *Job) logf(level, format string, args ...any) {
	line(j.log, level, j.RequestID, j.Redact(j.Step+": "+fmt.Sprintf(format, args...)))
}

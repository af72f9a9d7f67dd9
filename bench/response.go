package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxResponse bounds an answer: a page of ListSecrets is some 60 KB.
const maxResponse = 4 << 20

// response is one HTTP answer. Its slices are good until the next one is read.
type response struct {
	status    int
	requestID []byte // x-amzn-requestid
	body      []byte
}

// responseReader reads HTTP/1.1 answers with a Content-Length. net/http's client
// takes more CPU per request than the servers that are measured here have to
// give; this takes about a microsecond.
type responseReader struct {
	r          io.Reader
	buf        []byte
	start, end int // of what was read and not yet consumed
}

func newResponseReader(r io.Reader) *responseReader {
	return &responseReader{r: r, buf: make([]byte, 4<<10)}
}

var (
	errResponse  = errors.New("not an HTTP/1.1 answer with a Content-Length")
	endOfHead    = []byte("\r\n\r\n")
	endOfLine    = []byte("\r\n")
	protocolName = []byte("HTTP/1.1 ")
)

// next reads one answer.
func (r *responseReader) next() (response, error) {
	var resp response
	head, err := r.head()
	if err != nil {
		return resp, err
	}
	line, rest, _ := bytes.Cut(r.buf[r.start:r.start+head], endOfLine)
	if len(line) < 12 || !bytes.HasPrefix(line, protocolName) {
		return resp, errResponse
	}
	if resp.status, err = number(line[9:12]); err != nil {
		return resp, err
	}
	length, id := -1, [2]int{}
	for len(rest) > 0 {
		at := head - len(rest)
		line, rest, _ = bytes.Cut(rest, endOfLine)
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = number(bytes.TrimSpace(value)); err != nil {
				return resp, err
			}
		case bytes.EqualFold(name, []byte("x-amzn-requestid")):
			id = [2]int{at + len(name) + 1, at + len(line)}
		}
	}
	if length < 0 || length > maxResponse {
		return resp, fmt.Errorf("status %d: %w", resp.status, errResponse)
	}
	total := head + length
	if err := r.fill(total); err != nil {
		return resp, err
	}
	all := r.buf[r.start : r.start+total]
	resp.requestID = bytes.TrimSpace(all[id[0]:id[1]])
	resp.body = all[head:]
	r.start += total
	return resp, nil
}

// head reads up to the blank line and returns how long the head is with it.
func (r *responseReader) head() (int, error) {
	searched := 0
	for {
		have := r.buf[r.start:r.end]
		if i := bytes.Index(have[searched:], endOfHead); i >= 0 {
			return searched + i + len(endOfHead), nil
		}
		searched = max(len(have)-len(endOfHead)+1, 0)
		if len(have) > 64<<10 {
			return 0, errResponse
		}
		if err := r.fill(len(have) + 1); err != nil {
			return 0, err
		}
	}
}

// fill reads until n bytes of the answer are in the buffer.
func (r *responseReader) fill(n int) error {
	if r.start == r.end {
		r.start, r.end = 0, 0
	}
	if r.start+n > len(r.buf) {
		buf := r.buf
		if n > len(buf) {
			buf = make([]byte, 2*n)
		}
		r.end = copy(buf, r.buf[r.start:r.end])
		r.buf, r.start = buf, 0
	}
	for r.end-r.start < n {
		m, err := r.r.Read(r.buf[r.end:])
		r.end += m
		if err != nil && r.end-r.start < n {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

func number(b []byte) (int, error) {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' || n > maxResponse {
			return 0, errResponse
		}
		n = n*10 + int(c-'0')
	}
	if len(b) == 0 {
		return 0, errResponse
	}
	return n, nil
}

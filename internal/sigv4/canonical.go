package sigv4

import (
	"bytes"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// scratch is the working memory of one verification or signature.
type scratch struct {
	buf   []byte   // the canonical request, then the string to sign
	enc   []byte   // encoded query parameters before they are sorted
	pairs []pair   // offsets into enc
	sum   [32]byte // where a MAC lands
	hex   [64]byte
	sent  [64]byte
}

type pair struct{ start, eq, end int }

var scratches = sync.Pool{New: func() any {
	return &scratch{buf: make([]byte, 0, 2<<10)}
}}

func (s *scratch) free() {
	if cap(s.buf)+cap(s.enc) > 64<<10 {
		return // one huge request must not pin its memory
	}
	// The buffers held a session token, and the sum a signature that verifies.
	clear(s.buf[:cap(s.buf)])
	clear(s.sum[:])
	clear(s.hex[:])
	scratches.Put(s)
}

// canonical writes the canonical request into s.buf:
//
//	METHOD \n path \n query \n headers \n\n signed header names \n hash of the body
//
// false means that the request has no canonical form: a signed header that is
// not there, names that are not lower-case and sorted, a query that readers
// disagree on.
func (s *scratch) canonical(r *http.Request, path, query string, presigned bool, signedHeaders, payload string) bool {
	b := s.buf[:0]
	if r.Method == "" {
		b = append(b, "GET"...) // net/http: "For client requests, an empty string means GET."
	} else {
		b = append(b, r.Method...)
	}
	b = append(b, '\n')
	b = appendPath(b, path)
	b = append(b, '\n')
	if query != "" {
		var ok bool
		if b, ok = s.appendQuery(b, query, presigned); !ok {
			return false
		}
	}
	b = append(b, '\n')
	prev := ""
	for rest, more := signedHeaders, true; more; {
		var name string
		name, rest, more = strings.Cut(rest, ";")
		// Strictly rising: sorted, and no name twice.
		if name <= prev {
			return false
		}
		prev = name
		var ok bool
		if b, ok = appendHeader(b, r, name); !ok {
			return false
		}
	}
	b = append(b, '\n')
	b = append(b, signedHeaders...)
	b = append(b, '\n')
	b = append(b, payload...)
	s.buf = b
	return true
}

// appendPath appends the canonical path: the clean one, with every byte encoded
// that is not unreserved, '%' too: what is encoded on the wire is thereby
// encoded twice, as all services but S3 want it.
func appendPath(b []byte, path string) []byte {
	path = clean(path)
	for i := 0; i < len(path); i++ {
		if path[i] == '/' {
			b = append(b, '/')
		} else {
			b = appendByte(b, path[i])
		}
	}
	return b
}

// clean returns the path without dot segments and empty segments (RFC 3986
// 5.2.4, and slashes as the AWS test suite has them). A slash at the end stays.
// Segments that are encoded dots are no dot segments.
func clean(path string) string {
	if strings.HasPrefix(path, "/") && !strings.Contains(path, "//") && !strings.Contains(path, "/.") {
		return path
	}
	b := make([]byte, 1, len(path)+1)
	b[0] = '/'
	for rest := strings.TrimPrefix(path, "/"); rest != ""; {
		seg, tail, slash := strings.Cut(rest, "/")
		switch seg {
		case "", ".":
		case "..":
			// b ends in '/': drop that and the segment before it.
			if len(b) > 1 {
				b = b[:1+bytes.LastIndexByte(b[:len(b)-1], '/')]
			}
		default:
			b = append(b, seg...)
			if slash {
				b = append(b, '/')
			}
		}
		rest = tail
	}
	// "/a/.." is "/", "/a/b/.." is "/a" and "/a/b/../" is "/a/", as SDKs
	// (botocore, JavaScript) normalize.
	if len(b) > 1 && b[len(b)-1] == '/' && !strings.HasSuffix(path, "/") {
		b = b[:len(b)-1]
	}
	return string(b)
}

const upperHex = "0123456789ABCDEF"

// unreserved: RFC 3986 2.3.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '_' || c == '.' || c == '~'
}

func appendByte(b []byte, c byte) []byte {
	if unreserved(c) {
		return append(b, c)
	}
	return append(b, '%', upperHex[c>>4], upperHex[c&15])
}

// appendQuery appends the canonical query: parameters decoded and encoded
// anew, each with '=', sorted by encoded name and then value.
func (s *scratch) appendQuery(b []byte, query string, presigned bool) ([]byte, bool) {
	if len(query) > maxQuery {
		return b, false
	}
	s.enc, s.pairs = s.enc[:0], s.pairs[:0]
	for query != "" {
		var param string
		param, query, _ = strings.Cut(query, "&")
		if param == "" {
			continue
		}
		name, value, _ := strings.Cut(param, "=")
		p := pair{start: len(s.enc)}
		var ok bool
		if s.enc, ok = appendParam(s.enc, name); !ok {
			return b, false
		}
		p.eq = len(s.enc)
		if presigned && string(s.enc[p.start:]) == "X-Amz-Signature" {
			s.enc = s.enc[:p.start]
			continue
		}
		if s.enc, ok = appendParam(s.enc, value); !ok {
			return b, false
		}
		p.end = len(s.enc)
		s.pairs = append(s.pairs, p)
	}
	enc := s.enc
	slices.SortFunc(s.pairs, func(x, y pair) int {
		if c := bytes.Compare(enc[x.start:x.eq], enc[y.start:y.eq]); c != 0 {
			return c
		}
		return bytes.Compare(enc[x.eq:x.end], enc[y.eq:y.end])
	})
	for i, p := range s.pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, enc[p.start:p.eq]...)
		b = append(b, '=')
		b = append(b, enc[p.eq:p.end]...)
	}
	return b, true
}

// appendParam decodes one name or value as net/url does, and encodes it as
// SigV4 does. It refuses what net/url refuses (see the package comment).
func appendParam(b []byte, s string) ([]byte, bool) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case ';':
			return b, false
		case '+':
			c = ' '
		case '%':
			if i+2 >= len(s) || unhex(s[i+1]) < 0 || unhex(s[i+2]) < 0 {
				return b, false
			}
			c = byte(unhex(s[i+1])<<4 | unhex(s[i+2]))
			i += 2
		}
		b = appendByte(b, c)
	}
	return b, true
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// appendHeader appends "name:value\n" of a signed header. net/http moves some
// headers out of the map; they are taken from where it puts them.
func appendHeader(b []byte, r *http.Request, name string) ([]byte, bool) {
	var key [64]byte
	if len(name) > len(key) {
		return appendLongHeader(b, r, name)
	}
	upper := true
	for i := 0; i < len(name); i++ {
		c := name[i]
		// Lower-case tokens only (RFC 9110 5.6.2): nothing else is canonical,
		// and a newline or colon in a name could make one request look like another.
		if 'A' <= c && c <= 'Z' || !tokenByte(c) {
			return b, false
		}
		if upper && 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper = c == '-'
		key[i] = c
	}
	return appendValues(b, r, name, r.Header[string(key[:len(name)])])
}

// appendLongHeader is appendHeader for names that do not fit its array.
func appendLongHeader(b []byte, r *http.Request, name string) ([]byte, bool) {
	for i := 0; i < len(name); i++ {
		if c := name[i]; 'A' <= c && c <= 'Z' || !tokenByte(c) {
			return b, false
		}
	}
	return appendValues(b, r, name, r.Header[http.CanonicalHeaderKey(name)])
}

func appendValues(b []byte, r *http.Request, name string, values []string) ([]byte, bool) {
	b = append(b, name...)
	b = append(b, ':')
	switch {
	case name == "host":
		// As the client sent it, a port that is not the default one included.
		host := r.Host
		if host == "" && r.URL != nil {
			host = r.URL.Host
		}
		b = appendTrimmed(b, host)
	case len(values) > 0:
		for i, v := range values {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendTrimmed(b, v)
		}
	case name == "content-length" && r.ContentLength >= 0:
		b = strconv.AppendInt(b, r.ContentLength, 10)
	case name == "transfer-encoding" && len(r.TransferEncoding) > 0:
		b = append(b, strings.Join(r.TransferEncoding, ",")...)
	default:
		return b, false
	}
	return append(b, '\n'), true
}

// appendTrimmed appends v without white space at its ends and with any inside
// as one blank. The AWS page speaks of spaces; botocore, JavaScript and Java
// take all white space, and a tab inside a signed value is not seen in practice.
func appendTrimmed(b []byte, v string) []byte {
	start := len(b)
	for i := 0; i < len(v); {
		word := i
		for i < len(v) && !white(v[i]) {
			i++
		}
		if i > word {
			if len(b) > start {
				b = append(b, ' ')
			}
			b = append(b, v[word:i]...)
		}
		i++
	}
	return b
}

func white(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

func tokenByte(c byte) bool {
	return unreserved(c) || strings.IndexByte("!#$%&'*+^`|", c) >= 0
}

// toSign replaces the canonical request in s.buf by the string to sign.
func (s *scratch) toSign(hash [32]byte, stamp, date, region, service string) {
	b := append(s.buf[:0], algorithm+"\n"...)
	b = append(b, stamp...)
	b = append(b, '\n')
	b = append(b, date...)
	b = append(b, '/')
	b = append(b, region...)
	b = append(b, '/')
	b = append(b, service...)
	b = append(b, "/"+terminator+"\n"...)
	s.buf = hex.AppendEncode(b, hash[:])
}

// Package text reads and writes plain values as text: what the Query protocol
// has in its forms, and REST in paths, query strings and headers.
//
// Refused is what would change a value on its way in: numbers that do not fit,
// booleans that are not true or false in lower case, base64 that is not
// canonical. Strings are taken as they are; whether they are UTF-8 the callers
// check. No error repeats a value.
package text

import (
	"cmp"
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"

	"coffer/internal/api"
)

// Set reads s into f, a member or an element of shape sh that is no list, map or
// structure. Bytes are copied. Errors are *fault.Error of code
// SerializationException.
func Set[T string | []byte](sh *api.Shape, f any, s T) error {
	var err error
	switch p := f.(type) {
	case **string:
		*p = new(string(s))
	case *string:
		*p = string(s)
	case *api.Sensitive:
		if sh.Kind == api.Blob {
			*p, err = blob([]byte(s))
		} else {
			*p = append(make([]byte, 0, len(s)), s...)
		}
	case *[]byte:
		*p, err = blob([]byte(s))
	case **bool:
		*p = new(bool)
		**p, err = boolean(string(s))
	case *bool:
		*p, err = boolean(string(s))
	case **int64:
		*p = new(int64)
		**p, err = integer(sh.Kind, string(s))
	case *int64:
		*p, err = integer(sh.Kind, string(s))
	case **float64:
		*p = new(float64)
		**p, err = float(sh.Kind, string(s))
	case *float64:
		*p, err = float(sh.Kind, string(s))
	case **time.Time:
		*p = new(time.Time)
		**p, err = timestamp(string(s))
	case *time.Time:
		*p, err = timestamp(string(s))
	default:
		panic("text: unknown form of " + sh.Name)
	}
	return err
}

// mismatch is the error for a text that is not of the type wanted. AWS parses
// all its protocols into the same values, hence the words of JSON.
func mismatch(want string) error {
	return api.SerializationException("STRING_VALUE can not be converted to " + want)
}

func boolean(s string) (bool, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, mismatch("a Boolean")
}

func integer(kind api.Kind, s string) (int64, error) {
	bits, want := 64, "a Long"
	if kind == api.Integer {
		bits, want = 32, "an Integer"
	}
	n, err := strconv.ParseInt(s, 10, bits)
	if err != nil {
		return 0, mismatch(want)
	}
	return n, nil
}

func float(kind api.Kind, s string) (float64, error) {
	bits, want := 64, "a Double"
	if kind == api.Float {
		bits, want = 32, "a Float"
	}
	switch s {
	case "NaN":
		return math.NaN(), nil
	case "Infinity":
		return math.Inf(1), nil
	case "-Infinity":
		return math.Inf(-1), nil
	}
	// ParseFloat knows hexadecimal, underscores and more names of infinity.
	if strings.Trim(s, "+-.0123456789eE") != "" {
		return 0, mismatch(want)
	}
	x, err := strconv.ParseFloat(s, bits)
	if err != nil {
		return 0, mismatch(want)
	}
	return x, nil
}

// httpDate is RFC 9110's IMF-fixdate, which Smithy calls http-date and botocore
// rfc822.
const httpDate = "Mon, 02 Jan 2006 15:04:05 GMT"

// timeLayouts are the forms of ISO 8601 that AWS's documentation shows, and that
// of headers. Parse takes a fraction after any second. Without a zone it is UTC.
var timeLayouts = []string{time.RFC3339, "2006-01-02T15:04:05", "20060102T150405Z", "2006-01-02", httpDate}

// The years 0 to 9999, beyond which dates cannot be written, in seconds since
// the epoch.
const minSeconds, maxSeconds = -62167219200, 253402300799

// timestamp reads a time in ISO 8601, as in HTTP, or in seconds since the epoch,
// to the millisecond. Which of them does not depend on the model: no text is
// two.
func timestamp(s string) (time.Time, error) {
	for _, layout := range timeLayouts {
		t, err := time.Parse(layout, s)
		if err == nil && minSeconds <= t.Unix() && t.Unix() <= maxSeconds { // a zone may lead out of them
			return t.UTC().Truncate(time.Millisecond), nil
		}
	}
	x, err := float(api.Double, s)
	if err != nil || !(minSeconds <= x && x <= maxSeconds) {
		return time.Time{}, mismatch("a Timestamp")
	}
	return time.UnixMilli(int64(math.Round(x * 1000))).UTC(), nil
}

// strict refuses stray bits in the last digit.
var strict = base64.StdEncoding.Strict()

func blob(s []byte) ([]byte, error) {
	b := make([]byte, strict.DecodedLen(len(s)))
	n, err := strict.Decode(b, s)
	if err != nil || len(s) != strict.EncodedLen(n) { // it would ignore line breaks
		// The decoder's error would name a byte of the value.
		return nil, api.SerializationException("A blob is not valid base64.")
	}
	return b[:n], nil
}

// Append appends the present value f of shape sh, which is no list, map or
// structure. times is the format of timestamps where the model names none:
// "iso8601", "rfc822" or "unixTimestamp", all in whole seconds.
func Append(dst []byte, sh *api.Shape, f any, times string) []byte {
	switch p := f.(type) {
	case **string:
		return append(dst, **p...)
	case *string:
		return append(dst, *p...)
	case *api.Sensitive:
		if sh.Kind == api.Blob {
			return base64.StdEncoding.AppendEncode(dst, *p)
		}
		return append(dst, *p...)
	case *[]byte:
		return base64.StdEncoding.AppendEncode(dst, *p)
	case **bool:
		return strconv.AppendBool(dst, **p)
	case *bool:
		return strconv.AppendBool(dst, *p)
	case **int64:
		return strconv.AppendInt(dst, **p, 10)
	case *int64:
		return strconv.AppendInt(dst, *p, 10)
	case **float64:
		return appendFloat(dst, **p)
	case *float64:
		return appendFloat(dst, *p)
	case **time.Time:
		return appendTime(dst, **p, cmp.Or(sh.TimeFormat, times))
	case *time.Time:
		return appendTime(dst, *p, cmp.Or(sh.TimeFormat, times))
	}
	panic("text: unknown form of " + sh.Name)
}

func appendFloat(dst []byte, x float64) []byte {
	switch {
	case math.IsNaN(x):
		return append(dst, "NaN"...)
	case math.IsInf(x, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(x, -1):
		return append(dst, "-Infinity"...)
	}
	return api.AppendJSONFloat(dst, x)
}

func appendTime(dst []byte, t time.Time, format string) []byte {
	t = t.UTC()
	switch format {
	case "unixTimestamp":
		return strconv.AppendInt(dst, t.Unix(), 10)
	case "rfc822":
		return t.AppendFormat(dst, httpDate)
	}
	return t.AppendFormat(dst, "2006-01-02T15:04:05Z")
}

package httpapikey

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
)

// text is the string or number that a JSON pointer (RFC 6901) points to. Errors quote
// nothing of the document.
func text(document []byte, pointer string) (string, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return "", errors.New("it is no JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return "", errors.New("it is no JSON")
	}
	for _, token := range strings.Split(pointer, "/")[1:] {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		ok := false
		switch in := v.(type) {
		case map[string]any:
			v, ok = in[token]
		case []any:
			// No sign, no leading zero: so says the RFC.
			if i, err := strconv.Atoi(token); err == nil && strconv.Itoa(i) == token && i >= 0 && i < len(in) {
				v, ok = in[i], true
			}
		}
		if !ok {
			return "", errors.New("there is nothing")
		}
	}
	s := ""
	switch v := v.(type) {
	case string:
		s = v
	case json.Number:
		s = v.String()
	default:
		return "", errors.New("there is neither a string nor a number")
	}
	if s == "" || len(s) > maxKey || strings.ContainsRune(s, 0) {
		return "", errors.New("it is empty, or too long")
	}
	return s, nil
}

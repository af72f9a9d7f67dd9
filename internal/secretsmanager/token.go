package secretsmanager

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"

	smapi "coffer/internal/api/secretsmanager"
)

// A page token says where the next page starts: behind a sort key and a name,
// not at an offset, so that pages stay in line while secrets come and go.
//
//	0        1           17
//	+--------+-----------+---------------------------+
//	| 1      | MAC (16)  | sort key, zero byte, name |      in URL-safe base64
//	+--------+-----------+---------------------------+
//
// The MAC covers the position and what the token is good for: operation,
// account, region, filters, order. So a token cannot be made, changed, or taken
// to another account or another question; and it holds nothing that its
// receiver may not know, as all names in it are of the account that was listed.

const (
	tokenVersion = 1
	tokenMAC     = 16

	textBadToken = "The NextToken value is invalid."
)

// position is where a page ends.
type position struct {
	part string // the sort key
	name string // or version id
}

// purpose is what a token is good for.
type purpose []string

func (s *Service) mac(p purpose, payload string) []byte {
	h := hmac.New(sha256.New, s.tokenKey)
	var n [4]byte
	for _, part := range append(p[:len(p):len(p)], payload) {
		// Lengths first, so that no byte can move from one part to the next.
		binary.BigEndian.PutUint32(n[:], uint32(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	return h.Sum(nil)[:tokenMAC]
}

func (s *Service) token(p purpose, at position) *string {
	payload := at.part + "\x00" + at.name
	b := append(make([]byte, 0, 1+tokenMAC+len(payload)), tokenVersion)
	b = append(append(b, s.mac(p, payload)...), payload...)
	return new(base64.RawURLEncoding.EncodeToString(b))
}

// openToken reads a token that came in; nil when there is none.
func (s *Service) openToken(p purpose, token *string) (*position, error) {
	if token == nil {
		return nil, nil
	}
	bad := smapi.InvalidNextTokenException(textBadToken)
	b, err := base64.RawURLEncoding.Strict().DecodeString(*token)
	if err != nil || strings.ContainsAny(*token, "\r\n") || len(b) < 1+tokenMAC || b[0] != tokenVersion {
		return nil, bad // the decoder would skip line ends
	}
	payload := string(b[1+tokenMAC:])
	if !hmac.Equal(b[1:1+tokenMAC], s.mac(p, payload)) {
		return nil, bad
	}
	part, name, ok := strings.Cut(payload, "\x00")
	if !ok {
		return nil, bad
	}
	return &position{part, name}, nil
}

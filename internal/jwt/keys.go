package jwt

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

const (
	maxKeys = 200  // of one issuer
	minRSA  = 2048 // bits, as RFC 7518 asks
)

// Keys are the public keys of an issuer. Immutable.
type Keys struct {
	keys []jose.JSONWebKey
}

// ParseKeys reads a JSON Web Key Set (RFC 7517). Keys of other kinds and for
// other uses are passed over, as the RFC asks; a set without any that
// verifies signatures is an error.
func ParseKeys(b []byte) (*Keys, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, errors.New("jwt: not a JSON Web Key Set")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("jwt: %d keys in a set, more than %d", len(set.Keys), maxKeys)
	}
	keys := new(Keys)
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) == nil && k.Valid() && verifies(&k) {
			keys.keys = append(keys.keys, k)
		}
	}
	if len(keys.keys) == 0 {
		return nil, errors.New("jwt: no usable key in the set")
	}
	return keys, nil
}

func verifies(k *jose.JSONWebKey) bool {
	if k.Use != "" && k.Use != "sig" {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= minRSA
	case *ecdsa.PublicKey:
		return true
	}
	return false // shared secrets, private keys
}

// Has reports whether there is a key of this id; whether there is any for "".
func (k *Keys) Has(id string) bool {
	for i := range k.keys {
		if id == "" || k.keys[i].KeyID == id {
			return true
		}
	}
	return false
}

// Source finds the keys of issuers.
type Source interface {
	// Keys returns the keys of the issuer with this URL, and looks for them anew if there is
	// none of the given id, but not too often. The issuer's server is
	// believed if its certificate is one that everybody trusts, or one with a
	// thumbprint (SHA-1, hex) of the list. The error wraps one of those below.
	Keys(ctx context.Context, issuer string, thumbprints []string, id string) (*Keys, error)
}

var (
	// ErrUnreachable says that the issuer does not answer.
	ErrUnreachable = errors.New("jwt: the issuer cannot be reached")
	// ErrCertificate says that its certificate is not to be believed.
	ErrCertificate = errors.New("jwt: the issuer's certificate is not trusted")
	// ErrIssuer says that what it answers is of no use.
	ErrIssuer = errors.New("jwt: the issuer's documents cannot be used")
)

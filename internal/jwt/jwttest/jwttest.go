// Package jwttest makes keys and tokens as OpenID Connect providers do, right ones
// and wrong ones.
package jwttest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"

	"github.com/go-jose/go-jose/v4"
)

// Key is a key of an issuer.
type Key struct {
	ID        string
	Algorithm jose.SignatureAlgorithm
	private   crypto.Signer
}

// NewRSA makes a key for RS256.
func NewRSA(id string) *Key {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	return &Key{id, jose.RS256, k}
}

// NewES256 makes a key for ES256.
func NewES256(id string) *Key { return NewECDSA(id, elliptic.P256(), jose.ES256) }

// NewECDSA makes a key on a curve.
func NewECDSA(id string, curve elliptic.Curve, algorithm jose.SignatureAlgorithm) *Key {
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	must(err)
	return &Key{id, algorithm, k}
}

// As is the key under another algorithm or id.
func (k *Key) As(algorithm jose.SignatureAlgorithm, id string) *Key {
	return &Key{id, algorithm, k.private}
}

// Public is the key as a set shows it.
func (k *Key) Public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.private.Public(), KeyID: k.ID, Algorithm: string(k.Algorithm), Use: "sig"}
}

// JWKS is a key set of this key alone.
func (k *Key) JWKS() []byte {
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{k.Public()}})
	must(err)
	return b
}

// Sign makes a token of claims; header is names and values besides the usual.
func (k *Key) Sign(claims map[string]any, header ...any) string {
	options := new(jose.SignerOptions).WithType("JWT")
	for i := 0; i < len(header); i += 2 {
		options = options.WithHeader(jose.HeaderKey(header[i].(string)), header[i+1])
	}
	if k.ID != "" {
		options = options.WithHeader("kid", k.ID)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: k.Algorithm, Key: k.private}, options)
	must(err)
	payload, err := json.Marshal(claims)
	must(err)
	signed, err := signer.Sign(payload)
	must(err)
	text, err := signed.CompactSerialize()
	must(err)
	return text
}

// Unsigned is a token with any header and signature.
func Unsigned(header, claims map[string]any, signature []byte) string {
	h, err := json.Marshal(header)
	must(err)
	c, err := json.Marshal(claims)
	must(err)
	e := base64.RawURLEncoding
	return e.EncodeToString(h) + "." + e.EncodeToString(c) + "." + e.EncodeToString(signature)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

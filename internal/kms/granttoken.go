package kms

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
)

// A grant token names a grant. In AWS it makes a grant known where it is too young to
// be known; here a grant counts from the next call on, and a token only serves to retire it.
//
//	base64url of: 1 (version) | nonce (8) | check (8) | account 00 region 00 key id 00 grant id
//	check = SHA-256(nonce, names)[:8]
//
// The nonce makes each token another. The check tells a damaged token; it is no secret,
// and a forged token gives nothing: who may retire a grant, the grant says.
const (
	grantTokenVersion = 1
	grantTokenNonce   = 8
	grantTokenCheck   = 8
)

// grantName is what a grant token names.
type grantName struct{ account, region, key, grant string }

func newGrantToken(g *Grant) string {
	b := make([]byte, 1+grantTokenNonce, 256)
	b[0] = grantTokenVersion
	rand.Read(b[1:]) // never fails
	names := strings.Join([]string{g.Account, g.Region, g.KeyID, g.ID}, "\x00")
	b = append(b, grantTokenSum(b[1:], names)...)
	return base64.RawURLEncoding.EncodeToString(append(b, names...))
}

func grantTokenSum(nonce []byte, names string) []byte {
	sum := sha256.Sum256(append(bytes.Clone(nonce), names...))
	return sum[:grantTokenCheck]
}

// parseGrantToken reads a token.
func parseGrantToken(token string) (n grantName, err error) {
	const head = 1 + grantTokenNonce
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < head+grantTokenCheck || b[0] != grantTokenVersion {
		return n, invalidGrantToken()
	}
	names := string(b[head+grantTokenCheck:])
	parts := strings.Split(names, "\x00")
	if len(parts) != 4 || !bytes.Equal(b[head:head+grantTokenCheck], grantTokenSum(b[1:head], names)) || !isAccount(parts[0]) || !isKeyID(parts[2]) {
		return n, invalidGrantToken()
	}
	return grantName{parts[0], parts[1], parts[2], parts[3]}, nil
}

func invalidGrantToken() error {
	return kmsapi.InvalidGrantTokenException("The grant token is not valid.")
}

// checkGrantTokens refuses a request with grant tokens that were not made here. What
// they name does not matter.
func checkGrantTokens(in api.Struct) error {
	for _, token := range grantTokens(in) {
		if _, err := parseGrantToken(token); err != nil {
			return err
		}
	}
	return nil
}

// grantTokens are those of a request. DescribeKey has them too, and by its model no
// error to refuse them with.
func grantTokens(in api.Struct) []string {
	switch in := in.(type) {
	case *kmsapi.CreateGrantInput:
		return in.GrantTokens
	case *kmsapi.DecryptInput:
		return in.GrantTokens
	case *kmsapi.DeriveSharedSecretInput:
		return in.GrantTokens
	case *kmsapi.EncryptInput:
		return in.GrantTokens
	case *kmsapi.GenerateDataKeyInput:
		return in.GrantTokens
	case *kmsapi.GenerateDataKeyPairInput:
		return in.GrantTokens
	case *kmsapi.GenerateDataKeyPairWithoutPlaintextInput:
		return in.GrantTokens
	case *kmsapi.GenerateDataKeyWithoutPlaintextInput:
		return in.GrantTokens
	case *kmsapi.GenerateMacInput:
		return in.GrantTokens
	case *kmsapi.GetPublicKeyInput:
		return in.GrantTokens
	case *kmsapi.ReEncryptInput:
		return in.GrantTokens
	case *kmsapi.SignInput:
		return in.GrantTokens
	case *kmsapi.VerifyInput:
		return in.GrantTokens
	case *kmsapi.VerifyMacInput:
		return in.GrantTokens
	}
	return nil
}

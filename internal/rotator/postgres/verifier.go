package postgres

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
)

// scramVerifier is what PostgreSQL keeps of a password (RFC 5802, RFC 7677):
// SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey.
func scramVerifier(password string, iterations int) string {
	salt := make([]byte, 16)
	rand.Read(salt) // never fails
	return scramWith(password, iterations, salt)
}

func scramWith(password string, iterations int, salt []byte) string {
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		panic("postgres: PBKDF2 with these sizes") // cannot be
	}
	client := sum(salted, "Client Key")
	stored := sha256.Sum256(client)
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(stored[:]), b64(sum(salted, "Server Key")))
}

func sum(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// iterations reads the server's setting; servers before 16 have none and use 4096.
func iterations(setting string) int {
	n, err := strconv.Atoi(setting)
	if err != nil || n < 1 || n > 1_000_000 {
		return 4096
	}
	return n
}

// md5Verifier is the older form, for servers that are set to it.
func md5Verifier(user, password string) string {
	h := md5.Sum([]byte(password + user))
	return "md5" + hex.EncodeToString(h[:])
}

func isASCII(s string) bool {
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

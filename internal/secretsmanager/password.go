package secretsmanager

import (
	"crypto/rand"

	"coffer/internal/fault"
)

// passwordSpec is GetRandomPassword's request with its defaults filled in by
// the caller: Length 32 and RequireEachIncludedType true when absent.
type passwordSpec struct {
	Length             int
	ExcludeCharacters  string
	ExcludeNumbers     bool
	ExcludePunctuation bool
	ExcludeUppercase   bool
	ExcludeLowercase   bool
	IncludeSpace       bool
	RequireEachType    bool
}

const (
	defaultPasswordLength = 32
	maxPasswordLength     = 4096
)

// The character classes, as listed in the API reference of GetRandomPassword.
const (
	passwordLower       = "abcdefghijklmnopqrstuvwxyz"
	passwordUpper       = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	passwordDigits      = "0123456789"
	passwordPunctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
	passwordSpace       = " "
)

var errPasswordTooShort = fault.New(fault.Invalid, "InvalidParameterException",
	"Password length is too short based on the required types.")

// errPasswordEmpty has a text of ours: the service's is not on record.
var errPasswordEmpty = fault.New(fault.Invalid, "InvalidParameterException",
	"There are no characters left to generate the password from.")

var errPasswordLength = fault.New(fault.Invalid, "InvalidParameterException",
	"Password length must be between 1 and 4096.")

// randomPassword draws a password. The caller owns the bytes and should wipe
// them when they have been sent.
//
// Every character comes from crypto/rand, without modulo bias. With
// RequireEachType, one character of each class is drawn first, the rest from
// all classes together, and the whole is shuffled, so that no position tells
// its class. A class whose every character is excluded counts as excluded: it
// cannot be required, and refusing would only make the caller name it twice.
func randomPassword(spec passwordSpec) ([]byte, error) {
	if spec.Length < 1 || spec.Length > maxPasswordLength {
		return nil, errPasswordLength // the model's range; checked before us
	}
	var excluded [256]bool
	for i := range len(spec.ExcludeCharacters) {
		// Bytes suffice: the classes are ASCII, and no byte of a longer
		// UTF-8 character is.
		excluded[spec.ExcludeCharacters[i]] = true
	}
	var pool []byte // all classes, one after the other
	var ends [5]int // where each class ends in pool
	classes := 0
	for _, class := range []struct {
		chars string
		in    bool
	}{
		{passwordLower, !spec.ExcludeLowercase},
		{passwordUpper, !spec.ExcludeUppercase},
		{passwordDigits, !spec.ExcludeNumbers},
		{passwordPunctuation, !spec.ExcludePunctuation},
		{passwordSpace, spec.IncludeSpace},
	} {
		if !class.in {
			continue
		}
		before := len(pool)
		for i := range len(class.chars) {
			if !excluded[class.chars[i]] {
				pool = append(pool, class.chars[i])
			}
		}
		if len(pool) > before {
			ends[classes] = len(pool)
			classes++
		}
	}
	if classes == 0 {
		return nil, errPasswordEmpty
	}
	if spec.RequireEachType && spec.Length < classes {
		return nil, errPasswordTooShort
	}
	var src randomBytes
	defer src.wipe()
	out := make([]byte, 0, spec.Length)
	if spec.RequireEachType {
		from := 0
		for _, end := range ends[:classes] {
			out = append(out, pool[from+src.below(end-from)])
			from = end
		}
	}
	for len(out) < spec.Length {
		out = append(out, pool[src.below(len(pool))])
	}
	if !spec.RequireEachType {
		return out, nil // independent draws; a shuffle would add nothing
	}
	for i := len(out) - 1; i > 0; i-- { // Fisher-Yates
		j := src.below(i + 1)
		out[i], out[j] = out[j], out[i]
	}
	return out, nil
}

// randomBytes hands out bytes of crypto/rand from a buffer, as one system call
// for each character would cost more than the rest of the operation.
type randomBytes struct {
	buf  [256]byte
	left int
}

func (r *randomBytes) uint16() int {
	if r.left < 2 {
		rand.Read(r.buf[:]) // never fails: it ends the process rather than return an error
		r.left = len(r.buf)
	}
	r.left -= 2
	return int(r.buf[r.left])<<8 | int(r.buf[r.left+1])
}

// below returns a number in [0, n), n <= 65536, every one equally likely: draws
// in the incomplete last stretch of n are thrown away.
func (r *randomBytes) below(n int) int {
	limit := 1<<16 - (1<<16)%n
	for {
		if v := r.uint16(); v < limit {
			return v % n
		}
	}
}

func (r *randomBytes) wipe() { clear(r.buf[:]) }

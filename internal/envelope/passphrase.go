package envelope

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/argon2"
)

const (
	passphraseVersion = 1
	saltSize          = 16 // RFC 9106, 3.1: recommended for passwords
	checkSize         = 32

	passphraseParamsEnd = 1 + 4 + 4 + 1
	passphraseSaltEnd   = passphraseParamsEnd + saltSize
	passphraseCheckEnd  = passphraseSaltEnd + checkSize

	// PassphraseHeaderSize is the length of a passphrase header, in bytes.
	PassphraseHeaderSize = passphraseCheckEnd + checksumSize

	// MinPassphrase and MaxPassphrase bound a new passphrase, in bytes.
	MinPassphrase = 12
	MaxPassphrase = 1024

	labelCheck = "coffer/envelope/v1/passphrase-check"
)

// PassphraseParams is the cost of turning a passphrase into a key: what each
// guess costs an attacker who has the store, and each start costs us. The zero
// value is the default, the second recommended option of RFC 9106 section 4
// for Argon2id: 3 passes over 64 MiB in 4 lanes, about 0.1 to 0.2 s.
type PassphraseParams struct {
	Time    uint32 // passes, 1 to 16
	Memory  uint32 // KiB, 8,192 to 1,048,576 (8 MiB to 1 GiB)
	Threads uint8  // lanes, 1 to 16
}

// DefaultPassphraseParams is what the zero PassphraseParams stands for.
var DefaultPassphraseParams = PassphraseParams{Time: 3, Memory: 64 << 10, Threads: 4}

// valid holds for what we write and what we read. The upper bounds matter on
// reading: the header is not authenticated before the key is derived, so
// whoever can write it could make a start take all memory, or hours. The lower
// ones keep a mistaken configuration from writing a store that can be guessed.
func (p PassphraseParams) valid() bool {
	return 1 <= p.Time && p.Time <= 16 &&
		8<<10 <= p.Memory && p.Memory <= 1<<20 &&
		1 <= p.Threads && p.Threads <= 16
}

// NewPassphrase makes a root key from a passphrase and a fresh salt. header is
// to be stored beside the store, before anything is sealed: without it the
// passphrase opens nothing. It is not secret, but lets its reader try
// passphrases, at the cost of one Argon2id each. ErrPassphrase if passphrase
// or params are out of range. The caller clears the passphrase.
func NewPassphrase(passphrase []byte, params PassphraseParams) (key *LocalKey, header []byte, err error) {
	if params == (PassphraseParams{}) {
		params = DefaultPassphraseParams
	}
	if !params.valid() {
		return nil, nil, fmt.Errorf("%w: time must be 1 to 16, memory 8192 to 1048576 KiB, threads 1 to 16", ErrPassphrase)
	}
	if len(passphrase) < MinPassphrase || len(passphrase) > MaxPassphrase {
		return nil, nil, fmt.Errorf("%w: the passphrase must have %d to %d bytes", ErrPassphrase, MinPassphrase, MaxPassphrase)
	}
	header = make([]byte, passphraseSaltEnd, PassphraseHeaderSize)
	header[0] = passphraseVersion
	binary.BigEndian.PutUint32(header[1:], params.Time)
	binary.BigEndian.PutUint32(header[5:], params.Memory)
	header[9] = params.Threads
	rand.Read(header[passphraseParamsEnd:passphraseSaltEnd])

	k, check, err := stretch(passphrase, params, header[passphraseParamsEnd:passphraseSaltEnd])
	if err != nil {
		return nil, nil, err
	}
	defer k.Destroy()
	header = append(header, check...)
	header = append(header, passphraseChecksum(header)...)
	key, err = newLocalKey("passphrase", k)
	return key, header, err
}

// OpenPassphrase makes the root key again from the passphrase and the stored
// header. ErrWrongKey means that the passphrase is another; ErrCorrupt that
// the header is damaged, in which case no passphrase would do. (Someone who
// alters the header on purpose and mends its checksum gets ErrWrongKey, never
// a weaker key: other parameters or salt make another key.) Takes as long and
// as much memory as the header's parameters say, within PassphraseParams'
// bounds.
func OpenPassphrase(passphrase, header []byte) (*LocalKey, error) {
	params, err := ParsePassphraseHeader(header)
	if err != nil {
		return nil, err
	}
	if len(passphrase) == 0 || len(passphrase) > MaxPassphrase {
		return nil, fmt.Errorf("%w: the passphrase must have 1 to %d bytes", ErrPassphrase, MaxPassphrase)
	}
	k, check, err := stretch(passphrase, params, header[passphraseParamsEnd:passphraseSaltEnd])
	if err != nil {
		return nil, err
	}
	defer k.Destroy()
	if subtle.ConstantTimeCompare(check, header[passphraseSaltEnd:passphraseCheckEnd]) != 1 {
		return nil, fmt.Errorf("%w: the passphrase is not the one this store was made with", ErrWrongKey)
	}
	return newLocalKey("passphrase", k)
}

// ParsePassphraseHeader checks a header, short of the passphrase, and returns
// its parameters. ErrCorrupt for what NewPassphrase would not write.
func ParsePassphraseHeader(header []byte) (PassphraseParams, error) {
	if len(header) != PassphraseHeaderSize || header[0] != passphraseVersion {
		return PassphraseParams{}, fmt.Errorf("%w: not a passphrase header of version %d", ErrCorrupt, passphraseVersion)
	}
	if !bytes.Equal(passphraseChecksum(header), header[passphraseCheckEnd:]) {
		return PassphraseParams{}, fmt.Errorf("%w: the checksum of the passphrase header does not match; put it back from your backup", ErrCorrupt)
	}
	p := PassphraseParams{
		Time:    binary.BigEndian.Uint32(header[1:]),
		Memory:  binary.BigEndian.Uint32(header[5:]),
		Threads: header[9],
	}
	if !p.valid() {
		return PassphraseParams{}, fmt.Errorf("%w: the parameters of the passphrase header are out of range", ErrCorrupt)
	}
	return p, nil
}

func passphraseChecksum(header []byte) []byte {
	sum := sha256.Sum256(header[:passphraseCheckEnd])
	return sum[:checksumSize]
}

func stretch(passphrase []byte, p PassphraseParams, salt []byte) (k Key, check []byte, err error) {
	b := argon2.IDKey(passphrase, salt, p.Time, p.Memory, p.Threads, KeySize)
	defer clear(b)
	if k, err = KeyFrom(b); err != nil {
		return Key{}, nil, err
	}
	check, err = k.derive(nil, labelCheck, checkSize)
	return k, check, err
}

package iam

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/url"
	"time"

	"github.com/boombuler/barcode/qr"

	"coffer/internal/api"
	"coffer/internal/table"
)

// Virtual MFA devices make time-based one-time passwords (RFC 6238) as every
// authenticator app does unless told otherwise: HMAC-SHA-1, six digits, a new one every 30
// seconds, counted from 1970.
const (
	codeSeconds = 30
	seedSize    = 40 // bytes: 64 characters of base 32 without padding, as AWS gives
)

// Seed is what a device's codes are made from. It prints as a placeholder.
type Seed struct{ Bytes api.Sensitive }

func newSeed() Seed {
	b := make(api.Sensitive, seedSize)
	rand.Read(b)
	return Seed{b}
}

// MarshalCBOR stores the bytes; rows are sealed.
func (s Seed) MarshalCBOR() ([]byte, error) { return table.MarshalBytes(s.Bytes) }

// UnmarshalCBOR is the inverse of MarshalCBOR.
func (s *Seed) UnmarshalCBOR(b []byte) (err error) {
	s.Bytes, err = table.UnmarshalBytes(b)
	return err
}

// base32 is the seed as people type it.
func (s Seed) base32() api.Sensitive {
	out := make(api.Sensitive, base32.StdEncoding.EncodedLen(len(s.Bytes)))
	base32.StdEncoding.Encode(out, s.Bytes)
	return out
}

// code is the code of a step (RFC 4226 section 5.3).
func (s Seed) code(step int64) [6]byte {
	m := hmac.New(sha1.New, s.Bytes)
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(step)))
	sum := m.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[len(sum)-1]&15:]) & 0x7fffffff % 1_000_000
	var out [6]byte
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = '0' + byte(n%10)
		n /= 10
	}
	return out
}

// step is the step that a time is in.
func step(t time.Time) int64 { return t.Unix() / codeSeconds }

// find looks for the step whose codes are these, one after the other, among those
// from first to last. Every one is compared, and in constant time: how long it takes does
// not tell how near a guess was.
func (s Seed) find(first, last int64, codes ...[]byte) (found int64, ok bool) {
	for at := first; at <= last; at++ {
		same := 1
		for i, c := range codes {
			want := s.code(at + int64(i))
			same &= subtle.ConstantTimeCompare(want[:], c)
		}
		if same == 1 && !ok {
			found, ok = at, true
		}
	}
	return found, ok
}

// qrCode is a PNG image that authenticator apps read ("QRCodePNG" of
// VirtualMFADevice; the form is that of "Key Uri Format" of Google Authenticator).
func (s Seed) qrCode(device, account string) (api.Sensitive, error) {
	secret := s.base32()
	defer clear(secret)
	code, err := qr.Encode("otpauth://totp/"+url.PathEscape(device)+"@"+account+"?secret="+string(secret), qr.M, qr.Unicode)
	if err != nil {
		return nil, fmt.Errorf("iam: QR code: %w", err)
	}
	const module, quiet = 5, 4 // pixels; modules of light around, without which readers do not find it
	n := code.Bounds().Dx()
	side := (n + 2*quiet) * module
	img := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.White, color.Black})
	for y := range side {
		for x := range side {
			p := image.Pt(x/module-quiet, y/module-quiet)
			if p.In(code.Bounds()) && code.At(p.X, p.Y) == color.Black {
				img.SetColorIndex(x, y, 1)
			}
		}
	}
	var out bytes.Buffer
	err = png.Encode(&out, img)
	return out.Bytes(), err
}

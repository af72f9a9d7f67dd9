// Package session makes and opens temporary credentials.
//
// A session is nowhere stored. All that there is to know of it is inside its
// session token, sealed under a key derived from the keyring: any process of the
// deployment opens it without a lookup, and nobody else can read or make one. What the
// session may do is not in it: that is looked up with every call, so that a
// deleted role, a detached policy or a deactivated access key ends its sessions at once.
//
// # Promises
//
//   - Open accepts only what Seal made under a key that is still in the ring;
//     whatever else it is given is [ErrToken], and no input makes it panic.
//   - A token is bound to the deployment, not to an account or region.
//   - Secrets in a Session print as placeholders.
//
// # What it does not promise
//
// A token does not know when it was revoked. Whoever authorizes checks that
// the role, user and access key behind the session are still there.
//
// # Format
//
// A token is base64 (RFC 4648, URL alphabet, no padding) of
//
//	 0        1        2            18         30
//	+--------+--------+------------+----------+------------------+
//	| 1      | form   | run id (16)| nonce(12)| ciphertext, tag  |
//	+--------+--------+------------+----------+------------------+
//
// sealed as package envelope describes under the label
// "coffer/session/v1/token". The plaintext is the Session in CBOR (RFC 8949,
// integer keys); form 1 is that, form 2 the same compressed with DEFLATE (RFC 1951).
package session

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fxamacker/cbor/v2"

	"coffer/internal/envelope"
	"coffer/internal/policy"
	"coffer/internal/sigv4"
)

// Session is temporary credentials and what they stand for.
type Session struct {
	// Type is policy.AssumedRole, policy.FederatedSession, or, for
	// GetSessionToken, policy.IAMUser or policy.Root.
	Type        policy.CallerType `cbor:"1,keyasint"`
	AccessKeyID string            `cbor:"2,keyasint"` // ASIA...
	Secret      Secret            `cbor:"3,keyasint"`
	Account     string            `cbor:"4,keyasint"`

	// EntityID is the unique id of the role or user behind the session; empty for the root.
	// Entity is path and name of the role ("ci/deploy"): a role is never
	// renamed, and the name of a user is looked up.
	EntityID string `cbor:"5,keyasint,omitempty"`
	Entity   string `cbor:"6,keyasint,omitempty"`
	Name     string `cbor:"7,keyasint,omitempty"` // of the session, or of the federated user

	Issued  int64 `cbor:"8,keyasint"` // seconds since 1970
	Expires int64 `cbor:"9,keyasint"`
	MFA     int64 `cbor:"10,keyasint,omitempty"` // when the caller proved a second factor; 0: not

	Tags           []policy.Tag `cbor:"11,keyasint,omitempty"`
	Transitive     []string     `cbor:"12,keyasint,omitempty"` // tag keys that a chained session inherits
	SourceIdentity string       `cbor:"13,keyasint,omitempty"`
	Chained        bool         `cbor:"14,keyasint,omitempty"` // assumed with the credentials of another role session
	Provider       string       `cbor:"15,keyasint,omitempty"` // that vouched for the holder: an ARN, or a host name

	// Policy and PolicyARNs are the session policies. Restricted is set when
	// there are any, and for a federated user without: it may do nothing then.
	Policy     string   `cbor:"16,keyasint,omitempty"`
	PolicyARNs []string `cbor:"17,keyasint,omitempty"`
	Restricted bool     `cbor:"18,keyasint,omitempty"`

	// ParentKeyID is the long-term access key that GetSessionToken or
	// GetFederationToken was called with. The session ends with it.
	ParentKeyID string `cbor:"19,keyasint,omitempty"`

	// Claims of the web identity token or SAML assertion that condition keys of
	// the session are about, by key in lower case ("saml:sub").
	Claims map[string][]string `cbor:"20,keyasint,omitempty"`

	names atomic.Pointer[Names]
}

// Names are what a session is called. They are put together once.
type Names struct {
	partition string
	ARN       string // of the assumed-role or federated session; empty for GetSessionToken's
	Role      string // ARN of the role behind an assumed-role session
	UserID    string // aws:userid, and CloudTrail's principalId; empty for GetSessionToken's
}

// UserID is Names.UserID, which has no partition in it.
func (s *Session) UserID() string {
	if n := s.names.Load(); n != nil {
		return n.UserID
	}
	return s.Names("aws").UserID
}

// Names returns the session's names in a partition. The role's name in the
// session's ARN has no path ("IAM identifiers").
func (s *Session) Names(partition string) *Names {
	if n := s.names.Load(); n != nil && n.partition == partition {
		return n
	}
	n := &Names{partition: partition}
	sts := "arn:" + partition + ":sts::" + s.Account
	switch s.Type {
	case policy.AssumedRole:
		n.ARN = sts + ":assumed-role/" + s.RoleName() + "/" + s.Name
		n.Role = "arn:" + partition + ":iam::" + s.Account + ":role/" + s.Entity
		n.UserID = s.EntityID + ":" + s.Name
	case policy.FederatedSession:
		n.ARN = sts + ":federated-user/" + s.Name
		n.UserID = s.Account + ":" + s.Name
	}
	s.names.Store(n)
	return n
}

// Secret is a secret access key. It prints as a placeholder.
type Secret struct{ Text sigv4.Secret }

// MarshalCBOR is for the token, which is sealed.
func (s Secret) MarshalCBOR() ([]byte, error) { return encMode.Marshal([]byte(s.Text)) }

// UnmarshalCBOR is the inverse of MarshalCBOR.
func (s *Secret) UnmarshalCBOR(b []byte) error {
	var p []byte
	err := decMode.Unmarshal(b, &p)
	s.Text = sigv4.Secret(p)
	clear(p)
	return err
}

// NewAccessKey draws an access key for a session: an id of ASIA and 16
// characters, and 40 characters that carry 240 random bits.
func NewAccessKey() (id string, secret Secret) {
	b := make([]byte, 10+30)
	rand.Read(b) // never fails (Go 1.24)
	defer clear(b)
	return "ASIA" + base32.StdEncoding.EncodeToString(b[:10]), Secret{sigv4.Secret(base64.StdEncoding.EncodeToString(b[10:]))}
}

// Expired reports whether the session is over at now.
func (s *Session) Expired(now time.Time) bool { return now.Unix() >= s.Expires }

// Key is what signatures of the session are verified with.
func (s *Session) Key(token string) sigv4.Key {
	return sigv4.Key{SecretAccessKey: s.Secret.Text, SessionToken: sigv4.Secret(token), Expires: time.Unix(s.Expires, 0)}
}

// ErrToken is returned for a token that Seal did not make, or whose key is gone.
var ErrToken = errors.New("session: not a session token of this deployment")

const (
	version      = 1
	formPlain    = 1
	formDeflated = 2
	headerSize   = 2
	label        = "coffer/session/v1/token"

	deflateFrom = 512      // bytes: shorter ones do not become much shorter
	maxPlain    = 64 << 10 // bytes of CBOR
	maxToken    = 32 << 10 // characters
	runsKept    = 64

	maxOpened      = 4096     // tokens kept open
	maxOpenedBytes = 16 << 20 // of tokens and what is in them, roughly
	openedOverhead = 1 << 10
)

// Tokens seals and opens session tokens. Safe for concurrent use.
type Tokens struct {
	keys *envelope.RunKeys

	// Opened tokens: a busy client's token is opened once, not with every call.
	mu     sync.RWMutex
	opened map[string]opened
	bytes  int
}

type opened struct {
	*Session
	size int
}

// New returns Tokens that seal under key, which is for this purpose alone.
func New(key envelope.Key) (*Tokens, error) {
	keys, err := envelope.NewRunKeys(key, label, runsKept)
	if err != nil {
		return nil, err
	}
	return &Tokens{keys: keys, opened: make(map[string]opened)}, nil
}

// Seal returns the session's token. An error if it would be too large.
func (t *Tokens) Seal(s *Session) (string, error) {
	plain, err := encMode.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("session: %w", err)
	}
	defer clear(plain)
	if len(plain) > maxPlain {
		return "", fmt.Errorf("session: %d bytes of session, more than %d", len(plain), maxPlain)
	}
	header := [headerSize]byte{version, formPlain}
	if len(plain) >= deflateFrom {
		small := deflate(plain)
		defer clear(small)
		header[1], plain = formDeflated, small
	}
	blob, err := t.keys.Seal(nil, header[:], plain, nil)
	if err != nil {
		return "", err
	}
	if n := encoding.EncodedLen(len(blob)); n > maxToken {
		return "", fmt.Errorf("session: a token of %d characters, more than %d", n, maxToken)
	}
	return encoding.EncodeToString(blob), nil
}

// Open returns the session of a token, shared and not to be changed. Whether it
// has expired is for the caller to say.
func (t *Tokens) Open(token string) (*Session, error) {
	t.mu.RLock()
	s := t.opened[token].Session
	t.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	// The decoder passes over line ends: one session would have many tokens.
	if len(token) > maxToken || strings.ContainsAny(token, "\r\n") {
		return nil, ErrToken
	}
	blob, err := encoding.DecodeString(token)
	if err != nil || len(blob) < headerSize || blob[0] != version {
		return nil, ErrToken
	}
	plain, err := t.keys.Open(nil, blob, headerSize, nil)
	if errors.Is(err, envelope.ErrCorrupt) {
		return nil, ErrToken
	}
	if err != nil {
		return nil, err
	}
	defer func() { clear(plain) }()
	switch blob[1] {
	case formPlain:
	case formDeflated:
		packed := plain
		if plain, err = inflate(packed); err != nil {
			return nil, ErrToken
		}
		clear(packed)
	default:
		return nil, ErrToken
	}
	s = new(Session)
	if err := decMode.Unmarshal(plain, s); err != nil {
		return nil, ErrToken
	}
	t.remember(token, s, len(plain))
	return s, nil
}

// remember keeps an opened token. The map's order is random, so what goes when
// there are too many is, too.
func (t *Tokens) remember(token string, s *Session, size int) {
	size += len(token) + openedOverhead
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.opened[token]; ok {
		return
	}
	for old, o := range t.opened {
		if len(t.opened) < maxOpened && t.bytes+size <= maxOpenedBytes {
			break
		}
		delete(t.opened, old)
		t.bytes -= o.size
	}
	t.opened[strings.Clone(token)] = opened{s, size} // token is part of a request's header
	t.bytes += size
}

// PackedLimit is how many bytes session policies, their ARNs and session tags may
// take in a token, compressed; the figure is ours. ("The packed size ... exceeds
// the limit": PackedPolicyTooLargeException.)
const PackedLimit = 4 << 10

// PackedSize returns how much of PackedLimit the session's policies and tags take, in
// percent, rounded up; 0 if it has none.
func (s *Session) PackedSize() int {
	if s.Policy == "" && len(s.PolicyARNs) == 0 && len(s.Tags) == 0 {
		return 0
	}
	part := &Session{Policy: s.Policy, PolicyARNs: s.PolicyARNs, Tags: s.Tags, Transitive: s.Transitive}
	plain, err := encMode.Marshal(part)
	if err != nil || len(plain) > maxPlain {
		return 1000
	}
	n := min(len(plain), len(deflate(plain)))
	return (100*n + PackedLimit - 1) / PackedLimit
}

func deflate(b []byte) []byte {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, flate.BestCompression) // the level is valid
	w.Write(b)                                           // to memory: cannot fail
	w.Close()
	return out.Bytes()
}

func inflate(b []byte) ([]byte, error) {
	r := flate.NewReader(bytes.NewReader(b))
	defer r.Close()
	out, err := io.ReadAll(io.LimitReader(r, maxPlain+1))
	if err == nil && len(out) > maxPlain {
		err = ErrToken
	}
	return out, err
}

var (
	encoding = base64.RawURLEncoding.Strict()
	encMode  = must(cbor.EncOptions{Sort: cbor.SortNone, IndefLength: cbor.IndefLengthForbidden}.EncMode())
	decMode  = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   8,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // a wrong option literal; any test finds it
	}
	return v
}

// RoleName is the name of the role behind the session, without its path.
func (s *Session) RoleName() string { return s.Entity[strings.LastIndexByte(s.Entity, '/')+1:] }

package session_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/envelope"
	"coffer/internal/policy"
	"coffer/internal/session"
)

const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

func mustTokens(t testing.TB, key envelope.Key) *session.Tokens {
	t.Helper()
	tokens, err := session.New(key)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func mustSeal(t testing.TB, tokens *session.Tokens, s *session.Session) string {
	t.Helper()
	token, err := tokens.Seal(s)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func small() *session.Session {
	return &session.Session{Type: policy.AssumedRole, AccessKeyID: "ASIAEXAMPLE", Secret: session.Secret{Text: secret},
		Account: "111122223333", EntityID: "AROAEXAMPLE", Entity: "ci/deploy", Name: "job1", Issued: 1767225600, Expires: 1767229200}
}

func large() *session.Session {
	s := small()
	s.MFA, s.SourceIdentity, s.Chained, s.Provider, s.Restricted = 1767225000, "ana", true, "arn:aws:iam::111122223333:oidc-provider/x", true
	s.Policy = `{"Version":"2012-10-17","Statement":[` + strings.Repeat(`{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"*"},`, 25) + `]}`
	s.PolicyARNs = []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}
	s.Claims = map[string][]string{"saml:sub": {"x"}}
	for i := range 50 {
		s.Tags = append(s.Tags, policy.Tag{Key: fmt.Sprint("key", i), Value: "value"})
	}
	s.Transitive = []string{"key1"}
	return s
}

func TestRoundTrip(t *testing.T) {
	key := envelope.NewKey()
	for name, s := range map[string]*session.Session{"small": small(), "large": large()} {
		token := mustSeal(t, mustTokens(t, key), s)
		// Another process with the same key.
		tokens := mustTokens(t, key)
		for range 2 { // the second time from memory
			got, err := tokens.Open(token)
			if err != nil || !reflect.DeepEqual(got, s) {
				t.Fatalf("%s: %+v, %v", name, got, err)
			}
		}
		k := s.Key(token)
		if k.SecretAccessKey != secret || string(k.SessionToken) != token || k.Expires.Unix() != s.Expires {
			t.Errorf("%s: wrong key", name)
		}
		if strings.ContainsAny(token, "+/=\n ") {
			t.Errorf("%s: a token that headers or URLs would change", name)
		}
	}
	if n := len(mustSeal(t, mustTokens(t, key), small())); n > 400 {
		t.Errorf("a plain session takes %d characters", n)
	}
}

func TestNames(t *testing.T) {
	role, user := small(), small()
	user.Type, user.Name = policy.FederatedSession, "ana"
	for range 2 {
		for _, tc := range []struct {
			s                           *session.Session
			partition, arn, entity, uid string
		}{
			{role, "aws", "arn:aws:sts::111122223333:assumed-role/deploy/job1", "arn:aws:iam::111122223333:role/ci/deploy", "AROAEXAMPLE:job1"},
			{role, "aws-cn", "arn:aws-cn:sts::111122223333:assumed-role/deploy/job1", "arn:aws-cn:iam::111122223333:role/ci/deploy", "AROAEXAMPLE:job1"},
			{user, "aws", "arn:aws:sts::111122223333:federated-user/ana", "", "111122223333:ana"},
		} {
			if n := tc.s.Names(tc.partition); n.ARN != tc.arn || n.Role != tc.entity || n.UserID != tc.uid || tc.s.UserID() != tc.uid {
				t.Errorf("%+v", n)
			}
		}
	}
	if small().UserID() != "AROAEXAMPLE:job1" {
		t.Error(small().UserID())
	}
}

func TestExpired(t *testing.T) {
	s := small()
	for at, want := range map[int64]bool{s.Expires - 1: false, s.Expires: true, s.Expires + 1: true} {
		if s.Expired(time.Unix(at, 999)) != want {
			t.Errorf("expired at %d: %v", at-s.Expires, !want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	key := envelope.NewKey()
	tokens := mustTokens(t, key)
	token := mustSeal(t, tokens, large())
	refused := func(what, token string) {
		t.Helper()
		if s, err := tokens.Open(token); s != nil || !errors.Is(err, session.ErrToken) {
			t.Errorf("%s: %v, %v", what, s, err)
		}
	}
	refused("empty", "")
	refused("text", "not a token")
	refused("too long", strings.Repeat("A", 1<<20))
	refused("another deployment's", mustSeal(t, mustTokens(t, envelope.NewKey()), small()))
	refused("with a line end", token+"\n")
	refused("padded", token+"=")
	refused("cut", token[:len(token)-4])
	refused("doubled", token+token)
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for _, bit := range []byte{1, 0x80} {
			raw[i] ^= bit
			refused(fmt.Sprint("a bit changed in byte ", i), base64.RawURLEncoding.EncodeToString(raw))
			raw[i] ^= bit
		}
	}
	// What is sealed under the key for another purpose is no token.
	other, err := envelope.NewRunKeys(key, "another label", 1)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := other.Seal(nil, []byte{1, 1}, []byte{0xa0}, nil)
	if err != nil {
		t.Fatal(err)
	}
	refused("another purpose", base64.RawURLEncoding.EncodeToString(blob))
}

// Sealed by the right key and yet not a session: only a mistake of ours makes
// such, and it must not bring the server down.
func TestOpenRefusesNonsenseInside(t *testing.T) {
	key := envelope.NewKey()
	seal, err := envelope.NewRunKeys(key, "coffer/session/v1/token", 1)
	if err != nil {
		t.Fatal(err)
	}
	tokens := mustTokens(t, key)
	for name, plain := range map[string][]byte{
		"nothing": {}, "garbage": {0xff, 0x00}, "an unknown member": {0xa1, 0x18, 0x63, 0x01}, "a list": {0x80}, "an endless map": {0xbf, 0xff},
	} {
		for form := range byte(4) {
			blob, err := seal.Seal(nil, []byte{1, form}, plain, nil)
			if err != nil {
				t.Fatal(err)
			}
			if s, err := tokens.Open(base64.RawURLEncoding.EncodeToString(blob)); s != nil || !errors.Is(err, session.ErrToken) {
				t.Errorf("%s, form %d: %v, %v", name, form, s, err)
			}
		}
	}
}

func TestSecretsPrintAsPlaceholders(t *testing.T) {
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, v := range []any{small(), small().Secret} {
			if text := fmt.Sprintf(format, v); strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) {
				t.Errorf("%s prints the secret: %s", format, text)
			}
		}
	}
}

func TestPackedSize(t *testing.T) {
	if n := small().PackedSize(); n != 0 {
		t.Errorf("without policies and tags: %d %%", n)
	}
	if n := large().PackedSize(); n < 1 || n > 100 {
		t.Errorf("50 tags and a policy of 2,000 characters: %d %%", n)
	}
	s := small()
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 50 {
		b := make([]byte, 128)
		for j := range b {
			b[j] = byte('!' + r.IntN(90))
		}
		s.Tags = append(s.Tags, policy.Tag{Key: fmt.Sprint(i), Value: string(b)})
	}
	if n := s.PackedSize(); n <= 100 {
		t.Errorf("6 KiB of tags that do not compress: %d %%", n)
	}
}

// The tokens kept open are bounded, and right while they come and go.
func TestManyTokens(t *testing.T) {
	tokens := mustTokens(t, envelope.NewKey())
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 2500 {
				s := small()
				s.Name = fmt.Sprint(g, "-", i)
				token, err := tokens.Seal(s)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := tokens.Open(token)
				if err != nil || got.Name != s.Name {
					t.Errorf("%v, %v", got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func FuzzOpen(f *testing.F) {
	tokens := mustTokens(f, envelope.NewKey())
	f.Add("")
	f.Add(mustSeal(f, mustTokens(f, envelope.NewKey()), small()))
	f.Add(mustSeal(f, mustTokens(f, envelope.NewKey()), large()))
	f.Fuzz(func(t *testing.T, token string) {
		if s, err := tokens.Open(token); s != nil || !errors.Is(err, session.ErrToken) {
			t.Fatalf("%v, %v", s, err)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	for name, s := range map[string]*session.Session{"small": small(), "large": large()} {
		token := mustSeal(b, mustTokens(b, envelope.NewKey()), s)
		b.Run(name, func(b *testing.B) {
			tokens := mustTokens(b, envelope.NewKey())
			token = mustSeal(b, tokens, s)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tokens.Open(token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

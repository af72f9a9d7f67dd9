package jwt_test

import (
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"coffer/internal/jwt"
	"coffer/internal/jwt/jwttest"
)

func claims(more ...any) map[string]any {
	c := map[string]any{"iss": "https://issuer.example", "sub": "ana", "aud": "client", "iat": 1000, "exp": 2000}
	for i := 0; i < len(more); i += 2 {
		c[more[i].(string)] = more[i+1]
	}
	return c
}

// set is a key set of several keys.
func set(t *testing.T, keys ...*jwttest.Key) *jwt.Keys {
	t.Helper()
	var s jose.JSONWebKeySet
	for _, k := range keys {
		s.Keys = append(s.Keys, k.Public())
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.ParseKeys(b)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func verify(text string, keys *jwt.Keys) (*jwt.Claims, error) {
	token, err := jwt.Parse(text)
	if err != nil {
		return nil, err
	}
	return token.Verify(keys)
}

func TestAlgorithms(t *testing.T) {
	rsa := jwttest.NewRSA("k")
	keys := map[*jwttest.Key]error{
		jwttest.NewES256("k"):                              nil,
		jwttest.NewECDSA("k", elliptic.P384(), jose.ES384): nil,
		jwttest.NewECDSA("k", elliptic.P521(), jose.ES512): nil,
	}
	for _, a := range []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512} {
		keys[rsa.As(a, "k")] = nil
	}
	for k, want := range keys {
		c, err := verify(k.Sign(claims()), set(t, k))
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", k.Algorithm, err, want)
		} else if c.Subject != "ana" {
			t.Errorf("%s: subject %q", k.Algorithm, c.Subject)
		}
	}
}

// TestForgeries are the known ways to pass a token off.
func TestForgeries(t *testing.T) {
	own, foreign := jwttest.NewRSA("k"), jwttest.NewRSA("k")
	keys := set(t, own)
	good := own.Sign(claims())
	head, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	_, other, _ := strings.Cut(own.Sign(claims("sub", "root")), ".")
	otherPayload, _, _ := strings.Cut(other, ".")
	hmac := func(alg string) string {
		return jwttest.Unsigned(map[string]any{"alg": alg, "kid": "k"}, claims(), []byte(strings.Repeat("s", 32)))
	}
	for _, c := range []struct {
		name, token string
		want        error
	}{
		{"genuine", good, nil},
		{"another key of the same id", foreign.Sign(claims()), jwt.ErrSignature},
		{"an unknown key id", own.As(jose.RS256, "other").Sign(claims()), jwt.ErrKey},
		{"claims exchanged", head + "." + otherPayload + "." + signature, jwt.ErrSignature},
		{"signature cut", head + "." + payload + "." + signature[:len(signature)-4], jwt.ErrSignature},
		{"no signature", head + "." + payload + ".", jwt.ErrSignature},
		{"two parts", head + "." + payload, jwt.ErrFormat},
		{"four parts", good + ".AAAA", jwt.ErrFormat},
		{"empty", "", jwt.ErrFormat},
		{"algorithm none", jwttest.Unsigned(map[string]any{"alg": "none"}, claims(), nil), jwt.ErrFormat},
		{"algorithm NoNe", jwttest.Unsigned(map[string]any{"alg": "NoNe"}, claims(), []byte("x")), jwt.ErrFormat},
		{"shared secret, HS256", hmac("HS256"), jwt.ErrFormat},
		{"shared secret, HS512", hmac("HS512"), jwt.ErrFormat},
		{"EdDSA", hmac("EdDSA"), jwt.ErrFormat},
		{"ES256 under an RSA key", jwttest.NewES256("k").Sign(claims()), jwt.ErrKey},
		{"PS256 under a key for RS256", own.As(jose.PS256, "k").Sign(claims()), jwt.ErrKey},
		{"a key that the token brings", withOwnKey(t, foreign), jwt.ErrSignature},
		{"a critical extension", own.Sign(claims(), "crit", []string{"x"}, "x", 1), jwt.ErrSignature},
		{"no object", jwttest.Unsigned(map[string]any{"alg": "RS256", "kid": "k"}, nil, []byte("x")), jwt.ErrSignature},
		{"white space", " " + good, jwt.ErrFormat},
		{"a line end", good[:50] + "\n" + good[50:], jwt.ErrFormat},
		{"JSON serialization", `{"payload":"` + payload + `","protected":"` + head + `","signature":"` + signature + `"}`, jwt.ErrFormat},
		{"too long", own.Sign(claims("x", strings.Repeat("x", jwt.MaxToken))), jwt.ErrFormat},
	} {
		got, err := verify(c.token, keys)
		if !errors.Is(err, c.want) || (err == nil) != (got != nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err != nil && len(c.token) > 20 && strings.Contains(err.Error(), c.token[4:20]) {
			t.Errorf("%s: the error quotes the token: %v", c.name, err)
		}
	}
}

// withOwnKey is a token of a stranger with the key to verify it in its header.
func withOwnKey(t *testing.T, k *jwttest.Key) string {
	t.Helper()
	public, err := k.Public().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	signed := k.Sign(claims())
	return jwttest.Unsigned(map[string]any{"alg": "RS256", "kid": "k", "jwk": json.RawMessage(public), "jku": "https://evil.example/keys"}, claims(), []byte(signed[len(signed)-40:]))
}

func TestATokenWithoutKeyIDIsTriedWithAllKeys(t *testing.T) {
	one, two := jwttest.NewES256("one"), jwttest.NewES256("two")
	if _, err := verify(two.As(jose.ES256, "").Sign(claims()), set(t, one, two)); err != nil {
		t.Error(err)
	}
	if _, err := verify(jwttest.NewES256("").Sign(claims()), set(t, one, two)); !errors.Is(err, jwt.ErrSignature) {
		t.Errorf("a key of neither: %v", err)
	}
}

func TestClaims(t *testing.T) {
	k := jwttest.NewES256("k")
	keys := set(t, k)
	c, err := verify(k.Sign(claims(
		"aud", []string{"a", "b"}, "azp", "a", "nbf", 999.9, "amr", []string{"pwd", "otp"}, "email", "ana@example.org",
		"https://aws.amazon.com/tags", map[string]any{
			"principal_tags": map[string]any{"team": []string{"blue"}}, "transitive_tag_keys": []string{"team"},
		},
		"https://aws.amazon.com/source_identity", "ana",
	)), keys)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Audience, jwt.Texts{"a", "b"}) || c.AuthorizedParty != "a" || c.NotBefore.Time() != time.Unix(999, 0) ||
		!slices.Equal(c.Methods, jwt.Texts{"pwd", "otp"}) || c.Email != "ana@example.org" ||
		!slices.Equal(c.Tags.Principal["team"], jwt.Texts{"blue"}) || !slices.Equal(c.Tags.Transitive, []string{"team"}) || c.SourceIdentity != "ana" {
		t.Errorf("%+v", c)
	}
	for name, value := range map[string]any{
		"sub": 7, "aud": map[string]any{}, "exp": "soon", "nbf": -1, "iat": 1e300, "amr": []any{1},
		"https://aws.amazon.com/tags": "all",
	} {
		if _, err := verify(k.Sign(claims(name, value)), keys); !errors.Is(err, jwt.ErrFormat) {
			t.Errorf("%s = %v: %v", name, value, err)
		}
	}
}

func TestClaimNamesHaveCase(t *testing.T) {
	k := jwttest.NewES256("k")
	c, err := verify(k.Sign(map[string]any{"iss": "https://issuer.example", "SUB": "root", "Aud": "client"}), set(t, k))
	if err != nil || c.Subject != "" || c.Audience != nil {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestParseKeys(t *testing.T) {
	rsa, ec := jwttest.NewRSA("rsa"), jwttest.NewES256("ec")
	public := func(k *jwttest.Key, use string) string {
		p := k.Public()
		p.Use = use
		b, err := p.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	// What nobody can verify with is passed over; the rest serves.
	mixed := fmt.Sprintf(`{"keys":[%s,%s,%s,{"kty":"oct","kid":"secret","k":"c2VjcmV0"},{"kty":"new","kid":"future"},{"kty":"RSA","kid":"broken"},7]}`,
		public(rsa, "sig"), public(ec, ""), public(jwttest.NewRSA("enc"), "enc"))
	// Large moduli are slow, and anybody can have a signature tried: go-jose takes 4,096 bits at most.
	modulus := func(id string, bits int, exponent string) string {
		n := make([]byte, bits/8)
		n[0], n[len(n)-1] = 0x80, 1
		return fmt.Sprintf(`{"kty":"RSA","kid":%q,"n":%q,"e":%q}`, id, base64.RawURLEncoding.EncodeToString(n), exponent)
	}
	mixed = strings.Replace(mixed, `[`, `[`+modulus("short", 2040, "AQAB")+`,`+modulus("longest", 4096, "AQAB")+`,`+modulus("long", 4104, "AQAB")+`,`, 1)
	keys, err := jwt.ParseKeys([]byte(mixed))
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{"rsa": true, "ec": true, "": true, "enc": false, "secret": false, "future": false, "broken": false,
		"short": false, "longest": true, "long": false} {
		if keys.Has(id) != want {
			t.Errorf("key %q: %v", id, !want)
		}
	}
	many := `{"keys":[` + strings.Repeat(`{},`, 200) + `{}]}`
	for _, text := range []string{"", "[]", "{}", `{"keys":[]}`, `{"keys":{}}`, `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`, many} {
		if _, err := jwt.ParseKeys([]byte(text)); err == nil {
			t.Errorf("%.40s was taken", text)
		}
	}
}

package jwt_test

import (
	"testing"

	"coffer/internal/jwt"
	"coffer/internal/jwt/jwttest"
)

// FuzzToken looks for input that makes reading or verifying a token panic, and
// for a token that verifies without having been signed.
func FuzzToken(f *testing.F) {
	k := jwttest.NewES256("k")
	keys, err := jwt.ParseKeys(k.JWKS())
	if err != nil {
		f.Fatal(err)
	}
	good := k.Sign(claims("aud", []string{"a"}))
	f.Add(good)
	f.Add(jwttest.Unsigned(map[string]any{"alg": "none"}, claims(), nil))
	f.Add(jwttest.Unsigned(map[string]any{"alg": "ES256", "crit": []string{"b64"}, "b64": false}, claims(), []byte("x")))
	f.Add("..")
	f.Add("e30.e30.e30")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := jwt.Parse(text)
		if (err == nil) == (token == nil) {
			t.Fatalf("%v, %v", token, err)
		}
		if err != nil {
			return
		}
		c, err := token.Verify(keys)
		if err == nil && (c.Subject != "ana" || c.Issuer != "https://issuer.example") {
			t.Fatalf("%q verifies as %+v", text, c)
		}
	})
}

// FuzzKeys looks for a key set that makes its reader panic, or that holds a key nothing
// can be verified with.
func FuzzKeys(f *testing.F) {
	f.Add(jwttest.NewES256("k").JWKS())
	f.Add(jwttest.NewRSA("k").JWKS())
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := jwt.ParseKeys(b)
		if (err == nil) == (keys == nil) || err == nil && !keys.Has("") {
			t.Fatalf("%v, %v", keys, err)
		}
	})
}

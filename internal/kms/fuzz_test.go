package kms_test

import (
	"bytes"
	"strings"
	"testing"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/fault"
)

// FuzzIdentifier: whatever the text, the answer is the key it names or one of
// the texts for identifiers; and what is found is named by id, ARN or alias.
func FuzzIdentifier(f *testing.F) {
	c := newWorld(f).in(ours, eu)
	m := c.createKey()
	c.createAlias("alias/app", *m.KeyId)
	for _, s := range []string{*m.KeyId, *m.Arn, "alias/app", c.arn("alias/app"), "mrk-0123456789abcdef0123456789abcdef", "arn:aws:kms:us-east-1:111122223333:key/x",
		"arn:aws:kms::", "arn:", "alias/", "alias/a\x00b", "arn:aws:kms:eu-west-1:111122223333:alias/aws/secretsmanager", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := c.with(t)
		for _, aliases := range []bool{true, false} {
			var err error
			var got string
			if aliases {
				var out *kmsapi.DescribeKeyOutput
				if out, err = call(c, kmsapi.DescribeKey, &kmsapi.DescribeKeyInput{KeyId: &s}); err == nil {
					got = *out.KeyMetadata.KeyId
				}
			} else if _, err = call(c, kmsapi.GetKeyPolicy, &kmsapi.GetKeyPolicyInput{KeyId: &s}); err == nil {
				got = *m.KeyId
			}
			if err == nil {
				named := s == *m.KeyId || s == *m.Arn || aliases && (s == "alias/app" || s == c.arn("alias/app"))
				if !named || got != *m.KeyId {
					t.Errorf("%q names %s", s, got)
				}
				continue
			}
			fe, ok := fault.As(err)
			if !ok {
				t.Fatalf("%q: %v", s, err)
			}
			switch {
			case fe.Code == "ValidationException" && (s == "" || len(s) > 2048):
			case fe.Code == "AccessDeniedException" && strings.HasPrefix(s, "arn:") && !strings.Contains(s, ":"+ours+":"):
			case fe.Code == "NotFoundException" && (fe.Message == "Invalid keyId '"+s+"'" || strings.HasPrefix(fe.Message, "Invalid arn ") ||
				fe.Message == "Key '"+s+"' does not exist" || fe.Message == "Key '"+c.arn("key/"+s)+"' does not exist" ||
				fe.Message == "Alias "+s+" is not found." || fe.Message == "Alias "+c.arn(s)+" is not found."):
			default:
				t.Errorf("%q: %v", s, err)
			}
		}
	})
}

// FuzzMarker: a marker is refused or continues the list it came from.
func FuzzMarker(f *testing.F) {
	c := newWorld(f).in(ours, eu)
	m := c.createKey()
	for _, name := range []string{"alias/a", "alias/b", "alias/c"} {
		c.createAlias(name, *m.KeyId)
	}
	f.Add(*must(c, kmsapi.ListAliases, &kmsapi.ListAliasesInput{Limit: new(int64(1))}).NextMarker)
	f.Add(*must(c, kmsapi.ListAliases, &kmsapi.ListAliasesInput{Limit: new(int64(2)), KeyId: m.KeyId}).NextMarker)
	f.Add("AQAAAAAAAAAAAA")
	f.Add("")
	f.Fuzz(func(t *testing.T, marker string) {
		c := c.with(t)
		for _, key := range []*string{nil, m.KeyId} {
			out, err := call(c, kmsapi.ListAliases, &kmsapi.ListAliasesInput{Marker: &marker, KeyId: key})
			if err != nil {
				if code := fault.Code(err); code != "InvalidMarkerException" && code != "ValidationException" {
					t.Errorf("%q: %v", marker, err)
				}
				continue
			}
			for _, a := range out.Aliases {
				if *a.TargetKeyId != *m.KeyId {
					t.Errorf("%q lists %s", marker, *a.AliasArn)
				}
			}
		}
		_, _ = call(c, kmsapi.ListKeys, &kmsapi.ListKeysInput{Marker: &marker})
		_, _ = call(c, kmsapi.ListKeyRotations, &kmsapi.ListKeyRotationsInput{KeyId: m.KeyId, Marker: &marker})
		_, _ = call(c, kmsapi.ListResourceTags, &kmsapi.ListResourceTagsInput{KeyId: m.KeyId, Marker: &marker})
	})
}

// FuzzCiphertext: only what Encrypt made opens, and only under its context.
func FuzzCiphertext(f *testing.F) {
	c := newWorld(f).in(ours, eu)
	m := c.createKey()
	blob := c.encrypt(*m.KeyId, "x", "k", "v")
	f.Add(blob, "k", "v")
	f.Add(blob, "k", "w")
	f.Add(blob[:len(blob)-1], "k", "v")
	f.Add([]byte{1}, "", "")
	f.Fuzz(func(t *testing.T, b []byte, k, v string) {
		c := c.with(t)
		out, err := call(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: b, EncryptionContext: map[string]string{k: v}})
		if (err == nil) != (bytes.Equal(b, blob) && k == "k" && v == "v") || err == nil && string(out.Plaintext) != "x" {
			t.Errorf("decrypt of %x: %v", b, err)
		}
		if err == nil {
			return
		}
		if code := fault.Code(err); code != "InvalidCiphertextException" && !isNoKey(err) && code != "ValidationException" {
			t.Error(err)
		}
		_, err = call(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: b, SourceKeyId: m.KeyId, DestinationKeyId: m.KeyId})
		if err == nil {
			t.Errorf("re-encrypted %x", b)
		}
	})
}

// FuzzEncrypt: any plaintext and context comes back.
func FuzzEncrypt(f *testing.F) {
	c := newWorld(f).in(ours, eu)
	m := c.createKey()
	f.Add([]byte("secret"), "k", "v")
	f.Add([]byte{0}, "", "\xff")
	f.Fuzz(func(t *testing.T, p []byte, k, v string) {
		c := c.with(t)
		context := map[string]string{k: v, "fixed": "1"}
		out, err := call(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: m.KeyId, Plaintext: api.Sensitive(p), EncryptionContext: context})
		if err != nil {
			if fault.Code(err) != "ValidationException" || len(p) > 0 && len(p) <= 4096 && len(k)+len(v) < 8000 {
				t.Error(err)
			}
			return
		}
		back := must(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: out.CiphertextBlob, EncryptionContext: context})
		if !bytes.Equal(back.Plaintext, p) {
			t.Errorf("%d bytes came back as %d", len(p), len(back.Plaintext))
		}
	})
}

// FuzzGrantToken: a token is refused, or names a grant that the answer is about.
func FuzzGrantToken(f *testing.F) {
	c := newWorld(f).in(ours, eu)
	m := c.createKey()
	made := must(c, kmsapi.CreateGrant, &kmsapi.CreateGrantInput{KeyId: m.KeyId, GranteePrincipal: new(c.arnOf("alice")), Operations: []string{"Decrypt"}})
	for _, s := range []string{*made.GrantToken, (*made.GrantToken)[1:], "", "AQ", "AQAAAAAAAAAAAAAAAAAAAAAAAA", "AgAAAAAAAAAAAAAAAAAAAAAAAA==", "\xff", strings.Repeat("A", 8193)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := c.with(t)
		_, err := call(c, kmsapi.RetireGrant, &kmsapi.RetireGrantInput{GrantToken: &s, DryRun: new(true)})
		fe, ok := fault.As(err)
		switch {
		case !ok:
			t.Fatalf("%q: %v", s, err)
		case fe.Code == "InvalidGrantTokenException", fe.Code == "ValidationException" && (s == "" || len(s) > 8192):
		case fe.Code == "DryRunOperationException" && s == *made.GrantToken:
		case fe.Code == "NotFoundException", fe.Code == "InvalidGrantIdException", fe.Code == "AccessDeniedException": // a forged one
		default:
			t.Errorf("%q: %v", s, err)
		}
	})
}

package policy

import (
	"strings"
	"testing"
	"time"
)

type secCtx map[string][]string

func (c secCtx) Values(dst []string, key string) ([]string, bool) {
	v, ok := c[key]
	return append(dst, v...), ok
}

// One key policy of legal size and one encryption context of legal size.
func TestSecSlowPattern(t *testing.T) {
	const account = "111122223333"
	pat := "*" + strings.Repeat("?a", 16000) + "*"
	doc := `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"StringLike":{"kms:EncryptionContext:a":"` + pat + `"}}}}`
	if Length([]byte(doc)) > MaxKeyPolicy {
		t.Fatal("too long")
	}
	d, err := Parse([]byte(doc), Key)
	if err != nil {
		t.Fatal(err)
	}
	arn := "arn:aws:kms:eu-west-1:" + account + ":key/x"
	r := &Request{Caller: Caller{Type: IAMUser, ARN: "arn:aws:iam::" + account + ":user/u", Entity: "arn:aws:iam::" + account + ":user/u", Account: account, ID: "AIDAAAAAAAAAAAAAAAAA"},
		Action: "kms:Encrypt", Resource: arn, ResourceAccount: account, Context: secCtx{"kms:encryptioncontext:a": {strings.Repeat("a", 8100)}}}
	set := NewSet(Attachment{Document: d, Source: "x"})
	Evaluate(r, &Policies{Resource: set})
	start := time.Now()
	Evaluate(r, &Policies{Resource: set})
	t.Logf("key policy, ?a x16000, context 8100: %v", time.Since(start))

	// identity: one managed policy of 6144; a user can have 10 + 10 groups x 10.
	pat = "*" + strings.Repeat("?a", 2940) + "b*"
	doc = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"kms:*","Resource":"*","Condition":{"StringLike":{"kms:EncryptionContext:a":"` + pat + `"}}}}`
	if d, err = Parse([]byte(doc), Identity); err != nil {
		t.Fatal(err)
	}
	var at []Attachment
	for range 110 {
		at = append(at, Attachment{Document: d, Source: "x"})
	}
	set = NewSet(at...)
	start = time.Now()
	Evaluate(r, &Policies{Identity: set})
	if took := time.Since(start); took > time.Second {
		t.Errorf("110 managed policies of legal size, a context of legal size: %v", took)
	}

	// many keys x many values
	vals := `"` + strings.Repeat(`b","`, 1450) + `b"`
	doc = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"kms:*","Resource":"*","Condition":{"ForAnyValue:StringLike":{"kms:EncryptionContextKeys":[` + vals + `]}}}}`
	if d, err = Parse([]byte(doc), Identity); err != nil {
		t.Fatal(err)
	}
	at = nil
	for range 110 {
		at = append(at, Attachment{Document: d, Source: "x"})
	}
	var keys []string
	for range 1600 {
		keys = append(keys, "aa")
	}
	r.Context = secCtx{"kms:encryptioncontextkeys": keys}
	set = NewSet(at...)
	start = time.Now()
	Evaluate(r, &Policies{Identity: set})
	if took := time.Since(start); took > time.Second {
		t.Errorf("110 managed policies x 1450 values x 1600 context keys: %v", took)
	}
}

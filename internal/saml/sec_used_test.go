package saml

import (
	"strconv"
	"testing"
	"time"
)

// One account's provider uses up the room for everybody's assertions.
func TestSecUsedIsShared(t *testing.T) {
	var u Used
	now := time.Now()
	for i := range maxUsed {
		if err := u.Take(&Assertion{Issuer: "mallory", ID: strconv.Itoa(i)}, "arn:aws:iam::111111111111:role/own", now.Add(7*time.Minute), now); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.Take(&Assertion{Issuer: "honest", ID: "x"}, "arn:aws:iam::222222222222:role/theirs", now.Add(7*time.Minute), now); err != nil {
		t.Errorf("nobody else can sign in for seven minutes: %v", err)
	}
}

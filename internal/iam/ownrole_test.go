package iam_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"coffer/internal/envelope"
	"coffer/internal/iam"
	"coffer/internal/kv/memory"
	"coffer/internal/table"
)

// A role of a service's own name that somebody else has made gets none of its policy: who
// may take it is theirs to say.
func TestOwnRoleIsTheServicesOwn(t *testing.T) {
	t.Parallel()
	sealer, err := envelope.NewSealer(envelope.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	store := memory.New()
	t.Cleanup(func() { store.Close() })
	db := table.New(table.Config{Store: store, Sealer: sealer})
	own := iam.OwnRole{Service: "lambda.amazonaws.com", Name: "Rotation", Policy: `{"Version":"2012-10-17","Statement":[]}`}
	for _, tt := range []struct {
		account string
		there   *iam.Role
		refused bool
	}{
		{"111122223333", nil, false},
		{"222233334444", &iam.Role{ID: "AROA1", Name: "awsserviceroleforrotation", Path: "/"}, true},
		{"333344445555", &iam.Role{ID: "AROA2", Name: "AWSServiceRoleForRotation", Path: "/"}, true},
		{"444455556666", &iam.Role{ID: "AROA3", Name: "AWSServiceRoleForRotation", Path: "/aws-service-role/ecs.amazonaws.com/", Service: "ecs.amazonaws.com"}, true},
	} {
		for range 2 { // and once it is there
			var arn string
			err := db.Update(context.Background(), func(tx *table.Tx) (err error) {
				if r := tt.there; r != nil {
					r.Account = tt.account
					if err := iam.Roles.Put(tx, r); err != nil {
						return err
					}
				}
				arn, err = own.Ensure(tx, tt.account, "aws", time.Now())
				return err
			})
			if tt.refused != (err != nil) || tt.refused && !strings.Contains(err.Error(), "is not the service-linked role of lambda.amazonaws.com") {
				t.Errorf("%+v: %q, %v", tt.there, arn, err)
			}
		}
	}
}

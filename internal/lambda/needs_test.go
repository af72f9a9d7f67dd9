package lambda_test

import (
	"context"
	"testing"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/lambda"
	"coffer/internal/table"
)

// Who may call an operation is asked by the names that its input would have.
func TestNeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lambda.Config{})
	c := w.root()
	c.function("f")
	must(c, lambdaapi.AddPermission, allow("f", "s"))
	for _, tc := range []struct {
		op       *api.Operation
		resource string
		want     string
		policy   bool
		ok       bool
	}{
		{lambdaapi.Invoke.Operation, "f", prefix + "function:f", true, true},
		{lambdaapi.Invoke.Operation, prefix + "function:f", prefix + "function:f", true, true},
		{lambdaapi.Invoke.Operation, "f:prod", prefix + "function:f:prod", false, true},
		{lambdaapi.Invoke.Operation, "none", prefix + "function:none", false, true},
		{lambdaapi.GetLayerVersion.Operation, prefix + "layer:l:1", prefix + "layer:l:1", false, true},
		{lambdaapi.ListFunctions.Operation, "", "", false, true},
		{lambdaapi.Invoke.Operation, "arn:aws:s3:::f", "", false, false},
	} {
		r := c.request(tc.op, nil)
		err := w.db.View(context.Background(), func(tx *table.Tx) error {
			r.Tx = tx
			a, _, err := w.service.Needs(r, tc.resource)
			if err == nil && (a.Resource != tc.want || (a.Policy != nil) != tc.policy) {
				t.Errorf("%s of %q: %q, policy %t", tc.op.Name, tc.resource, a.Resource, a.Policy != nil)
			}
			return err
		})
		if (err == nil) != tc.ok {
			t.Errorf("%s of %q: %v", tc.op.Name, tc.resource, err)
		}
	}
}

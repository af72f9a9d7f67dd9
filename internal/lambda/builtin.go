package lambda

import (
	"encoding/json"
	"time"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// BuiltIn is a function that comes with Coffer: every account has it in every region. The
// name cannot be taken. A function that an account made before Coffer had a built-in
// one of its name stays in place of that, until it is deleted.
type BuiltIn struct {
	Name        string
	Description string
	Timeout     time.Duration // whole seconds
	Memory      int           // MiB
	Modified    time.Time

	version Version
}

// made is b with the version that it is shown as.
func (b BuiltIn) made() *BuiltIn {
	b.version = usual(b.Name)
	v := &b.version
	v.Description, v.Handler, v.Timeout, v.Memory, v.Modified, v.Revision, v.Content = b.Description, b.Name, int(b.Timeout/time.Second), b.Memory, table.At(b.Modified), b.Name, b.Name
	return &b
}

// in is the version as an account has it in a region.
func (b *BuiltIn) in(account, region string, role func(account, region string) string) *Version {
	v := b.version
	if role != nil {
		v.Role = role(account, region)
	}
	return &v
}

// builtInPolicy lets Secrets Manager invoke built-in functions for secrets of the
// account that they are named in.
const builtInPolicy = `{"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"SecretsManagerAccess","Effect":"Allow",
"Principal":{"Service":"secretsmanager.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"*",
"Condition":{"StringEquals":{"AWS:SourceAccount":"${aws:ResourceAccount}"}}}]}`

// rotates is the service that invokes built-in functions.
const rotates = "secretsmanager.amazonaws.com"

// calledFor reports whether an event is Secrets Manager's, for the secret that it calls
// for. The functions' role may rotate every secret of the account: an event of
// anybody's choice would have it act on secrets that its author may not touch.
func (b *BuiltIn) calledFor(r *api.Request, payload []byte) bool {
	var e struct{ SecretId string }
	p := &r.Principal.Caller
	return p.Type == policy.AWSService && p.Service == rotates && r.Source != "" && json.Unmarshal(payload, &e) == nil && e.SecretId == r.Source
}

func (b *BuiltIn) reserved() error {
	return lambdaapi.InvalidParameterValueException("The function " + b.Name + " comes with Coffer and is invoked by Secrets Manager only: call RotateSecret.")
}

var builtInCompiled policy.Compiled

func (b *BuiltIn) policy() (*policy.Set, error) {
	return builtInCompiled.Set(builtInPolicy, policy.Resource, nil, "the built-in function's policy")
}

// fixed is the error of changing a built-in function.
func (b *BuiltIn) fixed() error {
	return lambdaapi.InvalidParameterValueException("The function " + b.Name + " comes with Coffer and cannot be changed. Create a function of another name: see docs/rotation.md, \"Variables and a role of your own\".")
}

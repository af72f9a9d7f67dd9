// Package builtin says which functions come with Coffer: rotation functions under the
// names of AWS's templates, so that a secret can name
// arn:aws:lambda:REGION:ACCOUNT:function:SecretsManagerRDSPostgreSQLRotationSingleUser
// and nothing has to be deployed. Only what there is to know about them stands here;
// package rotator and what is below it is what they do, in processes of their own.
//
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_available-rotation-templates.html
package builtin

import (
	_ "embed"
	"strings"
	"time"
)

// Function is one built-in function.
type Function struct {
	Name    string
	Summary string // one sentence without a full stop

	// Secret is an example of the secret that is rotated, Master one of the secret that
	// its key masterarn names, or "". Both are JSON objects.
	Secret string
	Master string

	Variables []Variable // what it reads beside those that every Lambda function has

	// Timeout is how long one step may take unless the function's configuration says
	// otherwise, as in the templates' stacks.
	Timeout time.Duration

	// Live says that the tests run it against a real server.
	Live bool
}

// Variable is an environment variable that a function reads.
type Variable struct{ Name, Meaning string }

// Find finds a function by its name.
func Find(name string) (Function, bool) {
	for _, f := range Functions {
		if f.Name == name {
			return f, true
		}
	}
	return Function{}, false
}

// Database tells whether f changes the password of a user of a database server.
func (f Function) Database() bool { return strings.Contains(f.Secret, `"engine"`) }

// RolePolicy is what the role of built-in functions has to allow, an IAM policy
// document. It lets them rotate every secret of the account and read every superuser's:
// docs/rotation.md tells how to give a function less.
//
//go:embed policy.json
var RolePolicy string

// TrustPolicy lets the Lambda service take that role.
//
//go:embed trust.json
var TrustPolicy string

var passwords = []Variable{
	{"EXCLUDE_CHARACTERS", "characters that new passwords do not have"},
	{"PASSWORD_LENGTH", "length of new passwords; 32 unless set"},
	{"EXCLUDE_NUMBERS", "true: no digits in new passwords"},
	{"EXCLUDE_PUNCTUATION", "true: no punctuation in new passwords"},
	{"EXCLUDE_UPPERCASE", "true: no upper case letters in new passwords"},
	{"EXCLUDE_LOWERCASE", "true: no lower case letters in new passwords"},
	{"REQUIRE_EACH_INCLUDED_TYPE", "false: not every kind of character need be in a new password"},
}

var server = []Variable{
	{"DATABASE_CA_BUNDLE", "certificates to verify the server by instead of the system's: PEM text, or a file; servers without \"ssl\" in the secret are then verified as well"},
}

var database = append(server[:1:1], passwords...)

var generated = append([]Variable{
	{"SECRET_KEY", "the key that is renewed when the value is a JSON object; password unless set"},
}, passwords...)

var mysqlClone = append([]Variable{
	{"USERNAME_CHARACTER_LIMIT", "longest name of a user with _clone; 16 unless set"},
}, database...)

// Package functions runs the functions that package builtin names.
package functions

import (
	"context"
	"fmt"
	"io"
	"strings"

	"coffer/internal/builtin"
	"coffer/internal/rotator"
	"coffer/internal/rotator/httpapikey"
	"coffer/internal/rotator/mongo"
	"coffer/internal/rotator/mysql"
	"coffer/internal/rotator/oracle"
	"coffer/internal/rotator/postgres"
	"coffer/internal/rotator/redis"
	"coffer/internal/rotator/redshift"
	"coffer/internal/rotator/sqlserver"
)

// rotations is what each function does. Nothing here costs time before it is used.
var rotations = map[string]rotator.Rotation{
	"SecretsManagerRDSPostgreSQLRotationSingleUser": rotator.SingleUser(postgres.Engine{}),
	"SecretsManagerRDSPostgreSQLRotationMultiUser":  rotator.AlternatingUsers(postgres.Engine{}),
	"SecretsManagerRDSMySQLRotationSingleUser":      rotator.SingleUser(mysql.Engine{}),
	"SecretsManagerRDSMySQLRotationMultiUser":       rotator.AlternatingUsers(mysql.Engine{}),
	"SecretsManagerRDSMariaDBRotationSingleUser":    rotator.SingleUser(mysql.MariaDB{}),
	"SecretsManagerRDSMariaDBRotationMultiUser":     rotator.AlternatingUsers(mysql.MariaDB{}),
	"SecretsManagerRedshiftRotationSingleUser":      rotator.SingleUser(redshift.Engine{}),
	"SecretsManagerRedshiftRotationMultiUser":       rotator.AlternatingUsers(redshift.Engine{}),
	"SecretsManagerRDSSQLServerRotationSingleUser":  rotator.SingleUser(sqlserver.Engine{}),
	"SecretsManagerRDSSQLServerRotationMultiUser":   rotator.AlternatingUsers(sqlserver.Engine{}),
	"SecretsManagerRDSOracleRotationSingleUser":     rotator.SingleUser(oracle.Engine{}),
	"SecretsManagerRDSOracleRotationMultiUser":      rotator.AlternatingUsers(oracle.Engine{}),
	"SecretsManagerMongoDBRotationSingleUser":       rotator.SingleUser(mongo.Engine{}),
	"SecretsManagerMongoDBRotationMultiUser":        rotator.AlternatingUsers(mongo.Engine{}),
	"SecretsManagerElasticacheUserRotation":         rotator.TwoPasswords(redis.Engine{}),
	"SecretsManagerMemoryDBUserRotation":            rotator.TwoPasswords(redis.Engine{}),
	"SecretsManagerRotationTemplate":                rotator.Generated(),
	"CofferHTTPAPIKeyRotation":                      httpapikey.Rotation{},
}

// Rotation is what the function of that name does.
func Rotation(name string) (rotator.Rotation, bool) {
	r, ok := rotations[name]
	return r, ok
}

// Count is how many functions there are.
func Count() int { return len(rotations) }

// About tells how a secret is rotated with a function, in lines.
func About(f builtin.Function) string {
	text := fmt.Sprintf(`%s %s.
It is run by Coffer's Lambda service when a secret is rotated. To rotate a secret with it:

  aws secretsmanager rotate-secret --secret-id NAME \
    --rotation-lambda-arn arn:aws:lambda:REGION:ACCOUNT:function:%s

The secret is to look like this:
  %s
`, f.Name, f.Summary, f.Name, f.Secret)
	if f.Master != "" {
		text += "and the one that its masterarn names like this:\n  " + f.Master + "\n"
	}
	return text
}

// Run runs a function behind the Lambda Runtime API that AWS_LAMBDA_RUNTIME_API names,
// until ctx is done. Its log lines go to log.
func Run(ctx context.Context, name string, lookupEnv func(string) (string, bool), log io.Writer) error {
	f, ok := builtin.Find(name)
	rotation, has := Rotation(name)
	if !ok || !has {
		return fmt.Errorf("there is no built-in function %q; `coffer function list` shows them", name)
	}
	api, _ := lookupEnv("AWS_LAMBDA_RUNTIME_API")
	if api == "" {
		return fmt.Errorf("the function finds no AWS_LAMBDA_RUNTIME_API in its environment.\n%s", strings.TrimSpace(About(f)))
	}
	client, err := rotator.NewClient(lookupEnv)
	if err != nil {
		return err
	}
	h := &rotator.Handler{Rotation: rotation, Client: client, LookupEnv: lookupEnv, Log: log}
	return rotator.Serve(ctx, api, h)
}

package builtin

import "time"

const halfMinute = 30 * time.Second

// Functions is every built-in function.
var Functions = []Function{
	{
		Name:      "SecretsManagerRDSPostgreSQLRotationSingleUser",
		Summary:   "changes the password of a PostgreSQL user, logged in as that user",
		Secret:    `{"engine": "postgres", "host": "db.example.com", "port": 5432, "username": "app", "password": "old", "dbname": "orders"}`,
		Variables: database, Timeout: halfMinute, Live: true,
	},
	{
		Name:      "SecretsManagerRDSPostgreSQLRotationMultiUser",
		Summary:   "alternates between two PostgreSQL users, one a member of the other; a superuser sets the password",
		Secret:    `{"engine": "postgres", "host": "db.example.com", "port": 5432, "username": "app", "password": "old", "dbname": "orders", "masterarn": "arn:aws:secretsmanager:us-east-1:111122223333:secret:db-master-a1B2c3"}`,
		Master:    `{"engine": "postgres", "host": "db.example.com", "port": 5432, "username": "postgres", "password": "old"}`,
		Variables: database, Timeout: halfMinute, Live: true,
	},
}

package builtin

import "time"

const (
	halfMinute = 30 * time.Second
	redisUser  = `{"engine": "redis", "host": "cache.example.com", "port": 6379, "username": "app", "password": "old", "ssl": true, "masterarn": "arn:aws:secretsmanager:us-east-1:111122223333:secret:cache-master-a1B2c3"}`
	redisSuper = `{"engine": "redis", "host": "cache.example.com", "port": 6379, "username": "admin", "password": "old", "ssl": true}`
)

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
	{
		Name:      "SecretsManagerRDSMySQLRotationSingleUser",
		Summary:   "changes the password of a MySQL user, logged in as that user",
		Secret:    `{"engine": "mysql", "host": "db.example.com", "port": 3306, "username": "app", "password": "old", "dbname": "orders"}`,
		Variables: database, Timeout: halfMinute, Live: false,
	},
	{
		Name:      "SecretsManagerRDSMySQLRotationMultiUser",
		Summary:   "alternates between two MySQL users with the same grants; a superuser sets the password",
		Secret:    `{"engine": "mysql", "host": "db.example.com", "port": 3306, "username": "app", "password": "old", "dbname": "orders", "masterarn": "arn:aws:secretsmanager:us-east-1:111122223333:secret:db-master-a1B2c3"}`,
		Master:    `{"engine": "mysql", "host": "db.example.com", "port": 3306, "username": "root", "password": "old"}`,
		Variables: mysqlClone, Timeout: halfMinute, Live: false,
	},
	{
		Name:      "SecretsManagerRDSMariaDBRotationSingleUser",
		Summary:   "changes the password of a MariaDB user, logged in as that user",
		Secret:    `{"engine": "mariadb", "host": "db.example.com", "port": 3306, "username": "app", "password": "old", "dbname": "orders"}`,
		Variables: database, Timeout: halfMinute, Live: true,
	},
	{
		Name:      "SecretsManagerRDSMariaDBRotationMultiUser",
		Summary:   "alternates between two MariaDB users with the same grants; a superuser sets the password",
		Secret:    `{"engine": "mariadb", "host": "db.example.com", "port": 3306, "username": "app", "password": "old", "dbname": "orders", "masterarn": "arn:aws:secretsmanager:us-east-1:111122223333:secret:db-master-a1B2c3"}`,
		Master:    `{"engine": "mariadb", "host": "db.example.com", "port": 3306, "username": "root", "password": "old"}`,
		Variables: database, Timeout: halfMinute, Live: true,
	},
	{
		Name:      "SecretsManagerRedshiftRotationSingleUser",
		Summary:   "changes the password of a Redshift user, logged in as that user",
		Secret:    `{"engine": "redshift", "host": "db.example.com", "port": 5439, "username": "app", "password": "old", "dbname": "dev"}`,
		Variables: database, Timeout: halfMinute, Live: false,
	},
	{
		Name:      "SecretsManagerRedshiftRotationMultiUser",
		Summary:   "alternates between two Redshift users with the same grants; a superuser sets the password",
		Secret:    `{"engine": "redshift", "host": "db.example.com", "port": 5439, "username": "app", "password": "old", "dbname": "dev", "masterarn": "arn:aws:secretsmanager:us-east-1:111122223333:secret:db-master-a1B2c3"}`,
		Master:    `{"engine": "redshift", "host": "db.example.com", "port": 5439, "username": "awsuser", "password": "old"}`,
		Variables: database, Timeout: halfMinute, Live: false,
	},
	{
		Name:      "SecretsManagerRDSSQLServerRotationSingleUser",
		Summary:   "changes the password of a SQL Server user, logged in as that user",
		Secret:    `{"engine": "sqlserver", "host": "db.example.com", "port": 1433, "username": "app", "password": "old", "dbname": "orders"}`,
		Variables: database, Timeout: halfMinute, Live: false,
	},
	{
		Name:      "SecretsManagerRDSSQLServerRotationMultiUser",
		Summary:   "alternates between two SQL Server users with the same roles and permissions; a superuser sets the password",
		Secret:    `{"engine": "sqlserver", "host": "db.example.com", "port": 1433, "username": "app", "password": "old", "dbname": "orders", "masterarn": "arn:aws:secretsmanager:us-east-1:111122223333:secret:db-master-a1B2c3"}`,
		Master:    `{"engine": "sqlserver", "host": "db.example.com", "port": 1433, "username": "sa", "password": "old"}`,
		Variables: database, Timeout: halfMinute, Live: false,
	},
	{
		Name:      "SecretsManagerRDSOracleRotationSingleUser",
		Summary:   "changes the password of an Oracle user, logged in as that user",
		Secret:    `{"engine": "oracle", "host": "db.example.com", "port": 1521, "username": "app", "password": "old", "dbname": "ORCL"}`,
		Variables: database, Timeout: halfMinute, Live: false,
	},
	{
		Name:      "SecretsManagerRDSOracleRotationMultiUser",
		Summary:   "alternates between two Oracle users with the same roles and privileges; a superuser sets the password",
		Secret:    `{"engine": "oracle", "host": "db.example.com", "port": 1521, "username": "app", "password": "old", "dbname": "ORCL", "masterarn": "arn:aws:secretsmanager:us-east-1:111122223333:secret:db-master-a1B2c3"}`,
		Master:    `{"engine": "oracle", "host": "db.example.com", "port": 1521, "username": "system", "password": "old", "dbname": "ORCL"}`,
		Variables: database, Timeout: halfMinute, Live: false,
	},
	{
		Name:      "SecretsManagerMongoDBRotationSingleUser",
		Summary:   "changes the password of a MongoDB or DocumentDB user, logged in as that user",
		Secret:    `{"engine": "mongo", "host": "db.example.com", "port": 27017, "username": "app", "password": "old", "dbname": "admin"}`,
		Variables: database, Timeout: halfMinute, Live: false,
	},
	{
		Name:      "SecretsManagerMongoDBRotationMultiUser",
		Summary:   "alternates between two MongoDB or DocumentDB users with the same roles; a superuser sets the password",
		Secret:    `{"engine": "mongo", "host": "db.example.com", "port": 27017, "username": "app", "password": "old", "dbname": "admin", "masterarn": "arn:aws:secretsmanager:us-east-1:111122223333:secret:db-master-a1B2c3"}`,
		Master:    `{"engine": "mongo", "host": "db.example.com", "port": 27017, "username": "root", "password": "old", "dbname": "admin"}`,
		Variables: database, Timeout: halfMinute, Live: false,
	},
	{
		Name:      "SecretsManagerElasticacheUserRotation",
		Summary:   "gives a Redis or Valkey user a new password beside the current one",
		Secret:    redisUser,
		Master:    redisSuper,
		Variables: database, Timeout: halfMinute, Live: true,
	},
	{
		Name:      "SecretsManagerMemoryDBUserRotation",
		Summary:   "gives a Redis or Valkey user a new password beside the current one",
		Secret:    redisUser,
		Master:    redisSuper,
		Variables: database, Timeout: halfMinute, Live: true,
	},
	{
		Name:      "SecretsManagerRotationTemplate",
		Summary:   "replaces a value that nobody but its readers knows by a new random one",
		Secret:    `{"password": "old"}`,
		Variables: generated, Timeout: halfMinute, Live: true,
	},
	{
		Name:    "CofferHTTPAPIKeyRotation",
		Summary: "makes, tries and revokes keys of an HTTP API by the requests that the secret describes",
		Secret: `{"apiKey": "old", "apiKeyId": "k1", ` +
			`"create": {"method": "POST", "url": "https://api.example.com/keys", "headers": {"Authorization": "Bearer {apiKey}"}, "body": {"name": "orders {versionId}"}, "apiKey": "/key", "apiKeyId": "/id"}, ` +
			`"test": {"method": "GET", "url": "https://api.example.com/me", "headers": {"Authorization": "Bearer {apiKey}"}}, ` +
			`"revoke": {"method": "DELETE", "url": "https://api.example.com/keys/{oldApiKeyId}", "headers": {"Authorization": "Bearer {apiKey}"}}}`,
		Variables: server, Timeout: halfMinute, Live: true,
	},
}

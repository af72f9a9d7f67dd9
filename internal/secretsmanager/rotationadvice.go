package secretsmanager

import (
	"regexp"
	"strings"

	"coffer/internal/builtin"
)

// advice is what to do about an attempt that did not succeed: how things stand now, and
// then what its message, or its log, has to do with it. It is made of our own words, but for a
// line of a built-in function's log, in which passwords are never.
func (o *Outcome) advice() string {
	switch {
	case o.Result == Missed:
		return "No server ran while the window was open. Rotate now, or wait for the next window."
	case o.Result == Abandoned && o.Test:
		return "AWSPENDING was taken from the version under test. The next window, or RotateSecret, goes on from the current value."
	case o.Result == Abandoned:
		return "Another writer made a new current version, or took AWSPENDING away. If what the secret is for already takes the new value, set it right by hand, then rotate again."
	case o.Result != Failed:
		return ""
	}
	return strings.TrimSpace(o.state() + " " + o.remedy())
}

// builtIn is the built-in function that made the attempt. Their names are taken: no other
// function can have one.
func (o *Outcome) builtIn() (builtin.Function, bool) {
	_, name, _ := strings.Cut(o.Function, ":function:")
	name, _, _ = strings.Cut(name, ":")
	return builtin.Find(name)
}

// state is how things stand after a failure: of a database, or of what a function
// does of which nothing is known here.
func (o *Outcome) state() string {
	f, _ := o.builtIn()
	say := func(database, other string) string {
		if f.Database() {
			return database
		}
		return other
	}
	switch {
	case o.Test:
		return "This was a test of the current value: it sets no password, and nothing is tried again before the next window or RotateSecret."
	case o.Message == textNothingMoves:
		return "AWSCURRENT was not moved: there is no new value that it could move to."
	case o.Step == Steps[0]:
		return say("The new value could not be made or stored; the database has not been touched.", "The new value could not be made or stored.")
	case o.Step == Steps[1]:
		return say("The database did not take the new password, or not for sure; the current one stays in the secret.",
			"What setSecret is to do was not done, or not for sure; the current value stays in the secret.")
	case o.Step == Steps[2]:
		return say("The new password was set, and logging in with it failed; the current one stays in the secret.",
			"setSecret was done, and trying the new value failed; the current one stays in the secret.")
	}
	return say("The new password is set and tested; only the label could not be moved.",
		"setSecret and testSecret were done; only the label could not be moved.")
}

// ownEndpoint is an endpoint of AWS itself for what Coffer serves. Those of databases, which a
// secret may well name, are none.
var ownEndpoint = regexp.MustCompile(`(?i)\b(secretsmanager|kms|sts|lambda|iam|logs)(-fips)?(\.[a-z0-9-]+)?\.amazonaws\.com\b`)

// oldSDKs are those that people have. In Python functions that Coffer's own runtime client runs,
// boto3 takes the variable whatever its version.
const oldSDKs = "(the JavaScript SDK 2 does not, nor boto3 before 1.28 in a runtime of one's own)"

// toldBy are the errors of built-in functions that tell their cause.
var toldBy = regexp.MustCompile(`^(Key|Value|Database)Error: `)

// remedy is what can be done about a failure, as far as the message tells.
func (o *Outcome) remedy() string {
	f, own := o.builtIn()
	says := func(s string) bool { return strings.Contains(o.Message, s) }
	switch {
	case says("ResourceNotFoundException: Function not found"):
		return "The rotation function is gone. Create it again, or give RotateSecret another one."
	case ownEndpoint.MatchString(o.Message), says("Task timed out") && ownEndpoint.MatchString(o.Log):
		return "The function called AWS itself: its client has an endpoint of its own, or its SDK does not take AWS_ENDPOINT_URL, which names Coffer " + oldSDKs + ". Have it give its clients the endpoint in that variable."
	case says("UnrecognizedClientException"), says("InvalidClientTokenId"):
		return "Who was called does not know the function's credentials: AWS itself, if the function's SDK does not take AWS_ENDPOINT_URL, which names Coffer " + oldSDKs + "."
	case says("Task timed out") && f.Database():
		return "The function took longer than its timeout. See whether the database answers from this machine; raise the function's Timeout if it is only slow."
	case says("Task timed out"):
		return "The function took longer than its timeout. See whether what it calls answers from this machine; raise the function's Timeout if it is only slow."
	case o.Message == textNothingMoves:
		return "Have createSecret call PutSecretValue with the event's ClientRequestToken and with AWSPENDING in VersionStages."
	case o.Message == textUnmoved:
		return "Have finishSecret call UpdateSecretVersionStage for AWSCURRENT, with the event's ClientRequestToken as MoveToVersionId and the version that has it as RemoveFromVersionId."
	case own && says("Unable to log into database"):
		return o.loginRemedy()
	case own && toldBy.MatchString(o.Message) && says(" JSON"):
		return "The message tells why; `coffer function " + f.Name + " --help` shows the secret that the function expects."
	case own && toldBy.MatchString(o.Message):
		return "The message tells why."
	case says("AccessDenied"):
		return "The function's role, or Secrets Manager for the function, lacks a permission. `coffer who-can` tells who has it; `coffer explain` tells of one call."
	case says("Runtime.ImportModuleError"):
		return "The function's package lacks a module. Put it into the package or a layer."
	case says("Runtime.ExitError"):
		return "The function's process died. Its log group tells more."
	case says("KMS"):
		return "The key of the secret, or of the function's variables, refuses its use or is not enabled."
	case !own:
		return "The message and the function's log tell why; see that the secret has what the function expects, and that the function reaches what it has to change."
	}
	return ""
}

// loginRemedy is for a database that a built-in function could not log in to. Only its log
// has what the server, or the network, said.
func (o *Outcome) loginRemedy() string {
	line := o.loginLine()
	says := func(s string) bool { return strings.Contains(line, s) }
	if line == "" {
		return "See that host, port, username and password in the secret are right, and that the function reaches the database."
	}
	remedy := "If it is the password: the database has another one than the secret. Give the user the secret's, or the secret the user's with PutSecretValue, then rotate again."
	switch {
	case says("SSL/TLS is not enabled"):
		remedy = `Have the server use TLS; or say "ssl": false in the secret, and what goes over the network is not encrypted.`
	case says("SSL/TLS is enforced"):
		remedy = `Take "ssl": false out of the secret.`
	case says("The certificate of host"), says(`"ssl"`):
		remedy = ""
	case says("connection refused"):
		remedy = "Nothing listens there: see host and port in the secret."
	case says("cannot be resolved"):
		remedy = "See host in the secret, and how this machine resolves names."
	case says("no answer in time"), says("no route to host"), says("network is unreachable"):
		remedy = "See host and port in the secret, and what is between this machine and the server."
	}
	return strings.TrimSpace("The function's log says: " + line + ". " + remedy)
}

// loginLine is the last line of a log that tells of a failed login, without what stands before
// its text.
func (o *Outcome) loginLine() (last string) {
	for line := range strings.Lines(o.Log) {
		_, text, ok := strings.Cut(line, "\t"+o.Step+": ")
		for _, begin := range []string{"Unable to log in ", "Unable to establish SSL/TLS", "The certificate of host"} {
			if ok && strings.HasPrefix(text, begin) {
				last = strings.TrimRight(text, "\r\n")
			}
		}
	}
	const most = 400 // bytes
	return strings.ToValidUTF8(cut(last, most), "")
}

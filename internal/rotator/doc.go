// Package rotator is the rotation functions that come with Coffer, under the names
// of AWS's function templates. It is a client: a function runs in a process of its
// own behind the Lambda Runtime API, calls Secrets Manager with the AWS SDK like
// anyone's, and never runs in the server.
//
// Three layers, each of which can be used without the next:
//
//   - [Handler] takes an [Event], makes the checks that AWS's templates make, and
//     calls a [Rotation]: what to do to create, set and test a secret. It moves the
//     label in finishSecret itself.
//   - [SingleUser] and [AlternatingUsers] are rotations of database users, written
//     once over an [Engine].
//   - Packages postgres, mysql and so on are engines. Package functions puts a
//     rotation to every name of package builtin.
//
// # Who may attack
//
// Whoever can write an application's secret chooses its host, user, password and
// masterarn. The function's role can read every secret of the account. So
// a superuser's password goes to the host, port and transport of its own secret only
// and after the application's credentials were proved there; the only user that is
// changed is the current one's alternate; every value is quoted for its engine.
//
// # What is never written
//
// Passwords: not to a log, an error or a panic. A [Password] prints as a
// placeholder. What drivers and servers say is searched for every
// password that the process has seen ([Job.Redact]) and engines drop texts
// that quote statements.
package rotator

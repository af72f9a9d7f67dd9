package main

import (
	"context"
	"flag"
)

// commands is the literal table of measurements, in the order of the help.
func commands() []command {
	return []command{readCommand, writeCommand, scaleCommand, startCommand, crashCommand, accessCommand, iamCommand, rotationCommand, functionsCommand, allCommand}
}

var readCommand = command{
	name: "read", summary: "GetSecretValue against a bare server and the honest ceiling",
	help: `
Drives three servers with the same load generator, in turn, round after round,
over HTTP and over TLS 1.3:

  bare net/http   reads the body and returns the bytes of a GetSecretValue answer
  honest ceiling  also verifies the signature (SigV4), opens two AES-256-GCM
                  ciphertexts (a data key and a value) and buffers an audit line
  Coffer          answers GetSecretValue of one of many secrets

and prints throughput, latency and the server's CPU per request, with ratios to
the ceiling. Then each server gets half of its own peak load, evenly paced; the
latency there is measured from when a request was due, so that a stalled server
cannot hide the requests it kept waiting.`,
	flags: func(fs *flag.FlagSet) measurement {
		o := &readOptions{}
		o.flags(fs)
		return func(ctx context.Context, env *environment) ([]*report, error) {
			if o.coffer {
				if err := env.build(ctx); err != nil {
					return nil, err
				}
			}
			return one(*o, measureRead)(ctx, env)
		}
	},
}

var writeCommand = command{
	name: "write", summary: "PutSecretValue against raw synced Pebble commits",
	help: `
Puts new versions into many secrets over HTTP, each synced to disk before its
answer, and in turn with that commits batches of the same number of rows and
bytes straight to a Pebble store with the same options, in a process of its own,
with as many writers. What Coffer writes for a request is read from its
write-ahead log; the audit outbox's row and its removal are part of it.

A secret takes at most 150 versions a day, so a long run needs many secrets.`,
	flags: measured((*writeOptions).flags, measureWrite),
}

var scaleCommand = command{
	name: "scale", summary: "a million secrets: reads, listings, restart, memory",
	help: `
Creates secrets through the API, then measures GetSecretValue at random over a
thousand and over all of them, in turn; ListSecrets in pages of 100 through all
depths for each sort key; a filter by name prefix that matches ten; restart after
kill -9 and after a graceful stop; and resident memory.

With --data the store is kept and used again by the next run.`,
	flags: measured((*scaleOptions).flags, measureScale),
}

var startCommand = command{
	name: "start", summary: "first and later starts to the first answer, idle memory",
	help: `
Measures from starting the program to its first answered, signed call over TLS:
on a new directory, where keys, account and certificate are made first, and on an
existing one. Then resident memory after a start and after some idle time.`,
	flags: measured((*startOptions).flags, measureStart),
}

var crashCommand = command{
	name: "crash", summary: "kill -9 under writers: nothing acknowledged may be lost",
	help: `
Round after round on one data directory: writers create secrets and put values
and remember what was acknowledged, the server is killed at a random moment and
started again. Then every secret written to must have its last acknowledged
value, or the one under way at the kill, and every acknowledged call must be in
the audit log exactly once. Every so many rounds, and at the end, coffer fsck and
coffer audit verify must find nothing. Exit code 1 if anything is wrong.`,
	flags: measured((*crashOptions).flags, measureCrash),
}

var accessCommand = command{
	name: "access", summary: "what users, roles and their policies add to GetSecretValue",
	help: `
Has callers of one server read secrets in turn, round after round: root; a user with
an inline policy; root again, of secrets with a resource policy and a customer key;
a session of a role with five policies of ten statements; then with a permissions
boundary, a session policy, service control policies; and with conditions. It prints
the server's CPU per request of each and what each step adds, and latency when all
are paced at half of root's peak.

With --baseline-binary the root of an older program's server is measured in the same
rounds.`,
	flags: measured((*accessOptions).flags, measureAccess),
}

var iamCommand = command{
	name: "iam", summary: "an account with many users, roles and policies",
	help: `
Fills an account with users, roles and policies through the API, and compares it with
an all but empty account of the same server: a tour of operations of IAM, STS and
Secrets Manager, one call at a time, each in both accounts in turn; GetSecretValue by a
user of either and by many users of the crowded one, at peak load; then how long
who-can takes to find all who can read a secret, and resident memory at each stage.`,
	flags: measured((*crowdOptions).flags, measureCrowd),
}

var rotationCommand = command{
	name: "rotation", summary: "many secrets of a real PostgreSQL due at once, and many that are not",
	help: `
Starts a PostgreSQL server of its own from the installed programs (Debian: postgresql),
makes users and a secret for each, and calls RotateSecret for all of them at once with the
built-in rotator. Meanwhile the same secrets are read at an even pace, as before, with
latency from when a request was due. Afterwards every user must be able to log in with
what its secret says.

Then it schedules many secrets that are not due, leaves their server and one without any
alone for a while, and compares what they take of a core; and it times the worker's look
for due work on a store with as many.`,
	flags: measured((*rotationOptions).flags, measureRotation),
}

var functionsCommand = command{
	name: "functions", summary: "warm invocations and cold starts of functions",
	help: `
Invokes functions that answer an event with itself through the API, one at a time: some
once, which starts a process, and one again and again. Each built-in rotator begins one
rotation, for which its process is started.`,
	flags: measured((*functionsOptions).flags, measureFunctions),
}

var allCommand = command{
	name: "all", summary: "all of these with moderate sizes, for docs/benchmarks.md",
	help: `
Runs read, write, scale, start, access, iam, rotation, functions and crash one after the other with sizes
that take about half an hour. For the figures in docs/benchmarks.md:

  go run ./bench all --n 1000000 --crash-rounds 200 --markdown`,
	flags: allFlags,
}

// measured makes a command's flags from a measurement's options.
func measured[O any](define func(*O, *flag.FlagSet), f func(context.Context, *environment, O) (*report, error)) func(*flag.FlagSet) measurement {
	return func(fs *flag.FlagSet) measurement {
		o := new(O)
		define(o, fs)
		return func(ctx context.Context, env *environment) ([]*report, error) {
			if err := env.build(ctx); err != nil {
				return nil, err
			}
			return one(*o, f)(ctx, env)
		}
	}
}

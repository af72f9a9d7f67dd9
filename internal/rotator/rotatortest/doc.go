// Package rotatortest starts real database servers for tests, from installed Debian
// packages, on ports and in directories of their own, and drives rotations by hand.
// A package that is missing skips the test, and fails it in CI. No server of the
// system is touched.
package rotatortest

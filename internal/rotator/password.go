package rotator

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

const placeholder = "[REDACTED]"

// Password formats and marshals as a placeholder; string(p) is what it holds.
type Password string

// Format implements fmt.Formatter for every verb.
func (Password) Format(f fmt.State, _ rune) { fmt.Fprint(f, placeholder) }

// MarshalText implements encoding.TextMarshaler.
func (Password) MarshalText() ([]byte, error) { return []byte(placeholder), nil }

// NewPassword asks Secrets Manager for a password as the function's variables want
// it: EXCLUDE_CHARACTERS (exclude if unset), PASSWORD_LENGTH (length if unset), EXCLUDE_NUMBERS,
// EXCLUDE_PUNCTUATION, EXCLUDE_UPPERCASE, EXCLUDE_LOWERCASE, REQUIRE_EACH_INCLUDED_TYPE.
func (j *Job) NewPassword(ctx context.Context, exclude string, length int) (Password, error) {
	if s, ok := j.LookupEnv("EXCLUDE_CHARACTERS"); ok {
		exclude = s
	}
	if s, ok := j.LookupEnv("PASSWORD_LENGTH"); ok {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 1 || n > 4096 {
			return "", ValueErrorf("PASSWORD_LENGTH must be a number from 1 to 4096")
		}
		length = n
	}
	out, err := j.client.GetRandomPassword(ctx, &secretsmanager.GetRandomPasswordInput{
		ExcludeCharacters:       aws.String(exclude),
		PasswordLength:          aws.Int64(int64(length)),
		ExcludeNumbers:          aws.Bool(j.flag("EXCLUDE_NUMBERS", false)),
		ExcludePunctuation:      aws.Bool(j.flag("EXCLUDE_PUNCTUATION", false)),
		ExcludeUppercase:        aws.Bool(j.flag("EXCLUDE_UPPERCASE", false)),
		ExcludeLowercase:        aws.Bool(j.flag("EXCLUDE_LOWERCASE", false)),
		RequireEachIncludedType: aws.Bool(j.flag("REQUIRE_EACH_INCLUDED_TYPE", true)),
	})
	if err != nil {
		return "", err
	}
	p := Password(aws.ToString(out.RandomPassword))
	if p == "" {
		return "", ValueErrorf("GetRandomPassword answered without a password")
	}
	j.Conceal(p)
	return p, nil
}

// flag reads a variable as the templates do: true, 1, y and yes in any case are true.
func (j *Job) flag(name string, unset bool) bool {
	s, ok := j.LookupEnv(name)
	if !ok {
		return unset
	}
	return slices.Contains([]string{"true", "1", "y", "yes"}, strings.ToLower(s))
}

// Conceal makes p a password that no line of this job may show.
func (j *Job) Conceal(p Password) {
	s := string(p)
	if s == "" {
		return
	}
	// As a quoted statement would show it, too.
	for _, form := range []string{s, strings.ReplaceAll(s, `'`, `''`), strings.ReplaceAll(s, `\`, `\\`), strings.ReplaceAll(s, `"`, `""`)} {
		if !slices.Contains(j.concealed, form) {
			j.concealed = append(j.concealed, form)
		}
	}
	// The longest first, so that none is left in part when one holds another.
	slices.SortFunc(j.concealed, func(a, b string) int { return len(b) - len(a) })
}

// shortest is the length from which a concealed text is taken out of lines that
// show other things, too. A shorter one could be part of any word.
const shortest = 4

// Redact returns text without the passwords that this job has seen.
func (j *Job) Redact(text string) string {
	for _, s := range j.concealed {
		if len(s) >= shortest {
			text = strings.ReplaceAll(text, s, placeholder)
		}
	}
	return text
}

// Foreign returns a text that a driver or a server made, fit to be shown: as a
// whole withheld when it holds a password too short to be cut out.
func (j *Job) Foreign(text string) string {
	for _, s := range j.concealed {
		if len(s) < shortest && strings.Contains(text, s) {
			return "(text withheld: it may show a password)"
		}
	}
	return j.Redact(text)
}

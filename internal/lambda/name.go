package lambda

import (
	"fmt"
	"strings"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
)

const (
	maxName = 64 // characters of a function's name

	textQualifiers  = "The derived qualifier from the function name does not match the specified qualifier."
	textUnqualified = "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN."
	textUnreachable = "Functions from '%s' are not reachable in this region ('%s')"
)

// reference is a FunctionName taken apart.
type reference struct {
	region, account string // the request's own where the name has none
	name            string
	qualifier       string // version, alias or $LATEST; empty: none was given
}

// parseName takes apart a FunctionName that the model's pattern has accepted: a
// name or an ARN, which may lack parts at its front, with or without a qualifier.
//
//	(arn:PARTITION:lambda:)?(REGION:)?(ACCOUNT:)?(function:)?NAME(:QUALIFIER)?
//
// Each part that can be there is taken to be there, as the pattern does: function:a
// is the function a.
func parseName(r *api.Request, s string) (reference, error) {
	ref := reference{region: r.Region, account: r.Account}
	partition, rest := r.Partition(), s
	if head, ok := strings.CutPrefix(rest, "arn:"); ok {
		p, tail, found := strings.Cut(head, ":lambda:")
		if !found {
			return ref, noSuchName(s)
		}
		partition, rest = p, tail
	}
	if region, tail, ok := cutPart(rest); ok && isRegion(region) {
		ref.region, rest = region, tail
	}
	if account, tail, ok := cutPart(rest); ok && isAccount(account) {
		ref.account, rest = account, tail
	}
	if what, tail, ok := cutPart(rest); ok && what == "function" {
		rest = tail
	}
	ref.name, ref.qualifier, _ = strings.Cut(rest, ":")
	switch {
	case ref.name == "" || strings.Contains(ref.qualifier, ":"):
		return ref, noSuchName(s)
	case len(ref.name) > maxName:
		return ref, tooLong("functionName", s, maxName)
	case ref.region != r.Region || partition != "" && partition != r.Partition():
		return ref, lambdaapi.ResourceNotFoundException(fmt.Sprintf(textUnreachable, ref.region, r.Region))
	}
	return ref, nil
}

// cutPart takes the first part of a name, if what follows it can be a name: a
// qualifier cannot.
func cutPart(s string) (part, rest string, ok bool) {
	part, rest, ok = strings.Cut(s, ":")
	return part, rest, ok && rest != "" && rest[0] != '$'
}

func noSuchName(s string) error {
	return api.ValidationException("1 validation error detected: Value '" + s + "' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: " + lambdaapi.CreateFunction.Input.Members[0].Shape.Pattern.Source)
}

func tooLong(member, value string, most int) error {
	return api.ValidationException(fmt.Sprintf("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must have length less than or equal to %d", value, member, most))
}

func tooMuch(member string, value int64, most int) error {
	return api.ValidationException(fmt.Sprintf("1 validation error detected: Value '%d' at '%s' failed to satisfy constraint: Member must have value less than or equal to %d", value, member, most))
}

// parseQualified is parseName for operations that take the qualifier as a parameter
// as well.
func parseQualified(r *api.Request, s string, qualifier *string) (reference, error) {
	ref, err := parseName(r, s)
	if err != nil || qualifier == nil {
		return ref, err
	}
	if ref.qualifier != "" && ref.qualifier != *qualifier {
		return ref, lambdaapi.InvalidParameterValueException(textQualifiers)
	}
	ref.qualifier = *qualifier
	return ref, nil
}

// parseUnqualified is parseName for operations on whole functions.
func parseUnqualified(r *api.Request, s string) (reference, error) {
	ref, err := parseName(r, s)
	if err == nil && ref.qualifier != "" && ref.qualifier != latest {
		err = lambdaapi.InvalidParameterValueException(textUnqualified)
	}
	ref.qualifier = ""
	return ref, err
}

// function is the ARN of the function.
func (ref *reference) function() string { return functionARN(ref.region, ref.account, ref.name) }

// arn is what the name stands for, with the qualifier if there is one.
func (ref *reference) arn() string {
	a := ref.function()
	if ref.qualifier != "" {
		a += ":" + ref.qualifier
	}
	return a
}

// number is the version that a qualifier means, if it is the number of one.
func number(qualifier string) (n int, ok bool) {
	if qualifier == "" || qualifier[0] == '0' || len(qualifier) > 9 {
		return 0, false
	}
	for _, c := range []byte(qualifier) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

// isRegion reports whether s has the form that the model gives regions in names.
func isRegion(s string) bool {
	if len(s) < 2 || !lower(s[:2]) {
		return false
	}
	rest := s[2:]
	for _, kind := range []string{"-gov-", "-iso-"} {
		if strings.HasPrefix(rest, kind) {
			return isPlace(rest[len(kind)-1:])
		}
	}
	if len(rest) > 5 && strings.HasPrefix(rest, "-iso") && lower(rest[4:5]) && rest[5] == '-' {
		return isPlace(rest[5:])
	}
	return isPlace(rest)
}

// isPlace reports whether s is "-west-1" or the like.
func isPlace(s string) bool {
	word, digit, ok := strings.Cut(strings.TrimPrefix(s, "-"), "-")
	return ok && s[0] == '-' && word != "" && lower(word) && len(digit) == 1 && digit[0] >= '0' && digit[0] <= '9'
}

func lower(s string) bool {
	for i := range len(s) {
		if s[i] < 'a' || s[i] > 'z' {
			return false
		}
	}
	return true
}

func isAccount(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) == 12
}

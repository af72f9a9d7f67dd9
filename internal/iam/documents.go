package iam

import (
	"errors"
	"strings"

	iamapi "coffer/internal/api/iam"
	"coffer/internal/policy"
)

// parseDocument reads a policy document of a request. What is wrong with it is
// said in AWS's words where they are known.
func parseDocument(text string, kind policy.Kind) (*policy.Document, error) {
	doc, err := policy.Parse([]byte(text), kind)
	if err != nil {
		return nil, iamapi.MalformedPolicyDocumentException(malformed(err, kind)).Because(err)
	}
	return doc, nil
}

// MalformedPolicy puts the error of policy.Parse about an identity policy into
// AWS's words.
func MalformedPolicy(err error) string { return malformed(err, policy.Identity) }

// malformed puts a syntax error into AWS's words.
func malformed(err error, kind policy.Kind) string {
	e, ok := errors.AsType[*policy.SyntaxError](err)
	if !ok {
		return textSyntax
	}
	element := e.Path[strings.LastIndexByte(e.Path, '.')+1:]
	switch {
	case e.Fault != policy.FaultSyntax:
		return invalidPrincipal(element, e.Value)
	case strings.HasPrefix(e.Path, "byte "):
		return "This policy contains invalid Json"
	case kind == policy.Trust && (element == "Resource" || element == "NotResource"):
		return "Has prohibited field " + element
	case kind == policy.Trust && e.Reason == "missing":
		return "Missing required field " + element
	case element == "Version":
		return "The policy must contain a valid version string."
	case strings.HasSuffix(element, "Resource") && (e.Reason == "missing" || e.Reason == "empty"):
		return "Policy statement must contain resources."
	case strings.HasSuffix(element, "Action") && (e.Reason == "missing" || e.Reason == "empty"):
		return "Policy statement must contain actions."
	case strings.HasSuffix(e.Reason, "is not an action"):
		return noAction(e.Value)
	case strings.HasSuffix(e.Reason, "is not a condition key"):
		return textVendor
	case strings.HasSuffix(e.Reason, "is not a whole ARN"):
		return "The policy failed legacy parsing"
	case element == "Sid" && strings.HasSuffix(e.Reason, "names two statements"):
		return "Statement IDs (SID) in a single policy must be unique."
	case element == "Sid" && e.Reason == "a character that is not allowed":
		return "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"
	case strings.HasPrefix(e.Reason, "Policy document should not"), strings.HasPrefix(e.Reason, "Resource "):
		return e.Reason // these are AWS's words
	}
	return textSyntax
}

const (
	textSyntax = "Syntax errors in policy."
	textVendor = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
)

// noAction is the text about an action that cannot be one.
func noAction(action string) string {
	vendor, name, ok := strings.Cut(action, ":")
	switch {
	case !ok || vendor == "" || name == "":
		return textVendor
	case strings.Contains(name, ":"):
		return "Actions/Condition can contain only one colon."
	case strings.Trim(fold(vendor), "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		return "Vendor " + vendor + " is not valid"
	}
	return textSyntax
}

// invalidPrincipal is the text about a principal that does not or cannot exist.
// kind is "AWS", "Service" and the like.
func invalidPrincipal(kind, value string) string {
	return `Invalid principal in policy: "` + strings.ToUpper(kind) + `":"` + value + `"`
}

// encodeDocument makes a document fit for an answer: IAM gives them
// percent-encoded ("URL-encoded compliant with RFC 3986"), all but its unreserved
// characters.
func encodeDocument(text string) *string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(2 * len(text))
	for i := range len(text) {
		c := text[i]
		if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '-' || c == '.' || c == '_' || c == '~' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return new(b.String())
}

package policy

import "strings"

// Denial puts a negative decision into AWS's words ("Troubleshoot access denied
// error messages" in the IAM user guide).
func (r *Request) Denial(d *Decision) string {
	principal := r.Caller.ARN
	switch {
	case principal != "":
	case r.Caller.Service != "":
		principal = r.Caller.Service
	default:
		principal = "anonymous"
	}
	var b strings.Builder
	b.WriteString("User: ")
	b.WriteString(principal)
	b.WriteString(" is not authorized to perform: ")
	b.WriteString(r.Action)
	if r.Named != "" {
		b.WriteString(" on resource: ")
		b.WriteString(r.Named)
	}
	if d.Explicit {
		b.WriteString(" with an explicit deny in ")
		b.WriteString(article(d.Type))
		b.WriteString(d.Type.String())
		return b.String()
	}
	b.WriteString(" because no ")
	b.WriteString(d.Type.String())
	b.WriteString(" allows the ")
	b.WriteString(r.Action)
	b.WriteString(" action")
	return b.String()
}

func article(t Type) string {
	switch t {
	case IdentityPolicy:
		return "an "
	case TrustPolicy: // a role has one
		return "the "
	}
	return "a "
}

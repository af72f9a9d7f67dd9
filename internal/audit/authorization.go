package audit

import (
	"encoding/json"
	"strconv"

	"coffer/internal/policy"
)

// Authorization is one decision of a call as its record tells it, in the member
// authorization of additionalEventData. CloudTrail has nothing like it.
type Authorization struct {
	Action     string      `json:"action"`
	Resource   string      `json:"resource"`
	Allowed    bool        `json:"allowed"`
	Explicit   bool        `json:"explicit"`   // denied by a Deny; else for want of an Allow
	PolicyType string      `json:"policyType"` // of a denial: where the Deny is, or the Allow is missing
	By         []Statement `json:"by"`         // that decided

	// Of a denial for want of an Allow: which policies have none, and which statements came
	// close. Without the values of conditions and of the request.
	Lacking []Lack `json:"lacking,omitempty"`
	Near    []Near `json:"near,omitempty"`
}

// Lack is policies that apply together, none of which allows.
type Lack struct {
	PolicyType string   `json:"policyType"`
	At         string   `json:"at,omitempty"`       // the root, unit or account that control policies are attached to
	Policies   []string `json:"policies,omitempty"` // the first few; none: there are none
}

// Near is an Allow about the action that does not apply: to this principal, to this resource (it
// is for the one told), or because conditions do not hold.
type Near struct {
	Statement
	OtherPrincipal bool        `json:"otherPrincipal,omitempty"`
	OtherResource  string      `json:"otherResource,omitempty"`
	Conditions     []Condition `json:"conditions,omitempty"`
}

// Condition is one that did not hold.
type Condition struct {
	Operator string `json:"operator"` // "ForAnyValue:StringLike"
	Key      string `json:"key"`      // as the policy writes it
	Absent   bool   `json:"absent"`   // the request did not have the key
}

// Statement names a policy statement.
type Statement struct {
	PolicyType string `json:"policyType"`
	Policy     string `json:"policy"` // ARN, or "role/NAME:POLICY" and the like for inline policies
	Statement  *int   `json:"statement"`
	Sid        string `json:"sid"`
}

// maxDecisions bounds what is told of one call.
const maxDecisions = 8

// appendAuthorization renders decisions in place of AdditionalEventData. What was missed
// goes first if it is too much.
func appendAuthorization(dst []byte, list []*policy.Decided, reason string) []byte {
	start := len(dst)
	for _, missed := range [...]bool{true, false} {
		dst = append(dst[:start], '{')
		if reason != "" {
			dst = append(dst, `"reason":`...)
			dst = append(appendString(dst, reason, maxText), ',')
		}
		dst = append(appendDecisions(dst, list, missed), '}')
		if len(dst)-start <= maxAdditional {
			return dst
		}
	}
	return append(dst[:start], `{"additionalEventDataOmitted":true}`...)
}

func appendDecisions(dst []byte, list []*policy.Decided, missed bool) []byte {
	dst = append(dst, `"authorization":[`...)
	for i, d := range list[:min(len(list), maxDecisions)] {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"action":`...)
		dst = appendString(dst, d.Action, maxText)
		dst = append(dst, `,"resource":`...)
		dst = appendString(dst, d.Resource, maxText)
		dst = append(dst, `,"allowed":`...)
		dst = strconv.AppendBool(dst, d.Allowed.Valid())
		if !d.Allowed.Valid() {
			dst = append(dst, `,"explicit":`...)
			dst = strconv.AppendBool(dst, d.Explicit)
			dst = append(dst, `,"policyType":`...)
			dst = appendString(dst, d.Type.String(), maxText)
		}
		var room [8]policy.Matched
		by := d.AppendDeciding(room[:0])
		for j, m := range by {
			if j == 0 {
				dst = append(dst, `,"by":[{`...)
			} else {
				dst = append(dst, `,{`...)
			}
			dst = append(appendStatement(dst, &m), '}')
		}
		if len(by) > 0 {
			dst = append(dst, ']')
		}
		if d.Missed != nil && missed {
			dst = appendMissed(dst, d.Missed)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// appendStatement renders the members that name a statement.
func appendStatement(dst []byte, m *policy.Matched) []byte {
	dst = append(dst, `"policyType":`...)
	dst = appendString(dst, m.Type.String(), maxText)
	dst = append(dst, `,"policy":`...)
	dst = appendString(dst, m.Source, maxText)
	if m.Statement != nil {
		dst = append(dst, `,"statement":`...)
		dst = strconv.AppendInt(dst, int64(m.Index), 10)
		dst = appendOptional(dst, `,"sid":`, m.Statement.Sid, maxText)
	}
	return dst
}

// appendMissed renders what a denial missed. Denials are few: it allocates.
func appendMissed(dst []byte, m *policy.Missed) []byte {
	for i, l := range m.Lacks {
		dst = append(dst, []string{`,"lacking":[{`, `,{`}[min(i, 1)]...)
		dst = append(dst, `"policyType":`...)
		dst = appendString(dst, l.Type.String(), maxText)
		dst = appendOptional(dst, `,"at":`, l.At, maxText)
		for j, p := range l.Policies {
			dst = append(dst, []string{`,"policies":[`, `,`}[min(j, 1)]...)
			dst = appendString(dst, p, maxText)
		}
		dst = append(dst, []string{`}`, `]}`}[min(len(l.Policies), 1)]...)
	}
	if len(m.Lacks) > 0 {
		dst = append(dst, ']')
	}
	for i := range m.Near {
		dst = append(dst, []string{`,"near":[{`, `,{`}[min(i, 1)]...)
		dst = append(appendNear(dst, &m.Near[i]), '}')
	}
	if len(m.Near) > 0 {
		dst = append(dst, ']')
	}
	return dst
}

func appendNear(dst []byte, n *policy.Near) []byte {
	dst = appendStatement(dst, &n.Matched)
	if n.Principal {
		dst = append(dst, `,"otherPrincipal":true`...)
	}
	if n.Resource {
		dst = append(dst, `,"otherResource":`...)
		dst = appendString(dst, n.Statement.ResourceElement(), maxText)
	}
	for i, f := range n.Failed {
		dst = append(dst, []string{`,"conditions":[{`, `,{`}[min(i, 1)]...)
		dst = append(dst, `"operator":`...)
		dst = appendString(dst, f.Condition.Operator.String(), maxText)
		dst = append(dst, `,"key":`...)
		dst = appendString(dst, f.Condition.Key, maxText)
		dst = append(dst, `,"absent":`...)
		dst = strconv.AppendBool(dst, f.Absent)
		dst = append(dst, '}')
	}
	if len(n.Failed) > 0 {
		dst = append(dst, ']')
	}
	return dst
}

// Decisions reads the decisions out of a record that was parsed; none if it has none. reason
// is the record's Reason.
func (r *Record) Decisions() (list []Authorization, reason string, err error) {
	if len(r.AdditionalEventData) == 0 {
		return nil, "", nil
	}
	var w struct {
		Authorization []Authorization `json:"authorization"`
		Reason        string          `json:"reason"`
	}
	err = json.Unmarshal(r.AdditionalEventData, &w)
	return w.Authorization, w.Reason, err
}

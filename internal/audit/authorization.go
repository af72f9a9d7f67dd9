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

// appendAuthorization renders decisions in place of AdditionalEventData.
func appendAuthorization(dst []byte, list []*policy.Decided) []byte {
	start := len(dst)
	dst = append(dst, `{"authorization":[`...)
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
				dst = append(dst, `,"by":[{"policyType":`...)
			} else {
				dst = append(dst, `,{"policyType":`...)
			}
			dst = appendString(dst, m.Type.String(), maxText)
			dst = append(dst, `,"policy":`...)
			dst = appendString(dst, m.Source, maxText)
			if m.Statement != nil {
				dst = append(dst, `,"statement":`...)
				dst = strconv.AppendInt(dst, int64(m.Index), 10)
				dst = appendOptional(dst, `,"sid":`, m.Statement.Sid, maxText)
			}
			dst = append(dst, '}')
		}
		if len(by) > 0 {
			dst = append(dst, ']')
		}
		dst = append(dst, '}')
	}
	dst = append(dst, `]}`...)
	if len(dst)-start > maxAdditional {
		return append(dst[:start], `{"additionalEventDataOmitted":true}`...)
	}
	return dst
}

// Decisions reads the decisions out of a record that was parsed; none if it has none.
func (r *Record) Decisions() ([]Authorization, error) {
	if len(r.AdditionalEventData) == 0 {
		return nil, nil
	}
	var w struct {
		Authorization []Authorization `json:"authorization"`
	}
	err := json.Unmarshal(r.AdditionalEventData, &w)
	return w.Authorization, err
}

package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"coffer/internal/policy"
)

// EventVersion is the version of CloudTrail's record format that Record follows.
const EventVersion = "1.11"

// Values of Identity.Type.
const (
	TypeRoot            = "Root"
	TypeIAMUser         = "IAMUser"
	TypeAssumedRole     = "AssumedRole"
	TypeFederatedUser   = "FederatedUser"
	TypeWebIdentityUser = "WebIdentityUser"
	TypeSAMLUser        = "SAMLUser"
	TypeAWSAccount      = "AWSAccount"
	TypeAWSService      = "AWSService"
)

// Values of Record.EventType.
const (
	TypeAPICall      = "AwsApiCall"      // what an empty EventType means
	TypeServiceEvent = "AwsServiceEvent" // rotation and deletion events
)

// Limits in rendered bytes. A longer string is cut, as in CloudTrail. A larger
// RequestParameters, ResponseElements or AdditionalEventData is replaced by
// {"requestParametersOmitted":true} and the like: CloudTrail leaves them out, we
// say that we did. Together they stay well below MaxRecord.
const (
	maxText       = 1 << 10   // names, ids, ARNs, codes
	maxUserAgent  = 1 << 10   //
	maxMessage    = 2 << 10   // errorMessage
	maxParameters = 100 << 10 // requestParameters, responseElements
	maxAdditional = 28 << 10  // additionalEventData
	maxResources  = 50        // elements of resources
)

// Record is the CloudTrail management event of one call. The zero value of a
// field leaves it out, except where CloudTrail always writes it.
type Record struct {
	UserIdentity        Identity
	EventTime           time.Time // written in UTC, whole seconds
	EventSource         string    // secretsmanager.amazonaws.com
	EventName           string
	AWSRegion           string
	SourceIPAddress     string
	UserAgent           string
	ErrorCode           string            // only on failure
	ErrorMessage        string            // only on failure, as it was sent
	RequestParameters   json.RawMessage   // without sensitive members; empty is null
	ResponseElements    json.RawMessage   // writes only; empty is null
	AdditionalEventData json.RawMessage   // empty leaves it out
	Authorization       []*policy.Decided // told in AdditionalEventData, if that is empty
	Reason              string            // likewise: what the error's text does not say
	RequestID           string
	EventID             string // a UUID; Contains finds the record by it
	ReadOnly            bool
	Resources           []Resource
	EventType           string // empty is TypeAPICall
	RecipientAccountID  string
	SharedEventID       string
	VPCEndpointID       string
	TLSDetails          *TLSDetails
}

// Identity is CloudTrail's userIdentity: who called, and through which service.
type Identity struct {
	Type             string          `json:"type"` // empty for service events
	PrincipalID      string          `json:"principalId"`
	ARN              string          `json:"arn"`
	AccountID        string          `json:"accountId"`
	AccessKeyID      string          `json:"accessKeyId"`
	UserName         string          `json:"userName"`
	SessionContext   *SessionContext `json:"sessionContext"`
	InvokedBy        string          `json:"invokedBy"`        // the service that called on behalf
	IdentityProvider string          `json:"identityProvider"` // of a WebIdentityUser or SAMLUser
}

// SessionContext tells of temporary credentials. An empty Issuer is left out.
type SessionContext struct {
	Issuer           SessionIssuer
	CreationDate     time.Time
	MFAAuthenticated bool
	SourceIdentity   string // empty leaves it out
}

// SessionIssuer is the role that the credentials were made for.
type SessionIssuer struct {
	Type        string `json:"type"`
	PrincipalID string `json:"principalId"`
	ARN         string `json:"arn"`
	AccountID   string `json:"accountId"`
	UserName    string `json:"userName"`
}

// Resource is one element of resources.
type Resource struct {
	ARN       string `json:"ARN"`
	AccountID string `json:"accountId"`
	Type      string `json:"type"`
}

// TLSDetails tells how the caller was connected.
type TLSDetails struct {
	TLSVersion               string `json:"tlsVersion"`
	CipherSuite              string `json:"cipherSuite"`
	ClientProvidedHostHeader string `json:"clientProvidedHostHeader"`
}

// AppendJSON appends the record as one line of JSON without a line end, members
// in CloudTrail's order. Whatever the fields hold, the result is valid JSON and
// valid UTF-8; bad bytes become U+FFFD. It allocates nothing if dst has room and
// the raw members are compact.
func (r *Record) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"eventVersion":"`+EventVersion+`","userIdentity":`...)
	dst = r.UserIdentity.appendJSON(dst)
	dst = append(dst, `,"eventTime":`...)
	dst = appendTime(dst, r.EventTime)
	dst = append(dst, `,"eventSource":`...)
	dst = appendString(dst, r.EventSource, maxText)
	dst = append(dst, `,"eventName":`...)
	dst = appendString(dst, r.EventName, maxText)
	dst = append(dst, `,"awsRegion":`...)
	dst = appendString(dst, r.AWSRegion, maxText)
	dst = append(dst, `,"sourceIPAddress":`...)
	dst = appendString(dst, r.SourceIPAddress, maxText)
	dst = append(dst, `,"userAgent":`...)
	dst = appendString(dst, r.UserAgent, maxUserAgent)
	dst = appendOptional(dst, `,"errorCode":`, r.ErrorCode, maxText)
	dst = appendOptional(dst, `,"errorMessage":`, r.ErrorMessage, maxMessage)
	dst = append(dst, `,"requestParameters":`...)
	dst = appendRaw(dst, "requestParameters", r.RequestParameters, maxParameters)
	dst = append(dst, `,"responseElements":`...)
	dst = appendRaw(dst, "responseElements", r.ResponseElements, maxParameters)
	if len(r.AdditionalEventData) > 0 {
		dst = append(dst, `,"additionalEventData":`...)
		dst = appendRaw(dst, "additionalEventData", r.AdditionalEventData, maxAdditional)
	} else if len(r.Authorization) > 0 || r.Reason != "" {
		dst = append(dst, `,"additionalEventData":`...)
		dst = appendAuthorization(dst, r.Authorization, r.Reason)
	}
	dst = append(dst, `,"requestID":`...)
	dst = appendString(dst, r.RequestID, maxText)
	dst = append(dst, `,"eventID":`...)
	dst = appendString(dst, r.EventID, maxText)
	dst = append(dst, `,"readOnly":`...)
	dst = strconv.AppendBool(dst, r.ReadOnly)
	for i, res := range r.Resources[:min(len(r.Resources), maxResources)] {
		if i == 0 {
			dst = append(dst, `,"resources":[{"ARN":`...)
		} else {
			dst = append(dst, `,{"ARN":`...)
		}
		dst = appendString(dst, res.ARN, maxText)
		dst = appendOptional(dst, `,"accountId":`, res.AccountID, maxText)
		dst = appendOptional(dst, `,"type":`, res.Type, maxText)
		dst = append(dst, '}')
	}
	if len(r.Resources) > 0 {
		dst = append(dst, ']')
	}
	dst = append(dst, `,"eventType":`...)
	if r.EventType == "" {
		dst = append(dst, `"`+TypeAPICall+`"`...)
	} else {
		dst = appendString(dst, r.EventType, maxText)
	}
	dst = append(dst, `,"managementEvent":true,"recipientAccountId":`...)
	dst = appendString(dst, r.RecipientAccountID, maxText)
	dst = appendOptional(dst, `,"sharedEventID":`, r.SharedEventID, maxText)
	dst = appendOptional(dst, `,"vpcEndpointId":`, r.VPCEndpointID, maxText)
	dst = append(dst, `,"eventCategory":"Management"`...)
	if t := r.TLSDetails; t != nil {
		dst = append(dst, `,"tlsDetails":{"tlsVersion":`...)
		dst = appendString(dst, t.TLSVersion, maxText)
		dst = append(dst, `,"cipherSuite":`...)
		dst = appendString(dst, t.CipherSuite, maxText)
		dst = append(dst, `,"clientProvidedHostHeader":`...)
		dst = appendString(dst, t.ClientProvidedHostHeader, maxText)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

func (id *Identity) appendJSON(dst []byte) []byte {
	open := len(dst)
	dst = appendOptional(dst, `,"type":`, id.Type, maxText)
	dst = appendOptional(dst, `,"principalId":`, id.PrincipalID, maxText)
	dst = appendOptional(dst, `,"arn":`, id.ARN, maxText)
	dst = appendOptional(dst, `,"accountId":`, id.AccountID, maxText)
	dst = appendOptional(dst, `,"accessKeyId":`, id.AccessKeyID, maxText)
	dst = appendOptional(dst, `,"userName":`, id.UserName, maxText)
	if c := id.SessionContext; c != nil {
		dst = append(dst, `,"sessionContext":{`...)
		if i := &c.Issuer; *i != (SessionIssuer{}) {
			dst = append(dst, `"sessionIssuer":{"type":`...)
			dst = appendString(dst, i.Type, maxText)
			dst = append(dst, `,"principalId":`...)
			dst = appendString(dst, i.PrincipalID, maxText)
			dst = append(dst, `,"arn":`...)
			dst = appendString(dst, i.ARN, maxText)
			dst = append(dst, `,"accountId":`...)
			dst = appendString(dst, i.AccountID, maxText)
			dst = append(dst, `,"userName":`...)
			dst = appendString(dst, i.UserName, maxText)
			dst = append(dst, `},`...)
		}
		dst = append(dst, `"attributes":{"creationDate":`...)
		dst = appendTime(dst, c.CreationDate)
		if c.MFAAuthenticated {
			dst = append(dst, `,"mfaAuthenticated":"true"}`...)
		} else {
			dst = append(dst, `,"mfaAuthenticated":"false"}`...)
		}
		dst = appendOptional(dst, `,"sourceIdentity":`, c.SourceIdentity, maxText)
		dst = append(dst, '}')
	}
	dst = appendOptional(dst, `,"invokedBy":`, id.InvokedBy, maxText)
	dst = appendOptional(dst, `,"identityProvider":`, id.IdentityProvider, maxText)
	// Every member brings its own comma; the first one's becomes the bracket.
	if len(dst) == open {
		dst = append(dst, '{')
	} else {
		dst[open] = '{'
	}
	return append(dst, '}')
}

func appendOptional(dst []byte, name, s string, limit int) []byte {
	if s == "" {
		return dst
	}
	return appendString(append(dst, name...), s, limit)
}

// appendTime writes whole seconds with Z. RFC 3339 has four digits for the year.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		t = time.Time{}
	}
	dst = append(dst, '"')
	dst = t.AppendFormat(dst, time.RFC3339)
	return append(dst, '"')
}

// wireRecord is what ParseRecord decodes into: the members whose Go shape differs
// from their JSON shape are spelled out here.
type wireRecord struct {
	EventVersion string `json:"eventVersion"`
	UserIdentity struct {
		Identity
		SessionContext *struct {
			Issuer     SessionIssuer `json:"sessionIssuer"`
			Attributes struct {
				CreationDate     time.Time `json:"creationDate"`
				MFAAuthenticated string    `json:"mfaAuthenticated"`
			} `json:"attributes"`
			SourceIdentity string `json:"sourceIdentity"`
		} `json:"sessionContext"`
	} `json:"userIdentity"`
	EventTime           time.Time       `json:"eventTime"`
	EventSource         string          `json:"eventSource"`
	EventName           string          `json:"eventName"`
	AWSRegion           string          `json:"awsRegion"`
	SourceIPAddress     string          `json:"sourceIPAddress"`
	UserAgent           string          `json:"userAgent"`
	ErrorCode           string          `json:"errorCode"`
	ErrorMessage        string          `json:"errorMessage"`
	RequestParameters   json.RawMessage `json:"requestParameters"`
	ResponseElements    json.RawMessage `json:"responseElements"`
	AdditionalEventData json.RawMessage `json:"additionalEventData"`
	RequestID           string          `json:"requestID"`
	EventID             string          `json:"eventID"`
	ReadOnly            bool            `json:"readOnly"`
	Resources           []Resource      `json:"resources"`
	EventType           string          `json:"eventType"`
	ManagementEvent     bool            `json:"managementEvent"`
	RecipientAccountID  string          `json:"recipientAccountId"`
	SharedEventID       string          `json:"sharedEventID"`
	VPCEndpointID       string          `json:"vpcEndpointId"`
	EventCategory       string          `json:"eventCategory"`
	TLSDetails          *TLSDetails     `json:"tlsDetails"`
}

// ParseRecord reads what AppendJSON wrote. It is strict: another event version or
// an unknown member is an error, not something to be passed on half understood.
func ParseRecord(b []byte) (Record, error) {
	var w wireRecord
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return Record{}, fmt.Errorf("audit: record: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Record{}, errors.New("audit: record: more than one value")
	}
	if w.EventVersion != EventVersion {
		return Record{}, fmt.Errorf("audit: record: event version %q, want %q", w.EventVersion, EventVersion)
	}
	r := Record{
		UserIdentity:        w.UserIdentity.Identity,
		EventTime:           w.EventTime,
		EventSource:         w.EventSource,
		EventName:           w.EventName,
		AWSRegion:           w.AWSRegion,
		SourceIPAddress:     w.SourceIPAddress,
		UserAgent:           w.UserAgent,
		ErrorCode:           w.ErrorCode,
		ErrorMessage:        w.ErrorMessage,
		RequestParameters:   absent(w.RequestParameters),
		ResponseElements:    absent(w.ResponseElements),
		AdditionalEventData: w.AdditionalEventData,
		RequestID:           w.RequestID,
		EventID:             w.EventID,
		ReadOnly:            w.ReadOnly,
		Resources:           w.Resources,
		EventType:           w.EventType,
		RecipientAccountID:  w.RecipientAccountID,
		SharedEventID:       w.SharedEventID,
		VPCEndpointID:       w.VPCEndpointID,
		TLSDetails:          w.TLSDetails,
	}
	if c := w.UserIdentity.SessionContext; c != nil {
		r.UserIdentity.SessionContext = &SessionContext{
			Issuer:           c.Issuer,
			CreationDate:     c.Attributes.CreationDate,
			MFAAuthenticated: c.Attributes.MFAAuthenticated == "true",
			SourceIdentity:   c.SourceIdentity,
		}
	}
	return r, nil
}

// absent makes null the same as nothing, as the writer does.
func absent(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}

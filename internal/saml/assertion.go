package saml

import (
	"fmt"
	"slices"
	"time"

	"github.com/beevik/etree"
)

// Assertion is what a verified assertion says.
type Assertion struct {
	ID     string
	Issuer string // entity id of the provider
	Issued time.Time

	Subject       string // the NameID
	SubjectFormat string // its Format, a URN; may be empty

	// Of the only SubjectConfirmation, a bearer's.
	Recipient    string
	NotBefore    time.Time // zero: always; the latest of all that are given
	NotOnOrAfter time.Time // the earliest of all that are given
	SessionEnd   time.Time // SessionNotOnOrAfter; zero: not given

	audiences  [][]string
	attributes []Attribute
}

// Attribute is an attribute with its values that are plain texts.
type Attribute struct {
	Name, FriendlyName string
	Values             []string
}

// For reports whether the assertion is for one of these audiences: every
// restriction must name one, and there must be one ("SAML V2.0", section 2.5.1.4).
func (a *Assertion) For(audiences ...string) bool {
	for _, restriction := range a.audiences {
		if !slices.ContainsFunc(restriction, func(s string) bool { return slices.Contains(audiences, s) }) {
			return false
		}
	}
	return len(a.audiences) > 0
}

// Attributes returns all of them, in the order of the assertion. Not to be changed.
func (a *Assertion) Attributes() []Attribute { return a.attributes }

// Values returns the values of the first attribute with this Name, which has case.
func (a *Assertion) Values(name string) []string {
	for i := range a.attributes {
		if a.attributes[i].Name == name {
			return a.attributes[i].Values
		}
	}
	return nil
}

// readAssertion reads an Assertion element that was verified.
func readAssertion(e *etree.Element) (*Assertion, error) {
	a := &Assertion{ID: e.SelectAttrValue("ID", "")}
	if v := e.SelectAttrValue("Version", ""); v != "2.0" || a.ID == "" {
		return nil, fmt.Errorf("%w: version %.16q", ErrFormat, v)
	}
	var err error
	if a.Issued, err = instant(e, "IssueInstant"); err != nil || a.Issued.IsZero() {
		return nil, fmt.Errorf("%w: no IssueInstant", ErrFormat)
	}
	issuer, err := only(e, assertion, "Issuer")
	if err != nil {
		return nil, err
	}
	if a.Issuer, err = required(issuer); err != nil {
		return nil, err
	}
	for _, read := range []func(*etree.Element) error{a.readSubject, a.readConditions, a.readStatements} {
		if err := read(e); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func required(e *etree.Element) (string, error) {
	s, ok := text(e)
	if !ok || s == "" {
		return "", fmt.Errorf("%w: %s is no text", ErrFormat, e.Tag)
	}
	return s, nil
}

// readSubject: "There must be exactly one SubjectConfirmation element with a
// SubjectConfirmationData element that includes both the NotOnOrAfter attribute and
// a Recipient attribute" ("Configure SAML assertions for the authentication response").
func (a *Assertion) readSubject(e *etree.Element) error {
	subject, err := only(e, assertion, "Subject")
	if err != nil {
		return err
	}
	name, err := only(subject, assertion, "NameID")
	if err != nil {
		return err
	}
	a.SubjectFormat = name.SelectAttrValue("Format", "")
	if a.Subject, err = required(name); err != nil {
		return err
	}
	confirmation, err := only(subject, assertion, "SubjectConfirmation")
	if err != nil {
		return err
	}
	if m := confirmation.SelectAttrValue("Method", ""); m != "urn:oasis:names:tc:SAML:2.0:cm:bearer" {
		return fmt.Errorf("%w: confirmation method %.100q", ErrFormat, m)
	}
	data, err := only(confirmation, assertion, "SubjectConfirmationData")
	if err != nil {
		return err
	}
	if a.Recipient = data.SelectAttrValue("Recipient", ""); a.Recipient == "" {
		return fmt.Errorf("%w: no Recipient", ErrFormat)
	}
	if err := a.narrow(data); err != nil {
		return err
	}
	if a.NotOnOrAfter.IsZero() {
		return fmt.Errorf("%w: no NotOnOrAfter", ErrFormat)
	}
	return nil
}

// narrow applies an element's NotBefore and NotOnOrAfter.
func (a *Assertion) narrow(e *etree.Element) error {
	from, err := instant(e, "NotBefore")
	if err != nil {
		return err
	}
	until, err := instant(e, "NotOnOrAfter")
	if err != nil {
		return err
	}
	if from.After(a.NotBefore) {
		a.NotBefore = from
	}
	if !until.IsZero() && (a.NotOnOrAfter.IsZero() || until.Before(a.NotOnOrAfter)) {
		a.NotOnOrAfter = until
	}
	return nil
}

// readConditions: a condition that is not understood makes the assertion invalid
// ("SAML V2.0", section 2.5.1.1).
func (a *Assertion) readConditions(e *etree.Element) error {
	conditions, err := only(e, assertion, "Conditions")
	if err != nil {
		return err
	}
	if err := a.narrow(conditions); err != nil {
		return err
	}
	for _, c := range conditions.ChildElements() {
		switch {
		case is(c, assertion, "AudienceRestriction"):
			var names []string
			for _, n := range children(c, assertion, "Audience") {
				name, err := required(n)
				if err != nil {
					return err
				}
				names = append(names, name)
			}
			a.audiences = append(a.audiences, names)
		case is(c, assertion, "OneTimeUse"), is(c, assertion, "ProxyRestriction"):
			// The caller uses each assertion once, and issues none from it.
		default:
			return fmt.Errorf("%w: condition %.64q", ErrFormat, c.Tag)
		}
	}
	return nil
}

// readStatements reads attributes and the end of the session. An attribute given
// more than once is as AWS has it: "If you include more than one, only one claim will be mapped".
func (a *Assertion) readStatements(e *etree.Element) error {
	for _, s := range children(e, assertion, "AuthnStatement") {
		end, err := instant(s, "SessionNotOnOrAfter")
		if err != nil {
			return err
		}
		if !end.IsZero() && (a.SessionEnd.IsZero() || end.Before(a.SessionEnd)) {
			a.SessionEnd = end
		}
	}
	for _, s := range children(e, assertion, "AttributeStatement") {
		for _, at := range children(s, assertion, "Attribute") {
			attribute := Attribute{Name: at.SelectAttrValue("Name", ""), FriendlyName: at.SelectAttrValue("FriendlyName", "")}
			for _, v := range children(at, assertion, "AttributeValue") {
				if value, ok := text(v); ok {
					attribute.Values = append(attribute.Values, value)
				}
			}
			a.attributes = append(a.attributes, attribute)
		}
	}
	return nil
}

package policy

import (
	"math/big"
	"net/netip"
	"strings"
)

// Public reports whether some Allow statement lets in everybody, and the index
// of the first that does.
//
// A statement lets in everybody when its principal is "*", {"AWS": "*"}, or
// the rest of the world through NotPrincipal, and none of its conditions pins
// the caller down. A condition pins when it can only hold for callers that the
// author chose: a key of the table below, under an operator that fails when
// the key is absent, with fixed values. The rules follow S3's published
// "meaning of public", on whose analysis AWS built the check for secrets.
//
// Deny statements are not considered: adding a statement never makes a public
// policy private. AWS's automated reasoning does weigh them, so it accepts an
// Allow for "*" narrowed by a Deny; here such an author is asked to put the
// condition on the Allow, where the next reader sees it as well.
//
// Actions and resources are not considered either: on a secret or a key there
// is no action that should be open to the world.
func (d *Document) Public() (statement int, public bool) {
	for i := range d.Statements {
		if d.Statements[i].public() {
			return i, true
		}
	}
	return 0, false
}

func (s *Statement) public() bool {
	if s.Effect != Allow || s.Principals == nil || !s.everybody() {
		return false
	}
	for i := range s.Conditions {
		if s.Conditions[i].pins() {
			return false
		}
	}
	return true
}

// everybody: NotPrincipal leaves out those it lists, so everybody else is in;
// only NotPrincipal "*" leaves nobody. Service and Federated principals are
// fixed parties, and not everybody.
func (s *Statement) everybody() bool {
	return s.Principals.Any != s.NotPrincipal
}

// pinClass is how values of a pinning key are judged.
type pinClass uint8

const (
	pinNot    pinClass = iota
	pinString          // a fixed identifier
	pinARN             // an ARN whose owner is fixed
	pinPath            // an organisation path that starts with a fixed organisation
	pinIP              // address ranges that are not most of the Internet
)

// pinOf says which keys can pin a caller down, in lower case.
//
// Not in the table, on purpose: aws:PrincipalTag/*, aws:username (anyone can
// make a user or tag of that name in an account of their own),
// aws:ResourceAccount and other facts about the resource, aws:PrincipalType,
// aws:PrincipalIsAWSService, aws:CalledVia*, aws:ViaAWSService, kms:ViaService
// (true for any customer of the service), aws:UserAgent and aws:Referer (the
// caller writes them), aws:SecureTransport, times, MFA, and aws:VpcSourceIp
// (any VPC may use any private range).
func pinOf(key string) pinClass {
	switch strings.ToLower(key) {
	case "aws:sourceaccount", "aws:sourceorgid", "aws:sourcevpc", "aws:sourcevpce",
		"aws:principalaccount", "aws:principalorgid", "aws:userid", "kms:calleraccount":
		return pinString
	case "aws:sourcearn", "aws:sourcevpcarn", "aws:principalarn":
		return pinARN
	case "aws:principalorgpaths", "aws:sourceorgpaths":
		return pinPath
	case "aws:sourceip":
		return pinIP
	}
	return pinNot
}

func (c *Condition) pins() bool {
	op, class := c.Operator, pinOf(c.Key)
	// IfExists, ForAllValues and the negated operators hold without the key.
	if class == pinNot || op.IfExists || op.Negated || op.Set == ForAllValues || len(c.Values) == 0 {
		return false
	}
	if class == pinIP {
		return op.Name == "IpAddress" && narrow(c.Values)
	}
	// The values are alternatives: every one of them must be fixed.
	for i := range c.Values {
		v := &c.Values[i]
		var fixed bool
		switch op.Name {
		case "StringEquals", "StringEqualsIgnoreCase":
			fixed = true // wildcards do not act here
		case "StringLike":
			fixed = !v.Wildcards() || class == pinPath && fixedOrganisation(v)
		case "ArnEquals", "ArnLike":
			fixed = class == pinARN && fixedOwner(v)
		}
		if !fixed || v.Variables() {
			return false
		}
	}
	return true
}

// fixedOwner: the ARN names one account; or, where ARNs of the service have no
// account (arn:aws:s3:::bucket), one resource. Wildcards in service, region or
// resource leave the owner fixed.
func fixedOwner(p *Pattern) bool {
	parts := strings.SplitN(p.glob, ":", 6)
	if p.Variables() || len(parts) != 6 || parts[0] != "arn" || !validPartition(parts[1]) {
		return false
	}
	if isAccount(parts[4]) {
		return true
	}
	return parts[4] == "" && !p.Wildcards()
}

// fixedOrganisation: o-exampleorgid/r-ab12/* is anyone in one organisation.
func fixedOrganisation(p *Pattern) bool {
	org, _, ok := strings.Cut(p.glob, "/")
	return ok && strings.HasPrefix(org, "o-") && strings.IndexByte(org, starByte) < 0 && strings.IndexByte(org, oneByte) < 0
}

// The widest range that pins, as S3 documents it for aws:SourceIp: /8 for IPv4
// and /32 for IPv6; private ranges are no concern. So that a world cut into
// pieces stays the world, the public ranges of one condition together may
// cover no more than a sixteenth: sixteen of the widest IPv4 ranges.
const (
	widest4, widest6     = 8, 32
	together4, together6 = 4, 28
)

var (
	privateRanges = []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"),
		netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::1/128"),
	}
	mapped = netip.MustParsePrefix("::ffff:0:0/96") // all of IPv4 in IPv6 clothes
)

func narrow(values []Pattern) bool {
	var sum4, sum6 big.Int
	seen := make(map[netip.Prefix]bool, len(values))
next:
	for i := range values {
		r, ok := parseRange(values[i].Text)
		if !ok {
			return false
		}
		for _, p := range privateRanges {
			if p.Bits() <= r.Bits() && p.Contains(r.Addr()) {
				continue next
			}
		}
		if seen[r] {
			continue
		}
		seen[r] = true
		size := new(big.Int).Lsh(big.NewInt(1), uint(r.Addr().BitLen()-r.Bits()))
		if r.Addr().Is4() {
			if r.Bits() < widest4 {
				return false
			}
			sum4.Add(&sum4, size)
			continue
		}
		if r.Bits() < widest6 || r.Bits() < 96 && r.Contains(mapped.Addr()) {
			return false
		}
		sum6.Add(&sum6, size)
	}
	return sum4.Cmp(new(big.Int).Lsh(big.NewInt(1), 32-together4)) <= 0 &&
		sum6.Cmp(new(big.Int).Lsh(big.NewInt(1), 128-together6)) <= 0
}

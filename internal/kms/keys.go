package kms

import (
	"strconv"
	"strings"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/table"
)

// Values implements policy.Context for the condition keys of KMS ("Condition
// keys for AWS KMS", KMS developer guide): those about the key, those about
// the request's members, and those about how it came.
func (t *target) Values(dst []string, key string) ([]string, bool) {
	name, ok := strings.CutPrefix(key, "kms:")
	if !ok {
		return dst, false
	}
	if pair, ok := strings.CutPrefix(name, "encryptioncontext:"); ok {
		return t.pair(dst, pair)
	}
	r := t.r
	switch name {
	case "viaservice":
		if n := len(r.Via); n > 0 {
			service, _, _ := strings.Cut(r.Via[n-1], ".")
			return append(dst, service+"."+r.Region+".amazonaws.com"), true
		}
		return dst, false
	case "calleraccount":
		return append(dst, r.Principal.Account), r.Principal.Account != ""
	case "encryptioncontextkeys":
		for k := range t.contextNamed() {
			dst = append(dst, k)
		}
		return dst, len(dst) > 0
	case "requestalias":
		return append(dst, t.alias), t.alias != ""
	case "resourcealiases":
		return t.aliases(dst)
	case "reencryptonsamekey":
		if t.peer == "" {
			return dst, false
		}
		return append(dst, strconv.FormatBool(t.peer == t.arn)), true
	}
	if vs, known := ofGrant(dst, r, name); known {
		return vs, len(vs) > len(dst)
	}
	if v, ok := t.ofKey(name); ok {
		return append(dst, v), true
	}
	if member, ok := requestKeys[name]; ok {
		if v, ok := api.MemberText(r.Input, member); ok {
			return append(dst, v), true
		}
	}
	return dst, false
}

// requestKeys are the condition keys that stand for a member of the input.
var requestKeys = map[string]string{
	"bypasspolicylockoutsafetycheck":         "BypassPolicyLockoutSafetyCheck",
	"encryptionalgorithm":                    "EncryptionAlgorithm",
	"expirationmodel":                        "ExpirationModel",
	"keyagreementalgorithm":                  "KeyAgreementAlgorithm",
	"macalgorithm":                           "MacAlgorithm",
	"messagetype":                            "MessageType",
	"primaryregion":                          "PrimaryRegion",
	"replicaregion":                          "ReplicaRegion",
	"rotationperiodindays":                   "RotationPeriodInDays",
	"schedulekeydeletionpendingwindowindays": "PendingWindowInDays",
	"signingalgorithm":                       "SigningAlgorithm",
	"validto":                                "ValidTo",
	"wrappingalgorithm":                      "WrappingAlgorithm",
	"wrappingkeyspec":                        "WrappingKeySpec",
	"datakeypairspec":                        "KeyPairSpec",
}

// ofKey answers for keys about the key itself; in CreateKey, about the one to be made.
func (t *target) ofKey(name string) (value string, ok bool) {
	if in, creating := t.r.Input.(*kmsapi.CreateKeyInput); creating {
		return ofNewKey(in, name)
	}
	if t.key == nil {
		return "", false
	}
	switch name {
	case "keyspec":
		return t.key.Spec, true
	case "keyusage":
		return t.key.Usage, true
	case "keyorigin":
		return t.key.Origin, true
	case "multiregion":
		return strconv.FormatBool(t.key.multiRegion()), true
	case "multiregionkeytype":
		return t.key.multiRegionType(), t.key.multiRegion()
	}
	return "", false
}

// ofGrant answers for keys about a grant that is to be made, or managed.
func ofGrant(dst []string, r *api.Request, name string) (values []string, known bool) {
	in, creating := r.Input.(*kmsapi.CreateGrantInput)
	switch name {
	case "grantisforawsresource": // "when an AWS service calls the operation on the user's behalf"
		switch r.Op {
		case kmsapi.CreateGrant.Operation, kmsapi.ListGrants.Operation, kmsapi.RevokeGrant.Operation:
			dst = append(dst, strconv.FormatBool(len(r.Via) > 0))
		}
	case "grantoperations":
		if creating {
			dst = append(dst, in.Operations...)
		}
	case "grantconstrainttype":
		if creating {
			if constraint, _ := requestedConstraint(in.Constraints); constraint != "" {
				dst = append(dst, constraint)
			}
		}
	case "granteeprincipal":
		if creating {
			dst = append(dst, *in.GranteePrincipal)
		}
	case "retiringprincipal":
		if creating && in.RetiringPrincipal != nil {
			dst = append(dst, *in.RetiringPrincipal)
		}
	default:
		return dst, false
	}
	return dst, true
}

func ofNewKey(in *kmsapi.CreateKeyInput, name string) (value string, ok bool) {
	or := func(p *string, fallback string) (string, bool) {
		if p != nil {
			return *p, true
		}
		return fallback, true
	}
	switch name {
	case "keyspec":
		if in.KeySpec == nil {
			return or(in.CustomerMasterKeySpec, kmsapi.KeySpecSymmetricDefault)
		}
		return *in.KeySpec, true
	case "keyusage":
		return or(in.KeyUsage, kmsapi.KeyUsageTypeEncryptDecrypt)
	case "keyorigin":
		return or(in.Origin, kmsapi.OriginTypeAwsKms)
	case "multiregion":
		return strconv.FormatBool(in.MultiRegion != nil && *in.MultiRegion), true
	case "multiregionkeytype":
		return kmsapi.MultiRegionKeyTypePrimary, in.MultiRegion != nil && *in.MultiRegion
	}
	return "", false
}

// contextNamed is the encryption context that condition keys are about: the request's, or
// that of a grant to be made, in its constraint.
func (t *target) contextNamed() map[string]string {
	if in, ok := t.r.Input.(*kmsapi.CreateGrantInput); ok {
		_, pairs := requestedConstraint(in.Constraints)
		return pairs
	}
	return t.encryptionContext()
}

// encryptionContext is the request's, nil for operations that take none. Of a
// ReEncrypt it is the one of the side that access was asked for.
func (t *target) encryptionContext() map[string]string {
	var context map[string]string
	switch in := t.r.Input.(type) {
	case *kmsapi.EncryptInput:
		context = in.EncryptionContext
	case *kmsapi.DecryptInput:
		context = in.EncryptionContext
	case *kmsapi.GenerateDataKeyInput:
		context = in.EncryptionContext
	case *kmsapi.GenerateDataKeyWithoutPlaintextInput:
		context = in.EncryptionContext
	case *kmsapi.GenerateDataKeyPairInput:
		context = in.EncryptionContext
	case *kmsapi.GenerateDataKeyPairWithoutPlaintextInput:
		context = in.EncryptionContext
	case *kmsapi.ReEncryptInput:
		context = in.SourceEncryptionContext
		if t.action == reEncryptTo {
			context = in.DestinationEncryptionContext
		}
	default:
		return nil
	}
	if context == nil {
		return emptyContext
	}
	return context
}

var emptyContext = map[string]string{}

// pair is what the encryption context has under a name. "The encryption context key in the
// condition key isn't case-sensitive." Policies can ask for thousands of names, and a context have as
// many pairs: a large one is put in order once.
func (t *target) pair(dst []string, name string) ([]string, bool) {
	context := t.contextNamed()
	if len(context) <= fewPairs {
		for k, v := range context {
			if strings.EqualFold(k, name) {
				dst = append(dst, v)
			}
		}
		return dst, len(dst) > 0
	}
	kept := t.kept()
	if kept.pairs == nil {
		kept.pairs = make(map[string][]string, len(context))
		for k, v := range context {
			kept.pairs[folded(k)] = append(kept.pairs[folded(k)], v)
		}
	}
	dst = append(dst, kept.pairs[folded(name)]...)
	return dst, len(dst) > 0
}

// answers are answers for condition keys that take some work.
type answers struct {
	pairs   map[string][]string // of the encryption context by folded name; nil: not made
	aliases []string            // of the key; nil: not read
}

func (t *target) kept() *answers {
	if t.answers == nil {
		t.answers = new(answers)
	}
	return t.answers
}

const fewPairs = 8

// folded is the same for texts that differ in case alone.
func folded(s string) string { return strings.ToLower(strings.ToUpper(s)) }

// aliases are the names of all aliases of the key, looked up once: many conditions can ask.
func (t *target) aliases(dst []string) ([]string, bool) {
	if t.key == nil {
		return dst, false
	}
	kept := t.kept()
	if kept.aliases == nil {
		kept.aliases = []string{}
		for e, err := range Aliases.ScanIndex(t.r.Tx, aliasIndex, table.Range{Prefix: table.K(t.key.Account, t.key.Region, t.key.ID)}) {
			if err != nil {
				t.failed = err
				return dst, false
			}
			parts := e.Key.Parts()
			kept.aliases = append(kept.aliases, parts[len(parts)-1])
		}
	}
	return append(dst, kept.aliases...), len(kept.aliases) > 0
}

// about answers for the condition keys of what t's operation does besides: the
// same request, and no key.
func (t *target) about() *target { return &target{r: t.r} }

// Err implements api.Keys.
func (t *target) Err() error { return t.failed }

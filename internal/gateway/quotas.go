package gateway

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"coffer/internal/api"
)

// quota is how often an account may call operations in one region, in calls a
// second.
type quota struct {
	service string
	group   string // what shares the quota; empty: each operation has its own, named after it
	rate    float64
	of      string // operations or patterns of them; the first line that names an operation counts
}

// quotas are AWS's: "Secrets Manager quotas", "Request quotas" of the KMS developer
// guide (those of most regions), "IAM and AWS STS quotas", "CloudWatch Logs quotas" (those of its largest
// regions). IAM's are not published.
var quotas = []quota{
	{"secretsmanager", "GetSecretValue", 10_000, "GetSecretValue DescribeSecret"},
	{"secretsmanager", "ListSecrets", 100, "ListSecrets ListSecretVersionIds"},
	{"secretsmanager", "", 100, "BatchGetSecretValue"},
	{"secretsmanager", "", 50, "CreateSecret DeleteSecret GetRandomPassword RestoreSecret"},
	{"secretsmanager", "RotateSecret", 50, "RotateSecret CancelRotateSecret"},
	{"secretsmanager", "TagResource", 50, "TagResource UntagResource"},
	{"secretsmanager", "PutResourcePolicy", 50, "DeleteResourcePolicy GetResourcePolicy PutResourcePolicy ValidateResourcePolicy"},
	{"secretsmanager", "PutSecretValue", 50, "PutSecretValue UpdateSecret UpdateSecretVersionStage " +
		"ReplicateSecretToRegions RemoveRegionsFromReplication StopReplicationToReplica"},

	{"kms", "symmetric", 10_000, "GenerateDataKey GenerateDataKeyWithoutPlaintext GenerateMac GenerateRandom VerifyMac"},
	{"kms", "RSA", 1000, ""},
	{"kms", "ECC", 1000, "DeriveSharedSecret"}, // and SM2
	{"kms", "ML-DSA", 1000, ""},
	{"kms", "GenerateDataKeyPair/ECC_NIST_P256", 100, ""},
	{"kms", "GenerateDataKeyPair/ECC_NIST_P384", 100, ""},
	{"kms", "GenerateDataKeyPair/ECC_NIST_P521", 100, ""},
	{"kms", "GenerateDataKeyPair/ECC_SECG_P256K1", 100, ""},
	{"kms", "GenerateDataKeyPair/ECC_NIST_EDWARDS25519", 100, ""},
	{"kms", "GenerateDataKeyPair/SM2", 25, ""},
	{"kms", "GenerateDataKeyPair/RSA_2048", 20, ""},
	{"kms", "GenerateDataKeyPair/RSA_3072", 4, ""},
	{"kms", "GenerateDataKeyPair/RSA_4096", 1, ""},
	{"kms", "", 2000, "DescribeKey GetPublicKey ListResourceTags"},
	{"kms", "", 1000, "GetKeyPolicy GetKeyRotationStatus"},
	{"kms", "", 500, "ListAliases ListKeys"},
	{"kms", "", 100, "ListGrants ListKeyPolicies ListKeyRotations ListRetirableGrants"},
	{"kms", "", 50, "CreateGrant RetireGrant RevokeGrant"},
	{"kms", "", 15, "DeleteAlias DeleteImportedKeyMaterial EnableKeyRotation ImportKeyMaterial PutKeyPolicy ScheduleKeyDeletion"},
	{"kms", "", 10, "TagResource"},
	{"kms", "", 1, "GetParametersForImport"},
	{"kms", "", 5, "*"},

	{"iam", "reads", 100, "Generate* Get* List* Simulate*"},
	{"iam", "changes", 20, "*"},

	{"logs", "", 5000, "PutLogEvents"},
	{"logs", "", 50, "CreateLogStream"},
	{"logs", "", 25, "DescribeLogStreams FilterLogEvents GetLogEvents"},
	{"logs", "", 15, "DeleteLogStream"},
	{"logs", "", 10, "CreateLogGroup DeleteLogGroup DeleteRetentionPolicy DescribeLogGroups ListLogGroups PutRetentionPolicy"},
	{"logs", "", 5, "*"},

	{"sts", "AssumeRoleWithWebIdentity", 100, "AssumeRoleWithSAML AssumeRoleWithWebIdentity"}, // of one address
	{"sts", "AssumeRole", 600, "*"},
}

// otherRate is for calls of an account that name no operation.
const otherRate = 50

// choice is operations whose group depends on what the request asks for. What
// does not say, or nothing known, is symmetric: so Encrypt and Decrypt understand it.
type choice struct {
	service, member string
	group           func(value string) string
	of              []string
}

var choices = []choice{
	{"kms", "EncryptionAlgorithm", algorithmGroup, []string{"Decrypt", "Encrypt"}},
	{"kms", "SourceEncryptionAlgorithm", algorithmGroup, []string{"ReEncrypt"}},
	{"kms", "SigningAlgorithm", algorithmGroup, []string{"Sign", "Verify"}},
	{"kms", "KeyPairSpec", keyPairGroup, []string{"GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"}},
}

const symmetric = "symmetric"

func algorithmGroup(algorithm string) string {
	is := func(prefix string) bool { return strings.HasPrefix(algorithm, prefix) }
	switch {
	case is("RSA"):
		return "RSA"
	case is("EC"), is("ED25519"), is("SM2"):
		return "ECC"
	case is("ML_DSA"):
		return "ML-DSA"
	}
	return symmetric
}

func keyPairGroup(spec string) string { return "GenerateDataKeyPair/" + spec }

// newThrottle ties the quotas, as the deployment has set them, to the operations
// of the services.
func newThrottle(cfg *Throttle, services []*api.Service) (*throttle, error) {
	t := &throttle{limits: make(map[*api.Operation]*limit)}
	byName := make(map[string]*group) // as a deployment names them
	add := func(service, name string, perSecond float64) *group {
		g := &group{service: service, name: name, perSecond: perSecond, off: cfg.Off}
		t.groups = append(t.groups, g)
		return g
	}
	t.other = &limit{group: add("other", "other", otherRate)}
	byName["other"] = t.other.group
	for _, s := range services {
		own := make(map[string]*group)
		for _, q := range quotas {
			if q.service == s.Name && q.group != "" {
				own[q.group] = add(s.Name, q.group, q.rate)
				byName[s.Name+":"+q.group] = own[q.group]
			}
		}
		for _, op := range s.Operations {
			l := &limit{}
			t.limits[op] = l
			if c := choiceOf(op); c != nil {
				l.group, l.member, l.choose, l.groups = own[symmetric], c.member, c.group, own
				continue
			}
			q := quotaOf(op)
			switch {
			case q == nil:
				l.group = t.other.group
			case q.group == "":
				l.group = add(s.Name, op.Name, q.rate)
			default:
				l.group = own[q.group]
			}
			byName[op.Action()] = l.group
		}
	}
	for name, perSecond := range cfg.Rates {
		g := byName[name]
		if g == nil {
			return nil, fmt.Errorf("there is no operation or group %q that has a quota of its own; docs/operations.md lists the groups", name)
		}
		g.perSecond, g.off = perSecond, false
	}
	for i, g := range t.groups {
		g.index, g.rate = i, newRate(g.perSecond, max(g.perSecond, minBurst))
	}
	return t, nil
}

// quotaOf finds an operation's line, nil if it has none.
func quotaOf(op *api.Operation) *quota {
	for i := range quotas {
		if quotas[i].service == op.Service.Name && slices.ContainsFunc(strings.Fields(quotas[i].of), func(pattern string) bool {
			ok, _ := path.Match(pattern, op.Name) // the patterns above are well formed
			return ok
		}) {
			return &quotas[i]
		}
	}
	return nil
}

// choiceOf finds how an operation's group is chosen, nil if it is always the same.
func choiceOf(op *api.Operation) *choice {
	for i := range choices {
		if choices[i].service == op.Service.Name && slices.Contains(choices[i].of, op.Name) {
			return &choices[i]
		}
	}
	return nil
}

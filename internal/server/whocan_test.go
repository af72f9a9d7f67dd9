package server_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smtypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"coffer/internal/server"
)

// village is two accounts whose policies change at random, and everybody who lives there, with
// credentials.
type village struct {
	*keyholders
	accounts []*house
	secret   string // under key, tagged team=blue
	key      string
}

// house is an account of it.
type house struct {
	id    string
	root  *iam.Client
	users []string // ARNs, of users "u0" and so on
	roles []string // ARNs, of roles "r0" and so on; sessions of "r1" can have tags
	calls map[string]*secretsmanager.Client
	fay   *secretsmanager.Client // a federated user of the root, with a session policy that allows everything
}

func newVillage(t *testing.T) *village {
	t.Helper()
	v := &village{keyholders: newKeyholders(t)}
	for _, root := range []holder{v.root, v.other} {
		h := &house{id: strings.Split(root.arn, ":")[4], calls: map[string]*secretsmanager.Client{root.arn: root.sm}}
		cfg := v.Config("eu-west-1")
		if root.arn != v.root.arn {
			cfg = v.otherConfig
		}
		h.root = iam.NewFromConfig(cfg)
		v.accounts = append(v.accounts, h)
		user := func(name string, statements ...string) aws.Config {
			sure(h.root.CreateUser(ctx, &iam.CreateUserInput{UserName: &name, Tags: []iamtypes.Tag{{Key: aws.String("team"), Value: aws.String("blue")}}}))(t)
			if len(statements) > 0 {
				sure(h.root.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("own"), PolicyDocument: aws.String(document(statements...))}))(t)
			}
			k := sure(h.root.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name}))(t).AccessKey
			return v.ConfigFor("eu-west-1", server.Credentials{AccessKeyID: *k.AccessKeyId, SecretAccessKey: *k.SecretAccessKey})
		}
		for i := range 3 {
			name := fmt.Sprint("u", i)
			arn := "arn:aws:iam::" + h.id + ":user/" + name
			h.calls[arn] = secretsmanager.NewFromConfig(user(name))
			h.users = append(h.users, arn)
		}
		maker := sts.NewFromConfig(user("maker", allow("sts:*", "*")))
		for i := range 2 {
			name, actions := fmt.Sprint("r", i), `"sts:AssumeRole"`
			if i == 1 {
				actions += `,"sts:TagSession"`
			}
			arn := *sure(h.root.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, Tags: []iamtypes.Tag{{Key: aws.String("team"), Value: aws.String("red")}},
				AssumeRolePolicyDocument: aws.String(document(`{"Effect":"Allow","Principal":{"AWS":"` + h.id + `"},"Action":[` + actions + `]}`))}))(t).Role.Arn
			h.roles = append(h.roles, arn)
			for _, session := range []string{"job", "night", "job-blue"}[:2+i] {
				in := &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: &session}
				if _, team, ok := strings.Cut(session, "-"); ok {
					in.Tags = []ststypes.Tag{{Key: aws.String("team"), Value: &team}}
				}
				out := sure(maker.AssumeRole(ctx, in))(t)
				h.calls[*out.AssumedRoleUser.Arn] = secretsmanager.NewFromConfig(v.temporaryConfig(out.Credentials))
			}
		}
		fay := sure(sts.NewFromConfig(cfg).GetFederationToken(ctx, &sts.GetFederationTokenInput{Name: aws.String("fay"), Policy: aws.String(document(allow("*", "*")))}))(t)
		h.fay = secretsmanager.NewFromConfig(v.temporaryConfig(fay.Credentials))
		sure(h.root.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: aws.String("g")}))(t)
		sure(h.root.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: aws.String("g"), UserName: aws.String("u0")}))(t)
	}
	v.key = v.keyholders.key()
	v.secret = *sure(v.root.sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("blue/db"), SecretString: aws.String("v"), KmsKeyId: &v.key,
		Tags: []smtypes.Tag{{Key: aws.String("team"), Value: aws.String("blue")}}}))(t).ARN
	return v
}

func (v *village) temporaryConfig(c *ststypes.Credentials) aws.Config {
	cfg := v.Config("eu-west-1")
	cfg.Credentials = credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	return cfg
}

// everybody is a principal of the village, or a name for several.
func (v *village) everybody() (names []string) {
	for _, h := range v.accounts {
		names = append(names, h.id, h.id, h.users[0], h.users[1], h.roles[0], h.roles[1],
			"arn:aws:sts::"+h.id+":assumed-role/r0/job", "arn:aws:sts::"+h.id+":assumed-role/r1/job-blue", "arn:aws:sts::"+h.id+":federated-user/fay")
	}
	return append(names, "*")
}

// condition is one at random, or none. Those of the second half are about the request.
func (v *village) condition(r *rand.Rand, unknown bool) []string {
	h := v.accounts[r.IntN(2)]
	known := []string{
		`{"StringEquals":{"aws:PrincipalTag/team":"blue"}}`, `{"StringEquals":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"}}`, `{"StringNotEquals":{"aws:PrincipalTag/team":"blue"}}`,
		`{"StringEquals":{"aws:PrincipalAccount":"` + h.id + `"}}`, `{"StringLike":{"aws:username":"u*"}}`, `{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/*"}}`,
		`{"StringEquals":{"kms:ViaService":"secretsmanager.eu-west-1.amazonaws.com"}}`, `{"Bool":{"aws:ViaAWSService":"true"}}`, `{"StringEquals":{"aws:PrincipalType":["User","Account"]}}`,
		`{"StringEquals":{"kms:CallerAccount":"` + h.id + `"}}`, `{"StringEquals":{"secretsmanager:ResourceTag/team":"blue"}}`, `{"Null":{"aws:SourceAccount":"true"}}`, `{"StringLike":{"aws:userid":"AROA*:job"}}`, `{"StringNotLike":{"aws:userid":"*:job"}}`, `{"StringLike":{"aws:userid":"AROA*:*"}}`,
	}
	request := []string{
		`{"Bool":{"aws:SecureTransport":"true"}}`, `{"Bool":{"aws:SecureTransport":"false"}}`, `{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}`, `{"StringEquals":{"secretsmanager:VersionStage":"AWSCURRENT"}}`,
		`{"StringEqualsIfExists":{"kms:EncryptionContext:SecretARN":"` + v.secret + `"}}`, `{"Bool":{"aws:MultiFactorAuthPresent":"true"}}`, `{"DateLessThan":{"aws:CurrentTime":"2100-01-01T00:00:00Z"}}`,
	}
	switch n := r.IntN(10); {
	case n < 4:
		return nil
	case n < 6 && unknown:
		return []string{when(request[r.IntN(len(request))])}
	}
	return []string{when(known[r.IntN(len(known))])}
}

func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

// own are random statements of a user, group or role.
func (v *village) own(r *rand.Rand, unknown bool) string {
	all := []string{allow(pick(r, "*", "*", "kms:*", "s3:*"), "*")}
	for range r.IntN(3) {
		make := []func(string, string, ...string) string{allow, allow, deny}[r.IntN(3)]
		all = append(all, make(pick(r, "secretsmanager:GetSecretValue", "secretsmanager:*", "kms:Decrypt", "kms:*", "*", "*"),
			pick(r, "*", "*", v.secret, v.key, "arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/team}/*", "arn:aws:s3:::b"), v.condition(r, unknown)...))
	}
	return document(all...)
}

// letting are random statements of a resource's policy.
func (v *village) letting(r *rand.Rand, unknown bool, action string) []string {
	all := v.everybody()
	var out []string
	for range 1 + r.IntN(4) {
		make := []func(string, string, ...string) string{allowTo, allowTo, allowTo, allowTo, denyTo}[r.IntN(5)]
		out = append(out, make(all[r.IntN(len(all))], action, v.condition(r, unknown)...))
	}
	return out
}

// shuffle gives everybody other policies.
func (v *village) shuffle(r *rand.Rand, unknown bool) {
	t := v.t
	own := aws.String("own")
	for _, h := range v.accounts {
		for i := range 3 {
			name := aws.String(fmt.Sprint("u", i))
			sure(h.root.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: name, PolicyName: own, PolicyDocument: aws.String(v.own(r, unknown))}))(t)
			if i == 2 && r.IntN(2) == 0 {
				sure(h.root.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: name, PermissionsBoundary: aws.String(pick(r, "arn:aws:iam::aws:policy/SecretsManagerReadWrite", "arn:aws:iam::aws:policy/PowerUserAccess"))}))(t)
			} else if i == 2 {
				sure(h.root.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: name}))(t)
			}
		}
		for i := range 2 {
			sure(h.root.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String(fmt.Sprint("r", i)), PolicyName: own, PolicyDocument: aws.String(v.own(r, unknown))}))(t)
		}
		sure(h.root.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: aws.String("g"), PolicyName: own, PolicyDocument: aws.String(v.own(r, unknown))}))(t)
	}
	sure(v.root.sm.PutResourcePolicy(ctx, &secretsmanager.PutResourcePolicyInput{SecretId: &v.secret, ResourcePolicy: aws.String(document(v.letting(r, unknown, "secretsmanager:GetSecretValue")...))}))(t)
	manage := allowTo(v.root.arn, pick(r, "kms:*", "kms:PutKeyPolicy"), when(`{"StringEquals":{"aws:PrincipalArn":"`+v.root.arn+`"}}`))
	sure(v.root.kms.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &v.key, BypassPolicyLockoutSafetyCheck: true,
		Policy: aws.String(document(append(v.letting(r, unknown, "kms:Decrypt"), manage, allowTo(v.root.arn, "kms:*Grant*"))...))}))(t)
	for _, g := range sure(v.root.kms.ListGrants(ctx, &kms.ListGrantsInput{KeyId: &v.key}))(t).Grants {
		sure(v.root.kms.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: &v.key, GrantId: g.GrantId}))(t)
	}
	if all := v.everybody(); r.IntN(2) == 0 {
		to := all[r.IntN(len(all)-1)]
		if len(to) == 12 {
			to = "arn:aws:iam::" + to + ":root"
		}
		sure(v.root.kms.CreateGrant(ctx, &kms.CreateGrantInput{KeyId: &v.key, GranteePrincipal: &to, Operations: []kmstypes.GrantOperation{kmstypes.GrantOperationDecrypt}}))(t)
	}
}

// reads tries to read the secret as everybody.
func (v *village) reads() map[string]bool {
	v.t.Helper()
	can := map[string]bool{}
	try := func(arn string, c *secretsmanager.Client) {
		_, err := c.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &v.secret})
		var e smithy.APIError
		if err != nil && (!errors.As(err, &e) || e.ErrorCode() != "AccessDeniedException") {
			v.t.Fatalf("%s: %v", arn, err)
		}
		can[arn] = err == nil
	}
	for _, h := range v.accounts {
		for arn, c := range h.calls {
			try(arn, c)
		}
		try("arn:aws:sts::"+h.id+":federated-user/fay", h.fay)
	}
	return can
}

// In accounts with policies at random, who-can says of everybody what a call comes to: yes, if
// and only if it succeeds; and where a request decides, no one who could is left out.
func TestWhoCanAgreesWithCalls(t *testing.T) {
	t.Parallel()
	v := newVillage(t)
	seen := map[string]int{}
	rounds := 120
	if testing.Short() {
		rounds = 20
	}
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 7))
		v.shuffle(r, seed%2 == 1)
		found, can := v.WhoCan(t, "secretsmanager:GetSecretValue", v.secret, "eu-west-1"), v.reads()
		check := func(who string, listed, sure, could bool) {
			switch {
			case could && !listed:
				t.Errorf("seed %d: %s can, and who-can does not say so", seed, who)
			case sure && !could:
				t.Errorf("seed %d: %s cannot, and who-can says so: %+v", seed, who, found[who])
			}
			seen[fmt.Sprint(could, " listed ", listed, " sure ", sure)]++
		}
		told := func(arn string) (listed, sure bool) {
			f, ok := found[arn]
			return ok, ok && len(f.If) == 0 && len(f.Unless) == 0
		}
		for _, h := range v.accounts {
			for _, arn := range append(slices.Clone(h.users), "arn:aws:iam::"+h.id+":root") {
				listed, sure := told(arn)
				if seed%2 == 0 && listed != sure {
					t.Errorf("seed %d: %s: conditions where there are none: %+v", seed, arn, found[arn])
				}
				check(arn, listed, sure, can[arn])
			}
			// Federated users are listed where they are named; by their users they can be anybody.
			if fay := "arn:aws:sts::" + h.id + ":federated-user/fay"; found[fay].Principal != "" {
				_, sure := told(fay)
				check(fay, true, sure, can[fay])
			}
			for i, role := range h.roles {
				listed, sure := told(role)
				for _, session := range []string{"job", "night", "job-blue"}[:2+i] {
					arn := fmt.Sprintf("arn:aws:sts::%s:assumed-role/r%d/%s", h.id, i, session)
					byName, forSure := told(arn)
					check(arn, listed || byName, false, can[arn])
					if forSure && session != "job-blue" && !can[arn] { // whose tag who-can does not know
						t.Errorf("seed %d: %s cannot, and who-can says so by name: %+v", seed, arn, found[arn])
					}
					if session == "night" { // which no policy names
						check(role, listed, sure, can[arn])
					}
				}
			}
		}
		for arn, f := range found {
			if len(f.Through) == 0 || len(f.If) > len(f.Through) {
				t.Errorf("seed %d: %s: %+v", seed, arn, f)
			}
		}
	}
	for _, outcome := range []string{"true listed true sure true", "true listed true sure false", "false listed true sure false", "false listed false sure false"} {
		if seen[outcome] < rounds/10 {
			t.Errorf("%s: %d times; all: %v", outcome, seen[outcome], seen)
		}
	}
	t.Log(seen)
}

package server_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"coffer/internal/coffertest"
	"coffer/internal/iam"
	"coffer/internal/iam/iamtest"
	"coffer/internal/policy"
	"coffer/internal/server"
	"coffer/internal/session"
	"coffer/internal/sigv4"
	"coffer/internal/table"
)

const (
	allowAll   = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	denyRead   = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"secretsmanager:GetSecretValue","Resource":"*"}}`
	allowKMS   = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}`
	denyOthers = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"secretsmanager:*","Resource":"*",
		"Condition":{"StringNotEqualsIfExists":{"aws:PrincipalOrgID":"ORG"}}}}`

	scpDeny = "with an explicit deny in a service control policy"
	rcpDeny = "with an explicit deny in a resource control policy"
)

// world is a server with an organisation: the first account manages it, and prod and
// lab are accounts in /prod and /lab. outside is in none.
type world struct {
	*coffertest.Server
	t                         *testing.T
	org                       *iam.Organization
	main, prod, lab, outside  *secretsmanager.Client // of the accounts' roots
	mainID, prodID, outsideID string
	outsideKeys               server.Credentials
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Server: coffertest.Start(t, coffertest.InMemory()), t: t}
	w.mainID, w.main = w.Credentials.Account, w.SecretsManager(t)
	var prod, lab server.Credentials
	account := func(name string) server.Credentials {
		var c server.Credentials
		w.Change(t, func(tx *table.Tx) error {
			a, k, err := iam.CreateAccount(tx, name, "aws", time.Now())
			if err == nil {
				c = server.Credentials{Account: a.ID, AccessKeyID: k.ID, SecretAccessKey: k.Secret.Reveal()}
			}
			return err
		})
		return c
	}
	prod, lab, w.outsideKeys = account("prod"), account("lab"), account("outside")
	w.prod, w.lab, w.outside = w.root(prod), w.root(lab), w.root(w.outsideKeys)
	w.prodID, w.outsideID = prod.Account, w.outsideKeys.Account
	w.Change(t, func(tx *table.Tx) (err error) {
		if w.org, err = iam.CreateOrganization(tx, w.mainID, time.Now()); err != nil {
			return err
		}
		for _, unit := range []string{"/prod", "/lab"} {
			if _, err = w.org.CreateUnit(tx, unit); err != nil {
				return err
			}
			if _, err = w.org.AddAccount(tx, unit[1:], unit, time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	return w
}

func (w *world) root(c server.Credentials) *secretsmanager.Client {
	return secretsmanager.NewFromConfig(w.ConfigFor("eu-west-1", c))
}

// put makes a control policy and attaches it.
func (w *world) put(name, kind, text string, targets ...string) {
	w.t.Helper()
	w.Change(w.t, func(tx *table.Tx) error {
		_, _, err := w.org.PutControlPolicy(tx, name, kind, "", strings.ReplaceAll(text, "ORG", w.org.ID))
		for _, target := range targets {
			if err == nil {
				_, err = w.org.AttachControlPolicy(tx, name, target)
			}
		}
		return err
	})
}

// as runs one change of the organisation.
func (w *world) as(change func(tx *table.Tx) error) { w.t.Helper(); w.Change(w.t, change) }

func (w *world) detach(name, target string) {
	w.t.Helper()
	w.as(func(tx *table.Tx) error { _, err := w.org.DetachControlPolicy(tx, name, target); return err })
}

// user makes a user of an account who may do everything, and a client for it.
func (w *world) user(account string) *secretsmanager.Client {
	w.t.Helper()
	const id, key, secret = "AIDA22222222222222222", "AKIA2222222222222222", "a secret access key of a test user"
	w.as(func(tx *table.Tx) error {
		if err := iam.Users.Insert(tx, &iam.User{ID: id, Account: account, Name: "alice", Path: "/", Created: table.At(time.Now())}); err != nil {
			return err
		}
		if err := iam.Inlines.Put(tx, &iam.Inline{Owner: id, Policies: []*iam.InlinePolicy{{Name: "all", Text: allowAll}}}); err != nil {
			return err
		}
		if err := iamtest.Count(tx, account, "user"); err != nil {
			return err
		}
		return iam.AccessKeys.Put(tx, &iam.AccessKey{ID: key, Secret: iam.Secret{Text: secret}, Account: account, User: id, Created: table.At(time.Now())})
	})
	return w.root(server.Credentials{AccessKeyID: key, SecretAccessKey: secret})
}

// role makes a role of an account that may do everything, service-linked or not, and
// a client for a session of it.
func (w *world) role(account, name, service string) *secretsmanager.Client {
	w.t.Helper()
	id := ("AROA" + strings.ToUpper(name) + "22222222222222222")[:21]
	w.as(func(tx *table.Tx) error {
		err := iam.Roles.Insert(tx, &iam.Role{
			ID: id, Account: account, Name: name, Path: "/", Created: table.At(time.Now()), MaxSession: 3600, Service: service,
			Trust: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}`,
		})
		if err != nil {
			return err
		}
		if err := iamtest.Count(tx, account, "role"); err != nil {
			return err
		}
		return iam.Inlines.Put(tx, &iam.Inline{Owner: id, Policies: []*iam.InlinePolicy{{Name: "all", Text: allowAll}}})
	})
	key, secret := "ASIA"+id[4:20], "a secret access key of a test session"
	token := w.Seal(w.t, &session.Session{
		Type: policy.AssumedRole, AccessKeyID: key, Secret: session.Secret{Text: sigv4.Secret(secret)}, Account: account, EntityID: id, Entity: name, Name: "test",
		Issued: time.Now().Unix(), Expires: time.Now().Add(time.Hour).Unix(),
	})
	cfg := w.Config("eu-west-1")
	cfg.Credentials = credentials.NewStaticCredentialsProvider(key, secret, token)
	return secretsmanager.NewFromConfig(cfg)
}

// A Deny of a service control policy stops everybody in a member account, but not the
// management account nor service-linked roles. Changes hold for the next call.
func TestServiceControlPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []*secretsmanager.Client{w.main, w.prod, w.lab, w.outside} {
		makeSecret(t, c, "")
	}
	user, role := w.user(w.prodID), w.role(w.prodID, "deploy", "")
	linked := w.role(w.prodID, "linked", "secretsmanager.amazonaws.com")
	allow := func(when string, cs map[string]*secretsmanager.Client) {
		t.Helper()
		for who, c := range cs {
			if err := read(c); err != nil {
				t.Errorf("%s, %s: %v", when, who, err)
			}
		}
	}
	free := map[string]*secretsmanager.Client{"the management account": w.main, "an account outside": w.outside, "a service-linked role": linked}
	bound := map[string]*secretsmanager.Client{"the root": w.prod, "a user": user, "a role": role}
	allow("before", free)
	allow("before", bound)

	w.put("no-reading", "", denyRead, "/")
	allow("denied at the root", free)
	for who, c := range bound {
		if err := read(c); err == nil {
			t.Errorf("%s was not stopped", who)
		} else {
			wantDenied(t, err, "is not authorized to perform: secretsmanager:GetSecretValue on resource: s "+scpDeny)
		}
	}
	wantDenied(t, read(w.lab), scpDeny)
	if _, err := w.prod.DescribeSecret(context.Background(), &secretsmanager.DescribeSecretInput{SecretId: aws.String("s")}); err != nil {
		t.Errorf("another action: %v", err)
	}
	// GetCallerIdentity is everybody's.
	cfg := w.Config("eu-west-1")
	if _, err := sts.NewFromConfig(cfg).GetCallerIdentity(context.Background(), &sts.GetCallerIdentityInput{}); err != nil {
		t.Error(err)
	}

	w.detach("no-reading", "/")
	allow("detached", bound)
	w.as(func(tx *table.Tx) error { _, err := w.org.AttachControlPolicy(tx, "no-reading", "/prod"); return err })
	wantDenied(t, read(user), scpDeny)
	allow("in another unit", map[string]*secretsmanager.Client{"lab": w.lab})
	w.as(func(tx *table.Tx) error { _, err := w.org.MoveAccount(tx, "lab", "/prod"); return err })
	wantDenied(t, read(w.lab), scpDeny)
	w.put("no-reading", "", strings.Replace(denyRead, "GetSecretValue", "DeleteSecret", 1))
	allow("another document", bound)
	w.put("no-reading", "", denyRead)
	wantDenied(t, read(role), scpDeny)
	w.as(func(tx *table.Tx) error { _, err := w.org.RemoveAccount(tx, "prod"); return err })
	allow("taken out", bound)
	wantDenied(t, read(w.lab), scpDeny)
	w.as(func(tx *table.Tx) error { _, err := w.org.AddAccount(tx, "prod", "/prod", time.Now()); return err })
	wantDenied(t, read(w.prod), scpDeny)
}

// Every level must allow: the root, each unit, the account.
func TestEveryLevelMustAllow(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"/", "/prod", "prod"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if level == "prod" {
				level = w.prodID // there is a unit of that name, too
			}
			makeSecret(t, w.prod, "")
			makeSecret(t, w.main, "")
			user := w.user(w.prodID)
			w.put("kms-only", "scp", allowKMS, level)
			if err := read(user); err != nil {
				t.Errorf("beside FullAWSAccess: %v", err)
			}
			w.detach("FullAWSAccess", level)
			for _, c := range []*secretsmanager.Client{w.prod, user} {
				wantDenied(t, read(c), "because no service control policy allows the secretsmanager:GetSecretValue action")
			}
			if err := read(w.main); err != nil {
				t.Errorf("the management account: %v", err)
			}
			w.as(func(tx *table.Tx) error { _, err := w.org.AttachControlPolicy(tx, "FullAWSAccess", level); return err })
			if err := read(user); err != nil {
				t.Errorf("FullAWSAccess attached again: %v", err)
			}
		})
	}
}

// Conditions of service control policies see the request.
func TestServiceControlConditions(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	w.put("regions", "", `{"Version":"2012-10-17","Statement":{"Effect":"Deny","NotAction":"iam:*","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":"eu-west-1"}}}}`, "/prod")
	if _, err := w.prod.ListSecrets(ctx, &secretsmanager.ListSecretsInput{}); err != nil {
		t.Error(err)
	}
	_, err := w.prod.ListSecrets(ctx, &secretsmanager.ListSecretsInput{}, func(o *secretsmanager.Options) { o.Region = "eu-west-2" })
	wantDenied(t, err, "is not authorized to perform: secretsmanager:ListSecrets "+scpDeny)
}

// A resource control policy on the account that owns a secret stops others whom the
// secret's policy lets in; of the management account's secrets it is not.
func TestResourceControlPolicies(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	shared := func(owner *secretsmanager.Client, account string) string {
		t.Helper()
		key := kms.NewFromConfig(w.Config("eu-west-1"), func(o *kms.Options) { o.Credentials = owner.Options().Credentials })
		k, err := key.CreateKey(ctx, &kms.CreateKeyInput{
			Policy: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["` + account + `","` + w.outsideID + `"]},"Action":"kms:*","Resource":"*"}]}`),
		})
		if err != nil {
			t.Fatal(err)
		}
		s, err := owner.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("shared"), SecretString: aws.String("v"), KmsKeyId: k.KeyMetadata.Arn})
		if err != nil {
			t.Fatal(err)
		}
		_, err = owner.PutResourcePolicy(ctx, &secretsmanager.PutResourcePolicyInput{SecretId: s.ARN, ResourcePolicy: aws.String(
			`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":["` + w.outsideID + `","` + w.mainID + `"]},"Action":"secretsmanager:GetSecretValue","Resource":"*"}}`)})
		if err != nil {
			t.Fatal(err)
		}
		return *s.ARN
	}
	ofProd, ofMain := shared(w.prod, w.prodID), shared(w.main, w.mainID)
	from := func(c *secretsmanager.Client, secret string) error {
		_, err := c.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &secret})
		return err
	}
	for _, secret := range []string{ofProd, ofMain} {
		if err := from(w.outside, secret); err != nil {
			t.Fatalf("before: %v", err)
		}
	}
	w.put("ours-only", "rcp", denyOthers, "/")
	wantDenied(t, from(w.outside, ofProd), "is not authorized to perform: secretsmanager:GetSecretValue on resource: "+ofProd+" "+rcpDeny)
	if err := from(w.outside, ofMain); err != nil {
		t.Errorf("the management account's secret: %v", err)
	}
	if err := from(w.prod, ofProd); err != nil {
		t.Errorf("the owner: %v", err)
	}
	// An account that joins is one of ours from the next call on.
	w.as(func(tx *table.Tx) error { _, err := w.org.AddAccount(tx, "outside", "/lab", time.Now()); return err })
	if err := from(w.outside, ofProd); err != nil {
		t.Errorf("after joining: %v", err)
	}
	w.as(func(tx *table.Tx) error { _, err := w.org.RemoveAccount(tx, "outside"); return err })
	wantDenied(t, from(w.outside, ofProd), rcpDeny)
	w.detach("ours-only", "/")
	if err := from(w.outside, ofProd); err != nil {
		t.Errorf("detached: %v", err)
	}

	// What concerns no resource is not restricted; an own root is, as everybody is.
	w.put("nobody", "rcp", `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"secretsmanager:*","Resource":"*"}}`, "/prod")
	wantDenied(t, from(w.prod, ofProd), rcpDeny)
	if _, err := w.prod.ListSecrets(ctx, &secretsmanager.ListSecretsInput{}); err != nil {
		t.Errorf("ListSecrets: %v", err)
	}
	if err := from(w.role(w.prodID, "linked", "secretsmanager.amazonaws.com"), ofProd); err != nil {
		t.Errorf("a service-linked role: %v", err)
	}
}

// Policies of secrets can ask for the organisation of who calls and of what is called.
func TestOrganizationConditions(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		condition string // of a Deny on each account's own secret
		denied    string // whom it stops
	}{
		"of the organisation": {`"StringEquals":{"aws:PrincipalOrgID":"ORG"}`, "prod lab"},
		"not of it":           {`"StringNotEqualsIfExists":{"aws:PrincipalOrgID":"ORG"}`, "outside"},
		"of none":             {`"Null":{"aws:PrincipalOrgID":"true"}`, "outside"},
		"below the root":      {`"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"ORG/ROOT/*"}`, "prod lab"},
		"in a unit":           {`"ForAnyValue:StringEquals":{"aws:PrincipalOrgPaths":"ORG/ROOT/PROD/"}`, "prod"},
		"what is of it":       {`"StringEquals":{"aws:ResourceOrgID":"ORG"}`, "prod lab"},
		"what is in a unit":   {`"ForAnyValue:StringEquals":{"aws:ResourceOrgPaths":"ORG/ROOT/PROD/"}`, "prod"},
		"what is of another":  {`"StringEquals":{"aws:ResourceOrgID":"o-0000000000"}`, ""},
		"of one's own":        {`"StringEquals":{"aws:ResourceOrgID":"${aws:PrincipalOrgID}"}`, "prod lab"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var unit string
			w.as(func(tx *table.Tx) error {
				root, err := w.org.Describe(tx)
				for _, n := range root.In {
					if n.Name == "prod" {
						unit = n.ID
					}
				}
				return err
			})
			condition := strings.NewReplacer("ORG", w.org.ID, "ROOT", w.org.Root, "PROD", unit).Replace(tc.condition)
			for who, c := range map[string]*secretsmanager.Client{"prod": w.prod, "lab": w.lab, "outside": w.outside} {
				makeSecret(t, c, `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"secretsmanager:GetSecretValue","Resource":"*","Condition":{`+condition+`}}}`)
				err := read(c)
				if denied := slices.Contains(strings.Fields(tc.denied), who); (err != nil) != denied {
					t.Errorf("%s: %v, want denied %v", who, err, denied)
				}
			}
		})
	}
}

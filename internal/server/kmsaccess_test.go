package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"coffer/internal/cli"
	"coffer/internal/coffertest"
	"coffer/internal/gateway"
	"coffer/internal/iam"
	"coffer/internal/iam/iamtest"
	"coffer/internal/material"
	"coffer/internal/policy"
	"coffer/internal/server"
	"coffer/internal/session"
	"coffer/internal/sigv4"
	"coffer/internal/table"
)

// keyholders is a server with two accounts, and their users and roles, who may or may not use
// keys: what is decided about KMS, through the front door.
type keyholders struct {
	*coffertest.Server
	t            *testing.T
	ours, theirs string
	root, other  holder // the roots of both
	otherConfig  aws.Config
}

// holder is somebody who calls.
type holder struct {
	arn, id string // of the user or role; of a root or session, the caller's ARN and nothing
	kms     *kms.Client
	sm      *secretsmanager.Client
}

const unusedSecret = "0123456789012345678901234567890123456789" // of access keys that live as long as a test

func newKeyholders(t *testing.T) *keyholders {
	t.Helper()
	w := &keyholders{Server: coffertest.Start(t, coffertest.InMemory()), t: t}
	w.ours = w.Credentials.Account
	w.root = w.holder("arn:aws:iam::"+w.ours+":root", "", w.Config("eu-west-1"))
	var keys *iam.AccessKey
	w.Change(t, func(tx *table.Tx) (err error) {
		_, keys, err = iam.CreateAccount(tx, "other", "aws", time.Now())
		return err
	})
	w.theirs = keys.Account
	w.otherConfig = w.ConfigFor("eu-west-1", server.Credentials{AccessKeyID: keys.ID, SecretAccessKey: keys.Secret.Reveal()})
	w.other = w.holder("arn:aws:iam::"+w.theirs+":root", "", w.otherConfig)
	return w
}

func (w *keyholders) holder(arn, id string, cfg aws.Config) holder {
	return holder{arn, id, kms.NewFromConfig(cfg), secretsmanager.NewFromConfig(cfg)}
}

func uniqueID(prefix, account, name string) string {
	return prefix + account + strings.ToUpper(strings.ReplaceAll(name, "-", ""))
}

// may writes the inline policy of a user or role: these statements.
func may(tx *table.Tx, id string, statements []string) error {
	if len(statements) == 0 {
		return nil
	}
	return iam.Inlines.Put(tx, &iam.Inline{Owner: id, Policies: []*iam.InlinePolicy{{Name: "own", Text: document(statements...)}}})
}

func document(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// allow is a statement of an identity policy.
func allow(action, resource string, more ...string) string {
	return statement("Allow", `"Action":"`+action+`","Resource":"`+resource+`"`, more)
}

func deny(action, resource string, more ...string) string {
	return statement("Deny", `"Action":"`+action+`","Resource":"`+resource+`"`, more)
}

// allowTo is a statement of a key policy, about one principal.
func allowTo(arn, action string, more ...string) string {
	return statement("Allow", `"Principal":{"AWS":"`+arn+`"},"Action":"`+action+`","Resource":"*"`, more)
}

func denyTo(arn, action string, more ...string) string {
	return statement("Deny", `"Principal":{"AWS":"`+arn+`"},"Action":"`+action+`","Resource":"*"`, more)
}

func statement(effect, members string, more []string) string {
	return `{"Effect":"` + effect + `",` + members + strings.Join(append([]string{""}, more...), ",") + `}`
}

func when(condition string) string { return `"Condition":` + condition }

// user makes a user with these statements as its policy.
func (w *keyholders) user(account, name string, statements ...string) holder {
	w.t.Helper()
	u := &iam.User{ID: uniqueID("AIDA", account, name), Account: account, Name: name, Path: "/", Created: table.At(time.Now())}
	key := uniqueID("AKIA", account, name)
	w.Change(w.t, func(tx *table.Tx) error {
		return errors.Join(iam.Users.Put(tx, u), iamtest.Count(tx, account, "user"), may(tx, u.ID, statements),
			iam.AccessKeys.Put(tx, &iam.AccessKey{ID: key, Secret: iam.Secret{Text: unusedSecret}, Account: account, User: u.ID, Created: u.Created}))
	})
	return w.holder(u.ARN("aws"), u.ID, w.ConfigFor("eu-west-1", server.Credentials{AccessKeyID: key, SecretAccessKey: unusedSecret}))
}

// role makes a role with these statements as its policy. Nobody calls as a role: see session.
func (w *keyholders) role(account, name string, statements ...string) holder {
	w.t.Helper()
	r := &iam.Role{ID: uniqueID("AROA", account, name), Account: account, Name: name, Path: "/svc/", Created: table.At(time.Now()), MaxSession: 3600,
		Trust: document(`{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sts:AssumeRole"}`)}
	w.Change(w.t, func(tx *table.Tx) error {
		return errors.Join(iam.Roles.Put(tx, r), iamtest.Count(tx, account, "role"), may(tx, r.ID, statements))
	})
	return holder{arn: r.ARN("aws"), id: r.ID}
}

// session is a session of a role; statements, if any, are its session policy.
func (w *keyholders) session(role holder, name string, statements ...string) holder {
	account := strings.Split(role.arn, ":")[4]
	s := &session.Session{Type: policy.AssumedRole, Account: account, EntityID: role.id, Entity: strings.SplitN(role.arn, "role/", 2)[1], Name: name}
	return w.temporary(s, statements)
}

// federated is a federated user of a user.
func (w *keyholders) federated(user holder, name string, statements ...string) holder {
	account := strings.Split(user.arn, ":")[4]
	s := &session.Session{Type: policy.FederatedSession, Account: account, EntityID: user.id, Name: name, Restricted: true}
	return w.temporary(s, statements)
}

func (w *keyholders) temporary(s *session.Session, statements []string) holder {
	w.t.Helper()
	s.AccessKeyID, s.Secret = "ASIA"+s.EntityID+strings.ToUpper(s.Name)+fmt.Sprint(len(statements)), session.Secret{Text: sigv4.Secret(unusedSecret)}
	s.Issued, s.Expires = time.Now().Unix(), time.Now().Add(time.Hour).Unix()
	if len(statements) > 0 {
		s.Policy, s.Restricted = document(statements...), true
	}
	cfg := w.Config("eu-west-1")
	cfg.Credentials = credentials.NewStaticCredentialsProvider(s.AccessKeyID, unusedSecret, w.Seal(w.t, s))
	return w.holder(s.Names("aws").ARN, "", cfg)
}

// key makes a key of our account, with these statements as its policy, or the default one.
func (w *keyholders) key(statements ...string) string {
	w.t.Helper()
	in := &kms.CreateKeyInput{BypassPolicyLockoutSafetyCheck: true}
	if len(statements) > 0 {
		in.Policy = aws.String(document(statements...))
	}
	return *sure(w.root.kms.CreateKey(context.Background(), in))(w.t).KeyMetadata.Arn
}

func (w *keyholders) accountMay() string { return allowTo("arn:aws:iam::"+w.ours+":root", "kms:*") }

func (w *keyholders) grant(key string, to holder, operations ...types.GrantOperation) string {
	w.t.Helper()
	return *sure(w.root.kms.CreateGrant(context.Background(), &kms.CreateGrantInput{KeyId: &key, GranteePrincipal: &to.arn, Operations: operations}))(w.t).GrantId
}

// sure is the answer of a call that has to succeed.
func sure[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (h holder) encrypt(key string, context ...string) error {
	_, err := h.kms.Encrypt(ctx, &kms.EncryptInput{KeyId: &key, Plaintext: []byte("x"), EncryptionContext: contextOf(context)})
	return err
}

func (h holder) describe(key string) error {
	_, err := h.kms.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &key})
	return err
}

func (h holder) publicKey(key string) error {
	_, err := h.kms.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: &key})
	return err
}

var ctx = context.Background()

func contextOf(pairs []string) map[string]string {
	if len(pairs) == 0 {
		return nil
	}
	m := map[string]string{}
	for _, pair := range pairs {
		k, v, _ := strings.Cut(pair, "=")
		m[k] = v
	}
	return m
}

const (
	byResource = "because no resource-based policy allows the kms:%s action"
	byIdentity = "because no identity-based policy allows the kms:%s action"
	byBoundary = "because no permissions boundary allows the kms:%s action"
	bySession  = "because no session policy allows the kms:%s action"
	denyKey    = "with an explicit deny in a resource-based policy"
	denyOwn    = "with an explicit deny in an identity-based policy"

	aboutCiphertext = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."
)

// denied is the whole text of a denial.
func (h holder) denied(action, resource, why string) string {
	if strings.Contains(why, "%s") {
		why = fmt.Sprintf(why, action)
	}
	return "User: " + h.arn + " is not authorized to perform: kms:" + action + " on resource: " + resource + " " + why
}

// answers checks that err is AccessDeniedException with this text, or nothing for no text.
func answers(t *testing.T, what string, err error, text string) {
	t.Helper()
	var e smithy.APIError
	switch {
	case text == "" && err == nil:
	case text == "" || err == nil || !errors.As(err, &e):
		t.Errorf("%s:\n got %v\nwant %q", what, err, text)
	case e.ErrorCode() != "AccessDeniedException" || e.ErrorMessage() != text:
		t.Errorf("%s:\n got %s: %s\nwant AccessDeniedException: %s", what, e.ErrorCode(), e.ErrorMessage(), text)
	}
}

// may checks that h may Encrypt under the key, or why not.
func (h holder) may(t *testing.T, what, key, why string, context ...string) {
	t.Helper()
	text := ""
	if why != "" {
		text = h.denied("Encrypt", key, why)
	}
	answers(t, what, h.encrypt(key, context...), text)
}

// A key policy names users, roles and sessions directly, or leaves it to IAM.
func TestKeyPolicyDecides(t *testing.T) {
	t.Parallel()
	w := newKeyholders(t)
	alice, bob := w.user(w.ours, "alice"), w.user(w.ours, "bob")
	admin := w.user(w.ours, "admin", allow("*", "*"))
	app := w.role(w.ours, "app")
	job, restricted := w.session(app, "job"), w.session(app, "small", allow("kms:Decrypt", "*"))
	fed := w.federated(admin, "carol", allow("kms:*", "*"))

	delegating := w.key()
	w.root.may(t, "the root, by the default policy", delegating, "")
	admin.may(t, "an administrator, by the default policy", delegating, "")
	fed.may(t, "a federated user of the administrator", delegating, "")
	alice.may(t, "a user without policies", delegating, byIdentity)
	job.may(t, "a role without policies", delegating, byIdentity)
	w.other.may(t, "another account's root", delegating, byResource)

	named := w.key(allowTo(alice.arn, "kms:Encrypt"), allowTo(app.arn, "kms:Encrypt"), allowTo(w.root.arn, "kms:DescribeKey"))
	alice.may(t, "a user that is named", named, "")
	job.may(t, "a session of a role that is named", named, "")
	restricted.may(t, "a session whose policy is silent", named, bySession)
	bob.may(t, "a user that is not named", named, byResource)
	answers(t, "for another operation", alice.describe(named), alice.denied("DescribeKey", named, byIdentity))

	// Without the account in the key policy IAM has no say, and the root none either.
	w.root.may(t, "the root, locked out", named, byResource)
	admin.may(t, "an administrator, locked out", named, byResource)
	_, err := w.root.kms.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &named, Policy: aws.String(document(w.accountMay()))})
	answers(t, "the root cannot mend it", err, w.root.denied("PutKeyPolicy", named, byResource))
	answers(t, "as far as the account is named", admin.describe(named), "")

	session := w.key(w.accountMay(), allowTo(restricted.arn, "kms:Encrypt"))
	restricted.may(t, "a session that is named", session, "")
	job.may(t, "another session of the role", session, byIdentity)

	refusing := w.key(w.accountMay(), denyTo(admin.arn, "kms:Encrypt"))
	admin.may(t, "a Deny in the key policy", refusing, denyKey)
	careful := w.user(w.ours, "careful", allow("kms:*", "*"), deny("kms:Encrypt", delegating))
	careful.may(t, "a Deny in the identity policy", delegating, denyOwn)

	// A change is in force for the next call.
	changing := w.key(w.accountMay(), allowTo(bob.arn, "kms:Encrypt"))
	bob.may(t, "before", changing, "")
	put := func(statements ...string) {
		t.Helper()
		sure(w.root.kms.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &changing, Policy: aws.String(document(statements...))}))(t)
	}
	put(w.accountMay())
	bob.may(t, "withdrawn", changing, byIdentity)
	put(w.accountMay(), allowTo(bob.arn, "kms:Encrypt"))
	bob.may(t, "given back", changing, "")
	put(w.accountMay(), allowTo(bob.arn, "kms:Encrypt"), denyTo(bob.arn, "kms:*"))
	bob.may(t, "denied", changing, denyKey)
}

// The texts of denials, where they are not those of everybody.
func TestKMSDenials(t *testing.T) {
	t.Parallel()
	w := newKeyholders(t)
	alice := w.user(w.ours, "alice")
	key, locked := w.key(), w.key(allowTo("arn:aws:iam::"+w.ours+":root", "kms:Encrypt"))
	blobOf := func(key string) []byte {
		return sure(w.root.kms.Encrypt(ctx, &kms.EncryptInput{KeyId: &key, Plaintext: []byte("x")}))(t).CiphertextBlob
	}
	decrypt := func(h holder, in kms.DecryptInput) error { _, err := h.kms.Decrypt(ctx, &in); return err }
	blob, lockedBlob := blobOf(key), blobOf(locked)
	answers(t, "Decrypt by KeyId", decrypt(alice, kms.DecryptInput{KeyId: &key, CiphertextBlob: blob}), alice.denied("Decrypt", key, byIdentity))
	answers(t, "Decrypt by KeyId, where the key policy lacks it", decrypt(alice, kms.DecryptInput{KeyId: &locked, CiphertextBlob: lockedBlob}), alice.denied("Decrypt", locked, byResource))
	answers(t, "Decrypt without KeyId", decrypt(alice, kms.DecryptInput{CiphertextBlob: blob}), aboutCiphertext)
	answers(t, "and of the root", decrypt(w.root, kms.DecryptInput{CiphertextBlob: lockedBlob}), aboutCiphertext)
	_, err := alice.kms.ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: &key})
	answers(t, "ReEncrypt without SourceKeyId", err, aboutCiphertext)
	_, err = alice.kms.ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: blob, SourceKeyId: &key, DestinationKeyId: &key})
	answers(t, "ReEncrypt", err, alice.denied("ReEncryptFrom", key, byIdentity))
	from := w.user(w.ours, "from", allow("kms:ReEncryptFrom", key))
	_, err = from.kms.ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: &key})
	answers(t, "ReEncrypt to", err, from.denied("ReEncryptTo", key, byIdentity))
	_, err = alice.kms.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: &locked, KeySpec: types.DataKeySpecAes256})
	answers(t, "GenerateDataKey", err, alice.denied("GenerateDataKey", locked, byResource))
	_, err = alice.kms.ListKeys(ctx, &kms.ListKeysInput{})
	answers(t, "no resource", err, "User: "+alice.arn+" is not authorized to perform: kms:ListKeys because no identity-based policy allows the kms:ListKeys action")
}

// A ciphertext is enough to find its key, also one of another account; and to who may not use
// it, that key is as one that is nowhere.
func TestCiphertextsOfOtherAccounts(t *testing.T) {
	t.Parallel()
	w := newKeyholders(t)
	bob := w.user(w.theirs, "bob", allow("kms:*", "*"))
	eve := w.user(w.theirs, "eve", allow("kms:*", "*"))
	key := w.key(w.accountMay(), allowTo(bob.arn, "kms:Decrypt"), allowTo(bob.arn, "kms:ReEncryptFrom"))
	granted, own := w.key(), *sure(w.other.kms.CreateKey(ctx, &kms.CreateKeyInput{}))(t).KeyMetadata.Arn
	w.grant(granted, bob, types.GrantOperationDecrypt)
	blobOf := func(key string) []byte {
		return sure(w.root.kms.Encrypt(ctx, &kms.EncryptInput{KeyId: &key, Plaintext: []byte("x")}))(t).CiphertextBlob
	}
	blob, byGrant := blobOf(key), blobOf(granted)
	for what, b := range map[string][]byte{"by the key's policy": blob, "by a grant": byGrant} {
		out := sure(bob.kms.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: b}))(t)
		if string(out.Plaintext) != "x" || !strings.Contains(*out.KeyId, ":"+w.ours+":key/") {
			t.Errorf("%s: %+v", what, out)
		}
	}
	sure(bob.kms.ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: &own}))(t)
	_, err := bob.kms.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"a": "b"}})
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != "InvalidCiphertextException" {
		t.Errorf("another context: %v", err)
	}

	// The same blob under the id of no key.
	absent := slices.Clone(blob)
	id, _, err := material.Parse(blob)
	if err != nil || !strings.HasSuffix(key, id) {
		t.Fatal(id, err)
	}
	for i := range absent {
		absent[i] ^= 1
		if other, _, err := material.Parse(absent); err == nil && other != id && !strings.HasPrefix(other, "mrk-") {
			break
		}
		absent[i] ^= 1
	}
	nowhere := "nowhere"
	for _, h := range []holder{eve, w.other, bob} {
		for what, b := range map[string][]byte{"denied": blob, "absent": absent} {
			if h.arn == bob.arn && what == "denied" {
				continue // he may
			}
			_, err := h.kms.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: b})
			answers(t, what+": Decrypt by "+h.arn, err, aboutCiphertext)
			_, err = h.kms.ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: b, DestinationKeyId: &own})
			answers(t, what+": ReEncrypt by "+h.arn, err, aboutCiphertext)
			// What else is wrong is told, or not, alike.
			_, err = h.kms.ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: b, DestinationKeyId: &nowhere})
			if !errors.As(err, &e) || e.ErrorCode() != "NotFoundException" {
				t.Errorf("%s: ReEncrypt to nowhere: %v", what, err)
			}
			_, err = h.kms.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: b, Recipient: &types.RecipientInfo{AttestationDocument: []byte("x")}})
			if !errors.As(err, &e) || e.ErrorCode() != "UnsupportedOperationException" {
				t.Errorf("%s: Decrypt for an enclave: %v", what, err)
			}
		}
	}
}

// Whom a grant serves, and with which other permissions.
func TestGrantsDecide(t *testing.T) {
	t.Parallel()
	w := newKeyholders(t)
	alice, bob := w.user(w.ours, "alice"), w.user(w.ours, "bob")
	app := w.role(w.ours, "app")
	job, other := w.session(app, "job"), w.session(app, "other")
	small := w.session(app, "small", allow("kms:Decrypt", "*"))
	fed := w.federated(alice, "carol", allow("kms:Encrypt", "*"))
	fedBare := w.federated(alice, "dave")
	able := w.user(w.ours, "able", allow("kms:Encrypt", "*"))
	visitor, visitorAble := w.user(w.theirs, "visitor"), w.user(w.theirs, "able", allow("kms:Encrypt", "*"))
	visiting := w.session(w.role(w.theirs, "guest"), "x")
	locked := allowTo(w.root.arn, "kms:CreateGrant") // nobody but grantees may use the key

	type verdicts map[*holder]string
	everybody := []*holder{&alice, &bob, &job, &other, &small, &fed, &fedBare, &able, &w.root, &visitor, &visitorAble, &visiting, &w.other}
	for _, tc := range []struct {
		grantee string
		may     verdicts // the others may not: "no resource-based policy"
	}{
		{alice.arn, verdicts{&alice: "", &fed: "", &fedBare: bySession}},
		{app.arn, verdicts{&job: "", &other: "", &small: bySession}},
		{job.arn, verdicts{&job: ""}},
		{small.arn, verdicts{&small: ""}}, // a session that is named itself is not limited by its session policy
		{fed.arn, verdicts{&fed: ""}},
		{w.root.arn, verdicts{&w.root: "", &able: ""}},
		{visitor.arn, verdicts{&visitor: ""}},
		{strings.Replace(app.arn, w.ours+":role/svc/app", w.theirs+":role/svc/guest", 1), verdicts{&visiting: ""}},
		{w.other.arn, verdicts{&w.other: "", &visitorAble: ""}},
		{"ec2.amazonaws.com", verdicts{}},
	} {
		key := w.key(locked)
		grantee := holder{arn: tc.grantee}
		id := w.grant(key, grantee, types.GrantOperationEncrypt, types.GrantOperationDescribeKey)
		for _, who := range everybody {
			why, named := tc.may[who]
			if !named {
				why = byResource
			}
			who.may(t, who.arn+" by a grant to "+tc.grantee, key, why)
		}
		for who, why := range tc.may {
			if why != "" || who == &able || who == &visitorAble || who == &fed {
				continue // for want of another permission
			}
			answers(t, "another operation of the grant", who.describe(key), "")
			answers(t, "an operation that is not of it", who.publicKey(key), who.denied("GetPublicKey", key, byResource))
		}
		// It ends at once.
		sure(w.root.kms.RetireGrant(ctx, &kms.RetireGrantInput{KeyId: &key, GrantId: &id}))(t)
		for who := range tc.may {
			who.may(t, who.arn+" after the grant", key, byResource)
		}
	}

	// An explicit Deny wins, wherever it stands.
	careful := w.user(w.ours, "careful", deny("kms:Encrypt", "*"))
	key := w.key(locked, denyTo(bob.arn, "kms:Encrypt"))
	w.grant(key, bob, types.GrantOperationEncrypt)
	w.grant(key, careful, types.GrantOperationEncrypt)
	bob.may(t, "a Deny in the key policy", key, denyKey)
	careful.may(t, "a Deny in the identity policy", key, denyOwn)

	// A boundary limits the role, not the session that is named.
	w.Change(t, func(tx *table.Tx) error {
		r, err := iam.Roles.Load(tx, table.K(app.id))
		if err != nil {
			return err
		}
		p := &iam.ManagedPolicy{ID: "ANPAEXAMPLE", Account: w.ours, Name: "edge", Path: "/", Default: 1, Next: 2, Versions: []iam.PolicyVersion{{Number: 1}}}
		d := &iam.PolicyDocument{PolicyID: p.ID, Number: 1, Text: document(allow("kms:Decrypt", "*"))}
		r.Boundary = p.ARN("aws")
		return errors.Join(iam.ManagedPolicies.Put(tx, p), iam.PolicyDocuments.Put(tx, d), iamtest.Count(tx, w.ours, "policy", "policy-version"),
			iam.PolicyUses.Put(tx, &iam.PolicyUse{Account: w.ours, ARN: r.Boundary, Boundaries: 1}), iam.Roles.Put(tx, r), iam.Epochs.Put(tx, &iam.Epoch{Of: w.ours, N: 1_000_000}))
	})
	w.grant(key, app, types.GrantOperationEncrypt)
	job.may(t, "a boundary that is silent", key, byBoundary)
	w.grant(key, job, types.GrantOperationEncrypt)
	job.may(t, "and a grant to the session", key, "")
}

// A user or role under the name of another has none of its grants.
func TestGrantsAreNotForNamesakes(t *testing.T) {
	t.Parallel()
	w := newKeyholders(t)
	app := w.role(w.ours, "app")
	job := w.session(app, "job")
	key := w.key()
	w.grant(key, app, types.GrantOperationEncrypt)
	w.grant(key, job, types.GrantOperationEncrypt)
	job.may(t, "the role", key, "")
	again := app
	again.id += "AGAIN"
	w.Change(t, func(tx *table.Tx) error {
		r, err := iam.Roles.Load(tx, table.K(app.id))
		if err != nil {
			return err
		}
		if err := iam.Roles.Delete(tx, table.K(app.id)); err != nil {
			return err
		}
		r.ID = again.id
		return errors.Join(iam.Roles.Put(tx, r), iam.Epochs.Put(tx, &iam.Epoch{Of: w.ours, N: 1_000_000}))
	})
	w.session(again, "job").may(t, "its namesake", key, byIdentity)
	var shown []string
	for _, g := range sure(w.root.kms.ListGrants(ctx, &kms.ListGrantsInput{KeyId: &key}))(t).Grants {
		shown = append(shown, *g.GranteePrincipal)
	}
	slices.Sort(shown)
	if want := []string{app.id, app.id + ":job"}; !slices.Equal(shown, want) {
		t.Errorf("shown as %v, want %v", shown, want)
	}
}

// Constraints are compared with the encryption context of the request.
func TestGrantConstraints(t *testing.T) {
	t.Parallel()
	w := newKeyholders(t)
	alice := w.user(w.ours, "alice")
	for _, tc := range []struct {
		constraint types.GrantConstraints
		holds, not [][]string
	}{
		{types.GrantConstraints{EncryptionContextEquals: map[string]string{"Department": "IT", "Purpose": "Test"}},
			[][]string{{"Purpose=Test", "Department=IT"}},
			[][]string{nil, {"Department=IT"}, {"Department=IT", "Purpose=Test", "More=1"}, {"department=IT", "Purpose=Test"}, {"Department=it", "Purpose=Test"}, {"Department=Test", "Purpose=IT"}}},
		{types.GrantConstraints{EncryptionContextSubset: map[string]string{"Department": "IT"}},
			[][]string{{"Department=IT"}, {"Department=IT", "More=1"}},
			[][]string{nil, {"More=1"}, {"Department=HR"}, {"department=IT"}}},
		{types.GrantConstraints{EncryptionContextEquals: map[string]string{}}, [][]string{nil}, [][]string{{"More=1"}}},
	} {
		key := w.key()
		sure(w.root.kms.CreateGrant(ctx, &kms.CreateGrantInput{KeyId: &key, GranteePrincipal: &alice.arn, Constraints: &tc.constraint,
			Operations: []types.GrantOperation{types.GrantOperationEncrypt, types.GrantOperationDecrypt, types.GrantOperationDescribeKey}}))(t)
		for _, pairs := range tc.holds {
			alice.may(t, fmt.Sprint(tc.constraint, pairs), key, "", pairs...)
			blob := sure(alice.kms.Encrypt(ctx, &kms.EncryptInput{KeyId: &key, Plaintext: []byte("x"), EncryptionContext: contextOf(pairs)}))(t).CiphertextBlob
			sure(alice.kms.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: contextOf(pairs)}))(t)
			_, err := alice.kms.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"Department": "X"}})
			answers(t, "Decrypt with another context", err, aboutCiphertext)
		}
		for _, pairs := range tc.not {
			alice.may(t, fmt.Sprint(tc.constraint, pairs), key, byIdentity, pairs...)
		}
		answers(t, "no encryption context, no constraint", alice.describe(key), "")
	}
}

// Who may make grants by a grant makes none that are wider.
func TestGrantsByGrantees(t *testing.T) {
	t.Parallel()
	w := newKeyholders(t)
	alice, bob := w.user(w.ours, "alice"), w.user(w.ours, "bob")
	admin := w.user(w.ours, "admin", allow("kms:CreateGrant", "*"))
	give := func(by, to holder, key string, constraint *types.GrantConstraints, operations ...types.GrantOperation) error {
		_, err := by.kms.CreateGrant(ctx, &kms.CreateGrantInput{KeyId: &key, GranteePrincipal: &to.arn, Constraints: constraint, Operations: operations})
		return err
	}
	const encrypt, decrypt, create, describe = types.GrantOperationEncrypt, types.GrantOperationDecrypt, types.GrantOperationCreateGrant, types.GrantOperationDescribeKey
	equals := func(pairs ...string) *types.GrantConstraints {
		return &types.GrantConstraints{EncryptionContextEquals: contextOf(pairs)}
	}
	subset := func(pairs ...string) *types.GrantConstraints {
		return &types.GrantConstraints{EncryptionContextSubset: contextOf(pairs)}
	}
	for _, tc := range []struct {
		name          string
		parent, child *types.GrantConstraints
		operations    []types.GrantOperation
		may           bool
	}{
		{"the same", nil, nil, []types.GrantOperation{encrypt, decrypt, create}, true},
		{"fewer operations", nil, nil, []types.GrantOperation{decrypt}, true},
		{"another operation", nil, nil, []types.GrantOperation{decrypt, describe}, false},
		{"a constraint more", nil, subset("a=1"), []types.GrantOperation{decrypt}, true},
		{"the same subset", subset("a=1"), subset("a=1"), []types.GrantOperation{decrypt}, true},
		{"more pairs", subset("a=1"), subset("a=1", "b=2"), []types.GrantOperation{decrypt}, true},
		{"fewer pairs", subset("a=1", "b=2"), subset("a=1"), []types.GrantOperation{decrypt}, false},
		{"other pairs", subset("a=1"), subset("a=2"), []types.GrantOperation{decrypt}, false},
		{"exactly, for at least", subset("a=1"), equals("a=1", "b=2"), []types.GrantOperation{decrypt}, true},
		{"exactly without the pair", subset("a=1"), equals("b=2"), []types.GrantOperation{decrypt}, false},
		{"at least, for exactly", equals("a=1"), subset("a=1"), []types.GrantOperation{decrypt}, false},
		{"the same exactly", equals("a=1"), equals("a=1"), []types.GrantOperation{decrypt}, true},
		{"more, exactly", equals("a=1"), equals("a=1", "b=2"), []types.GrantOperation{decrypt}, false},
		{"no constraint for one", subset("a=1"), nil, []types.GrantOperation{decrypt}, false},
		{"an empty one for one", subset("a=1"), &types.GrantConstraints{EncryptionContextSubset: map[string]string{}}, []types.GrantOperation{decrypt}, false},
	} {
		key := w.key()
		if err := give(w.root, alice, key, tc.parent, encrypt, decrypt, create); err != nil {
			t.Fatal(err)
		}
		text := ""
		if !tc.may {
			text = alice.denied("CreateGrant", key, byIdentity)
		}
		answers(t, tc.name, give(alice, bob, key, tc.child, tc.operations...), text)
		answers(t, tc.name+", by policy", give(admin, bob, key, tc.child, tc.operations...), "")
	}

	// Any of several grants will do, and a child can have children within its own bounds.
	key := w.key()
	for _, constraint := range []*types.GrantConstraints{subset("a=1"), subset("b=2")} {
		if err := give(w.root, alice, key, constraint, encrypt, create); err != nil {
			t.Fatal(err)
		}
	}
	answers(t, "by the second", give(alice, bob, key, subset("b=2", "c=3"), encrypt, create), "")
	answers(t, "by a child", give(bob, alice, key, equals("b=2", "c=3"), encrypt), "")
	answers(t, "by a child, wider", give(bob, alice, key, subset("b=2"), encrypt), bob.denied("CreateGrant", key, byIdentity))
}

// The grant says who may retire it; of policies, only those in the caller's own account.
func TestWhoRetiresGrants(t *testing.T) {
	t.Parallel()
	w := newKeyholders(t)
	alice, bob := w.user(w.ours, "alice"), w.user(w.ours, "bob")
	idle := w.user(w.ours, "idle")
	app := w.session(w.role(w.ours, "app"), "job")
	gardener := w.user(w.ours, "gardener", allow("kms:RetireGrant", "*"))
	barred := w.user(w.ours, "barred", deny("kms:RetireGrant", "*"))
	visitor, delegate := w.user(w.theirs, "visitor"), w.user(w.theirs, "delegate", allow("kms:RetireGrant", "*"))
	maker := w.user(w.theirs, "maker", allow("kms:CreateGrant", "*"))
	decrypt, retire := types.GrantOperationDecrypt, types.GrantOperationRetireGrant

	for _, tc := range []struct {
		name       string
		by         holder
		retiring   *string
		grantee    holder
		operations []types.GrantOperation
		maker      holder
		why        string // not; empty: may
	}{
		{"the retiring principal", bob, &bob.arn, alice, []types.GrantOperation{decrypt}, w.root, ""},
		{"a session of the retiring role", app, aws.String("arn:aws:iam::" + w.ours + ":role/svc/app"), alice, []types.GrantOperation{decrypt}, w.root, ""},
		{"the retiring principal, denied", barred, &barred.arn, alice, []types.GrantOperation{decrypt}, w.root, denyOwn},
		{"the grantee", alice, nil, alice, []types.GrantOperation{decrypt}, w.root, byIdentity},
		{"the grantee that may", alice, nil, alice, []types.GrantOperation{decrypt, retire}, w.root, ""},
		{"somebody whom the key policy names", idle, nil, alice, []types.GrantOperation{decrypt}, w.root, byIdentity},
		{"the key's account, by an identity policy", gardener, nil, alice, []types.GrantOperation{decrypt}, w.root, ""},
		{"the key's account itself", w.root, nil, alice, []types.GrantOperation{decrypt}, maker, ""},
		{"the account that made it", w.other, nil, alice, []types.GrantOperation{decrypt}, maker, ""},
		{"somebody of that account, by an identity policy", delegate, nil, alice, []types.GrantOperation{decrypt}, maker, ""},
		{"somebody of that account", visitor, nil, alice, []types.GrantOperation{decrypt}, maker, byResource},
		{"another account, by an identity policy", delegate, nil, alice, []types.GrantOperation{decrypt}, w.root, byResource},
		{"a retiring principal of another account", visitor, &visitor.arn, alice, []types.GrantOperation{decrypt}, w.root, ""},
		{"a retiring account, by an identity policy", delegate, &w.other.arn, alice, []types.GrantOperation{decrypt}, w.root, ""},
		{"a retiring account, by nothing", visitor, &w.other.arn, alice, []types.GrantOperation{decrypt}, w.root, byResource},
	} {
		key := w.key(allowTo("arn:aws:iam::"+w.theirs+":root", "kms:CreateGrant"), allowTo(w.root.arn, "kms:CreateGrant"), allowTo(idle.arn, "kms:RetireGrant"))
		in := &kms.CreateGrantInput{KeyId: &key, GranteePrincipal: &tc.grantee.arn, RetiringPrincipal: tc.retiring, Operations: tc.operations}
		for _, byToken := range []bool{true, false} {
			made := sure(tc.maker.kms.CreateGrant(ctx, in))(t)
			how := kms.RetireGrantInput{KeyId: &key, GrantId: made.GrantId}
			if byToken {
				how = kms.RetireGrantInput{GrantToken: made.GrantToken}
			}
			text := ""
			if tc.why != "" {
				text = tc.by.denied("RetireGrant", key, tc.why)
			}
			_, err := tc.by.kms.RetireGrant(ctx, &how)
			answers(t, fmt.Sprint(tc.name, ", by token: ", byToken), err, text)
		}
	}
}

// The condition keys of CreateGrant and its kin.
func TestGrantConditionKeys(t *testing.T) {
	t.Parallel()
	w := newKeyholders(t)
	alice, bob := w.user(w.ours, "alice"), w.user(w.ours, "bob")
	for i, tc := range []struct {
		condition string
		change    func(*kms.CreateGrantInput) // of a request that meets the condition: it does not any more
	}{
		{`{"ForAllValues:StringEquals":{"kms:GrantOperations":["Encrypt","Decrypt"]}}`, func(in *kms.CreateGrantInput) { in.Operations = append(in.Operations, types.GrantOperationDescribeKey) }},
		{`{"ForAnyValue:StringEquals":{"kms:GrantOperations":"Encrypt"}}`, func(in *kms.CreateGrantInput) { in.Operations = in.Operations[1:] }},
		{`{"StringEquals":{"kms:GrantConstraintType":"EncryptionContextSubset"}}`, func(in *kms.CreateGrantInput) {
			in.Constraints = &types.GrantConstraints{EncryptionContextEquals: in.Constraints.EncryptionContextSubset}
		}},
		{`{"Null":{"kms:GrantConstraintType":"false"}}`, func(in *kms.CreateGrantInput) { in.Constraints = nil }},
		{`{"StringEquals":{"kms:GranteePrincipal":"` + bob.arn + `"}}`, func(in *kms.CreateGrantInput) { in.GranteePrincipal = &alice.arn }},
		{`{"StringEquals":{"kms:RetiringPrincipal":"` + alice.arn + `"}}`, func(in *kms.CreateGrantInput) { in.RetiringPrincipal = nil }},
		{`{"StringEquals":{"kms:EncryptionContext:Department":"IT"}}`, func(in *kms.CreateGrantInput) {
			in.Constraints = &types.GrantConstraints{EncryptionContextSubset: map[string]string{"Department": "HR"}}
		}},
		{`{"ForAnyValue:StringEquals":{"kms:EncryptionContextKeys":"Department"}}`, func(in *kms.CreateGrantInput) { in.Constraints = nil }},
		{`{"Bool":{"kms:GrantIsForAWSResource":"false"}}`, nil},
	} {
		maker := w.user(w.ours, fmt.Sprint("maker", i), allow("kms:CreateGrant", "*", when(tc.condition)))
		key := w.key()
		in := kms.CreateGrantInput{KeyId: &key, GranteePrincipal: &bob.arn, RetiringPrincipal: &alice.arn, Operations: []types.GrantOperation{types.GrantOperationEncrypt, types.GrantOperationDecrypt},
			Constraints: &types.GrantConstraints{EncryptionContextSubset: map[string]string{"Department": "IT"}}}
		_, err := maker.kms.CreateGrant(ctx, &in)
		answers(t, tc.condition, err, "")
		if tc.change == nil {
			continue
		}
		in.Operations = slices.Clone(in.Operations)
		tc.change(&in)
		_, err = maker.kms.CreateGrant(ctx, &in)
		answers(t, "not "+tc.condition, err, maker.denied("CreateGrant", key, byIdentity))
	}
	// Only for services: not for the user directly.
	console := w.user(w.ours, "console", allow("kms:*Grant*", "*", when(`{"Bool":{"kms:GrantIsForAWSResource":"true"}}`)))
	key := w.key()
	id := w.grant(key, bob, types.GrantOperationDecrypt)
	_, err := console.kms.ListGrants(ctx, &kms.ListGrantsInput{KeyId: &key})
	answers(t, "ListGrants", err, console.denied("ListGrants", key, byIdentity))
	_, err = console.kms.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: &key, GrantId: &id})
	answers(t, "RevokeGrant", err, console.denied("RevokeGrant", key, byIdentity))
}

// kms:ViaService, kms:CallerAccount and the encryption context as conditions of key policies.
func TestKeyPolicyConditions(t *testing.T) {
	t.Parallel()
	w := newKeyholders(t)
	reader := allow("secretsmanager:*", "*")
	alice := w.user(w.ours, "alice", reader)
	visitor := w.user(w.theirs, "visitor", reader, allow("kms:*", "*"))
	throughUs := when(`{"StringEquals":{"kms:ViaService":"secretsmanager.eu-west-1.amazonaws.com","kms:CallerAccount":"` + w.ours + `"}}`)
	key := w.key(w.accountMay(), allowTo("*", "kms:*", throughUs))
	sure(alice.sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("app/db"), SecretString: aws.String("v"), KmsKeyId: &key}))(t)
	got := sure(alice.sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("app/db")}))(t)
	if *got.SecretString != "v" {
		t.Error("another value")
	}
	alice.may(t, "directly", key, byIdentity)
	visitor.may(t, "from another account", key, byResource)

	elsewhere := w.key(w.accountMay(), allowTo("*", "kms:*", when(`{"StringEquals":{"kms:ViaService":"secretsmanager.eu-central-1.amazonaws.com"}}`)))
	_, err := alice.sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("app/other"), SecretString: aws.String("v"), KmsKeyId: &elsewhere})
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != "AccessDeniedException" {
		t.Errorf("through the service in another region: %v", err)
	}

	contextual := w.key(w.accountMay(), allowTo(alice.arn, "kms:Encrypt", when(`{"StringEquals":{"kms:EncryptionContext:Department":"IT"},"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["Department","Purpose"]}}`)))
	alice.may(t, "the context", contextual, "", "Department=IT", "Purpose=Test")
	alice.may(t, "its key in another case, by the one condition, but not the other", contextual, byIdentity, "department=IT")
	alice.may(t, "another value", contextual, byIdentity, "Department=HR")
	alice.may(t, "a key too many", contextual, byIdentity, "Department=IT", "More=1")
	alice.may(t, "no context", contextual, byIdentity)
}

// The key of Secrets Manager: for everybody who may use the service, through it, and for
// nobody directly.
func TestManagedKeyThroughItsService(t *testing.T) {
	t.Parallel()
	w := newKeyholders(t)
	alice := w.user(w.ours, "alice", allow("secretsmanager:*", "*"))
	sure(alice.sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("app/db"), SecretString: aws.String("v")}))(t)
	if got := sure(alice.sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("app/db")}))(t); *got.SecretString != "v" {
		t.Error("another value")
	}
	key := *sure(w.root.kms.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String("alias/aws/secretsmanager")}))(t).KeyMetadata.Arn
	alice.may(t, "directly", key, byResource)
	w.root.may(t, "the root, directly", key, byResource)
	admin := w.user(w.ours, "admin", allow("*", "*"))
	admin.may(t, "an administrator, directly", key, byResource)
	_, err := w.root.kms.CreateGrant(ctx, &kms.CreateGrantInput{KeyId: &key, GranteePrincipal: &alice.arn, Operations: []types.GrantOperation{types.GrantOperationDecrypt}})
	answers(t, "a grant", err, w.root.denied("CreateGrant", key, byResource))
	sure(w.root.kms.ListGrants(ctx, &kms.ListGrantsInput{KeyId: &key}))(t)
}

// A grant serves a service that acts for its grantee.
func TestGrantsServeThroughServices(t *testing.T) {
	t.Parallel()
	w := newKeyholders(t)
	alice := w.user(w.ours, "alice", allow("secretsmanager:GetSecretValue", "*"))
	key := w.key()
	arn := *sure(w.root.sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("app/db"), SecretString: aws.String("v"), KmsKeyId: &key}))(t).ARN
	read := func() error {
		_, err := alice.sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn})
		return err
	}
	if err := read(); err == nil {
		t.Error("without the key")
	}
	sure(w.root.kms.CreateGrant(ctx, &kms.CreateGrantInput{KeyId: &key, GranteePrincipal: &alice.arn, Operations: []types.GrantOperation{types.GrantOperationDecrypt},
		Constraints: &types.GrantConstraints{EncryptionContextSubset: map[string]string{"SecretARN": arn}}}))(t)
	if err := read(); err != nil {
		t.Errorf("with a grant for this secret: %v", err)
	}
	first := arn
	arn = *sure(w.root.sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("app/other"), SecretString: aws.String("v"), KmsKeyId: &key}))(t).ARN
	if err := read(); err == nil {
		t.Error("a grant for one secret serves another")
	}

	// who-can sees it, and what it asks for.
	var out, errs bytes.Buffer
	if code := cli.Main([]string{"who-can", "kms:Decrypt", key, "--json", "--region", "eu-west-1", "--data-dir", string(w.Dir)}, cli.Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs}); code != 0 {
		t.Fatalf("who-can: %s", errs.String())
	}
	var answer gateway.Answer
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	found := ""
	for _, f := range answer.Found {
		if f.Principal == alice.arn && len(f.If) == 1 {
			found = fmt.Sprint(f.If[0].PolicyType, f.If[0].Conditions)
		}
	}
	if want := "grant[EncryptionContextSubset SecretARN=" + first + "]"; found != want {
		t.Errorf("who-can: %q, want %q, in %s", found, want, out.String())
	}
}

// A secret under a customer key, read from another account: everybody concerned must allow it.
func TestSecretsAcrossAccounts(t *testing.T) {
	t.Parallel()
	w := newKeyholders(t)
	full := w.user(w.theirs, "full", allow("secretsmanager:GetSecretValue", "*"), allow("kms:Decrypt", "*"))
	keyless := w.user(w.theirs, "keyless", allow("secretsmanager:GetSecretValue", "*"))
	secretless := w.user(w.theirs, "secretless", allow("kms:Decrypt", "*"))
	root := "arn:aws:iam::" + w.theirs + ":root"
	readable := document(allowTo(root, "secretsmanager:GetSecretValue"))
	read := func(by holder, shareSecret, shareKey bool) error {
		t.Helper()
		statements := []string{w.accountMay()}
		if shareKey {
			statements = append(statements, allowTo(root, "kms:Decrypt"))
		}
		key := w.key(statements...)
		arn := *sure(w.root.sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("s" + key[len(key)-12:]), SecretString: aws.String("v"), KmsKeyId: &key}))(t).ARN
		if shareSecret {
			sure(w.root.sm.PutResourcePolicy(ctx, &secretsmanager.PutResourcePolicyInput{SecretId: &arn, ResourcePolicy: &readable}))(t)
		}
		_, err := by.sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn})
		return err
	}
	if err := read(full, true, true); err != nil {
		t.Errorf("with all that it takes: %v", err)
	}
	for what, err := range map[string]error{
		"without the secret's policy": read(full, false, true), "without the key's policy": read(full, true, false),
		"without an identity policy for the key": read(keyless, true, true), "without one for the secret": read(secretless, true, true),
	} {
		var e smithy.APIError
		if !errors.As(err, &e) || e.ErrorCode() != "AccessDeniedException" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Operations without cross-account use are denied whatever policies say, and no list shows
// what is another account's.
func TestKeysOfOtherAccounts(t *testing.T) {
	t.Parallel()
	w := newKeyholders(t)
	admin := w.user(w.theirs, "admin", allow("*", "*"))
	key := w.key(w.accountMay(), allowTo("arn:aws:iam::"+w.theirs+":root", "kms:*"), allowTo("*", "kms:*"))
	for name, call := range map[string]func() error{
		"DescribeKey": func() error { return admin.describe(key) },
		"Encrypt":     func() error { return admin.encrypt(key) },
		"GetKeyRotationStatus": func() error {
			_, err := admin.kms.GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: &key})
			return err
		},
		"ListGrants": func() error { _, err := admin.kms.ListGrants(ctx, &kms.ListGrantsInput{KeyId: &key}); return err },
		"CreateGrant, RevokeGrant": func() error {
			g, err := admin.kms.CreateGrant(ctx, &kms.CreateGrantInput{KeyId: &key, GranteePrincipal: &admin.arn, Operations: []types.GrantOperation{types.GrantOperationDecrypt}})
			if err == nil {
				_, err = admin.kms.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: &key, GrantId: g.GrantId})
			}
			return err
		},
	} {
		answers(t, name, call(), "")
	}
	for name, call := range map[string]func() error{
		"GetKeyPolicy": func() error { _, err := admin.kms.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &key}); return err },
		"ListKeyPolicies": func() error {
			_, err := admin.kms.ListKeyPolicies(ctx, &kms.ListKeyPoliciesInput{KeyId: &key})
			return err
		},
		"PutKeyPolicy": func() error {
			_, err := admin.kms.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &key, Policy: aws.String(document(w.accountMay()))})
			return err
		},
		"DisableKey": func() error { _, err := admin.kms.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &key}); return err },
		"EnableKey":  func() error { _, err := admin.kms.EnableKey(ctx, &kms.EnableKeyInput{KeyId: &key}); return err },
		"ScheduleKeyDeletion": func() error {
			_, err := admin.kms.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &key})
			return err
		},
		"CancelKeyDeletion": func() error {
			_, err := admin.kms.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: &key})
			return err
		},
		"UpdateKeyDescription": func() error {
			_, err := admin.kms.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionInput{KeyId: &key, Description: aws.String("x")})
			return err
		},
		"EnableKeyRotation": func() error {
			_, err := admin.kms.EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: &key})
			return err
		},
		"DisableKeyRotation": func() error {
			_, err := admin.kms.DisableKeyRotation(ctx, &kms.DisableKeyRotationInput{KeyId: &key})
			return err
		},
		"RotateKeyOnDemand": func() error {
			_, err := admin.kms.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: &key})
			return err
		},
		"ListKeyRotations": func() error {
			_, err := admin.kms.ListKeyRotations(ctx, &kms.ListKeyRotationsInput{KeyId: &key})
			return err
		},
		"ListResourceTags": func() error {
			_, err := admin.kms.ListResourceTags(ctx, &kms.ListResourceTagsInput{KeyId: &key})
			return err
		},
		"TagResource": func() error {
			_, err := admin.kms.TagResource(ctx, &kms.TagResourceInput{KeyId: &key, Tags: []types.Tag{{TagKey: aws.String("a"), TagValue: aws.String("b")}}})
			return err
		},
		"UntagResource": func() error {
			_, err := admin.kms.UntagResource(ctx, &kms.UntagResourceInput{KeyId: &key, TagKeys: []string{"a"}})
			return err
		},
		"CreateAlias": func() error {
			_, err := admin.kms.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: aws.String("alias/mine"), TargetKeyId: &key})
			return err
		},
		"ReplicateKey": func() error {
			_, err := admin.kms.ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: &key, ReplicaRegion: aws.String("us-east-1")})
			return err
		},
		"UpdatePrimaryRegion": func() error {
			_, err := admin.kms.UpdatePrimaryRegion(ctx, &kms.UpdatePrimaryRegionInput{KeyId: &key, PrimaryRegion: aws.String("us-east-1")})
			return err
		},
		"GetParametersForImport": func() error {
			_, err := admin.kms.GetParametersForImport(ctx, &kms.GetParametersForImportInput{KeyId: &key, WrappingAlgorithm: types.AlgorithmSpecRsaesOaepSha256, WrappingKeySpec: types.WrappingKeySpecRsa2048})
			return err
		},
		"ImportKeyMaterial": func() error {
			_, err := admin.kms.ImportKeyMaterial(ctx, &kms.ImportKeyMaterialInput{KeyId: &key, ImportToken: []byte("x"), EncryptedKeyMaterial: []byte("x")})
			return err
		},
		"DeleteImportedKeyMaterial": func() error {
			_, err := admin.kms.DeleteImportedKeyMaterial(ctx, &kms.DeleteImportedKeyMaterialInput{KeyId: &key})
			return err
		},
	} {
		answers(t, name, call(), admin.denied(name, key, byResource))
	}
	if keys := sure(admin.kms.ListKeys(ctx, &kms.ListKeysInput{}))(t).Keys; len(keys) != 0 {
		t.Errorf("ListKeys shows %v", keys)
	}
}

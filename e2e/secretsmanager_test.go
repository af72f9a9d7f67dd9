package e2e_test

import (
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/coffertest/check"
)

// value is a sensitive value: it holds the marker, so that it is found wherever
// it leaks to.
func value(s string) *string { return new(marker + " " + s) }

// token is a ClientRequestToken, and so a version id, that reads as s.
func token(s string) *string {
	return new(s + strings.Repeat("-", max(0, 32-len(s))))
}

// stages is the versions' labels as the table of spec §4 writes them.
func stages(m map[string][]string) string {
	var all []string
	for _, id := range slices.Sorted(maps.Keys(m)) {
		all = append(all, strings.TrimRight(id, "-")+"["+strings.Join(slices.Sorted(slices.Values(m[id])), ",")+"]")
	}
	return strings.Join(all, " ")
}

// TestSecretsManager walks through every served operation and looks at each member of the answers.
func TestSecretsManager(t *testing.T) {
	eachDriver(t, func(t *testing.T, h *host) {
		sm := h.sm("eu-west-1")
		began := time.Now().Add(-time.Second)

		created := must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{
			Name: new("app/db"), SecretString: value("one"), ClientRequestToken: token("v1"), Description: new("the database"),
			Tags: []types.Tag{{Key: new("team"), Value: new("blue")}},
		}))(t)
		if want := `^arn:aws:secretsmanager:eu-west-1:` + h.Credentials.Account + `:secret:app/db-[A-Za-z0-9]{6}$`; !regexp.MustCompile(want).MatchString(*created.ARN) {
			t.Fatalf("ARN %s does not match %s", *created.ARN, want)
		}
		check.Equal(t, "CreateSecret Name", *created.Name, "app/db")
		check.Equal(t, "CreateSecret VersionId", *created.VersionId, *token("v1"))

		got := must(sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("app/db")}))(t)
		check.Equal(t, "SecretString", *got.SecretString, *value("one"))
		check.Equal(t, "SecretBinary absent", got.SecretBinary == nil, true)
		check.Equal(t, "GetSecretValue ARN", *got.ARN, *created.ARN)
		check.Equal(t, "GetSecretValue Name", *got.Name, "app/db")
		check.Equal(t, "GetSecretValue VersionId", *got.VersionId, *token("v1"))
		check.Equal(t, "GetSecretValue VersionStages", strings.Join(got.VersionStages, ","), "AWSCURRENT")
		if got.CreatedDate.Before(began) || got.CreatedDate.After(time.Now()) {
			t.Errorf("CreatedDate %s is not now", got.CreatedDate)
		}

		put := must(sm.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
			SecretId: created.ARN, SecretBinary: []byte(*value("\x00\xff two")), ClientRequestToken: token("v2"),
		}))(t)
		check.Equal(t, "PutSecretValue", *put.ARN+*put.Name+*put.VersionId+strings.Join(put.VersionStages, ","), *created.ARN+"app/db"+*token("v2")+"AWSCURRENT")
		got = must(sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("app/db")}))(t)
		check.Equal(t, "SecretBinary", bytes.Equal(got.SecretBinary, []byte(*value("\x00\xff two"))), true)
		check.Equal(t, "SecretString absent", got.SecretString == nil, true)
		got = must(sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("app/db"), VersionStage: new("AWSPREVIOUS")}))(t)
		check.Equal(t, "AWSPREVIOUS", *got.VersionId, *token("v1"))
		got = must(sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("app/db"), VersionId: token("v1")}))(t)
		check.Equal(t, "by version id", *got.SecretString, *value("one"))

		// Description only: no new version (spec §5.6).
		updated := must(sm.UpdateSecret(ctx, &secretsmanager.UpdateSecretInput{SecretId: new("app/db"), Description: new("the other database")}))(t)
		check.Equal(t, "UpdateSecret of a description has no VersionId", updated.VersionId == nil, true)
		updated = must(sm.UpdateSecret(ctx, &secretsmanager.UpdateSecretInput{SecretId: new("app/db"), SecretString: value("three"), ClientRequestToken: token("v3")}))(t)
		check.Equal(t, "UpdateSecret VersionId", *updated.VersionId, *token("v3"))
		must(sm.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
			SecretId: new("app/db"), VersionStage: new("AWSCURRENT"), RemoveFromVersionId: token("v3"), MoveToVersionId: token("v2"),
		}))(t)

		must(sm.TagResource(ctx, &secretsmanager.TagResourceInput{SecretId: new("app/db"), Tags: []types.Tag{{Key: new("team"), Value: new("red")}, {Key: new("Team"), Value: new("")}}}))(t)
		must(sm.UntagResource(ctx, &secretsmanager.UntagResourceInput{SecretId: new("app/db"), TagKeys: []string{"Team", "never there"}}))(t)

		d := must(sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: new("app/db")}))(t)
		check.Equal(t, "Description", *d.Description, "the other database")
		check.Equal(t, "VersionIdsToStages", stages(d.VersionIdsToStages), "v2[AWSCURRENT] v3[AWSPREVIOUS]")
		check.Equal(t, "Tags", len(d.Tags) == 1 && *d.Tags[0].Key == "team" && *d.Tags[0].Value == "red", true)
		check.Equal(t, "KmsKeyId absent for the default key", d.KmsKeyId == nil, true)
		check.Equal(t, "DeletedDate absent", d.DeletedDate == nil, true)
		check.Equal(t, "RotationEnabled absent", d.RotationEnabled == nil, true)
		check.Equal(t, "PrimaryRegion absent", d.PrimaryRegion == nil, true)
		if !d.LastChangedDate.After(*d.CreatedDate) {
			t.Errorf("LastChangedDate %s is not after CreatedDate %s", d.LastChangedDate, d.CreatedDate)
		}

		versions := must(sm.ListSecretVersionIds(ctx, &secretsmanager.ListSecretVersionIdsInput{SecretId: new("app/db"), IncludeDeprecated: new(true)}))(t)
		var ids []string
		for _, v := range versions.Versions {
			ids = append(ids, strings.TrimRight(*v.VersionId, "-")+"["+strings.Join(v.VersionStages, ",")+"]")
			check.Equal(t, "KmsKeyIds", strings.Join(v.KmsKeyIds, ","), "DefaultEncryptionKey")
		}
		check.Equal(t, "versions, oldest first", strings.Join(ids, " "), "v1[] v2[AWSCURRENT] v3[AWSPREVIOUS]")

		list := must(sm.ListSecrets(ctx, &secretsmanager.ListSecretsInput{Filters: []types.Filter{{Key: "name", Values: []string{"app/"}}}}))(t)
		check.Equal(t, "ListSecrets", len(list.SecretList), 1)
		check.Equal(t, "SecretVersionsToStages", stages(list.SecretList[0].SecretVersionsToStages), "v2[AWSCURRENT] v3[AWSPREVIOUS]")

		batch := must(sm.BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{"app/db"}}))(t)
		check.Equal(t, "BatchGetSecretValue", *batch.SecretValues[0].VersionId, *token("v2"))

		password := must(sm.GetRandomPassword(ctx, &secretsmanager.GetRandomPasswordInput{PasswordLength: new(int64(40)), ExcludePunctuation: new(true)}))(t)
		h.secret(*password.RandomPassword, "a random password")
		if !regexp.MustCompile(`^[A-Za-z0-9]{40}$`).MatchString(*password.RandomPassword) {
			t.Error("the random password is not 40 letters and digits")
		}

		policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + h.Credentials.Account + `:root"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`
		none := must(sm.GetResourcePolicy(ctx, &secretsmanager.GetResourcePolicyInput{SecretId: new("app/db")}))(t)
		check.Equal(t, "no policy", none.ResourcePolicy == nil && *none.ARN == *created.ARN && *none.Name == "app/db", true)
		valid := must(sm.ValidateResourcePolicy(ctx, &secretsmanager.ValidateResourcePolicyInput{SecretId: new("app/db"), ResourcePolicy: &policy}))(t)
		check.Equal(t, "PolicyValidationPassed", valid.PolicyValidationPassed, true)
		must(sm.PutResourcePolicy(ctx, &secretsmanager.PutResourcePolicyInput{SecretId: new("app/db"), ResourcePolicy: &policy, BlockPublicPolicy: new(true)}))(t)
		has := must(sm.GetResourcePolicy(ctx, &secretsmanager.GetResourcePolicyInput{SecretId: new("app/db")}))(t)
		check.Equal(t, "ResourcePolicy", *has.ResourcePolicy, policy)
		must(sm.DeleteResourcePolicy(ctx, &secretsmanager.DeleteResourcePolicyInput{SecretId: new("app/db")}))(t)

		deleted := must(sm.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: new("app/db"), RecoveryWindowInDays: new(int64(7))}))(t)
		if in := time.Until(*deleted.DeletionDate); in < 7*24*time.Hour-time.Minute || in > 7*24*time.Hour {
			t.Errorf("DeletionDate is in %s, want 7 days", in)
		}
		d = must(sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: new("app/db")}))(t)
		check.Equal(t, "DeletedDate is the end of the window", d.DeletedDate.Equal(*deleted.DeletionDate), true)
		must(sm.RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: new("app/db")}))(t)
		d = must(sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: new("app/db")}))(t)
		check.Equal(t, "DeletedDate is gone", d.DeletedDate == nil, true)

		rotated := must(sm.RotateSecret(ctx, &secretsmanager.RotateSecretInput{
			SecretId: new("app/db"), RotationLambdaARN: new("arn:aws:lambda:eu-west-1:" + h.Credentials.Account + ":function:Rotator"),
			RotationRules: &types.RotationRulesType{AutomaticallyAfterDays: new(int64(30))}, RotateImmediately: new(false),
		}))(t)
		check.Equal(t, "RotateSecret", *rotated.ARN == *created.ARN && *rotated.Name == "app/db", true)
		d = must(sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: new("app/db")}))(t)
		check.Equal(t, "RotationEnabled", *d.RotationEnabled && *d.RotationRules.AutomaticallyAfterDays == 30 && d.NextRotationDate != nil, true)
		must(sm.CancelRotateSecret(ctx, &secretsmanager.CancelRotateSecretInput{SecretId: new("app/db")}))(t)
		d = must(sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: new("app/db")}))(t)
		check.Equal(t, "RotationEnabled", *d.RotationEnabled, false)

		h.allServed(t, smapi.Service)
	})
}

// TestLabels is the worked example of spec §4, line by line.
func TestLabels(t *testing.T) {
	eachDriver(t, func(t *testing.T, h *host) {
		sm := h.sm("eu-west-1")
		put := func(v string, labels ...string) func() error {
			return func() error {
				_, err := sm.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: new("s"), SecretString: value(v), ClientRequestToken: token(v), VersionStages: labels})
				return err
			}
		}
		move := func(label, from, to string) func() error {
			return func() error {
				in := &secretsmanager.UpdateSecretVersionStageInput{SecretId: new("s"), VersionStage: &label}
				if from != "" {
					in.RemoveFromVersionId = token(from)
				}
				if to != "" {
					in.MoveToVersionId = token(to)
				}
				_, err := sm.UpdateSecretVersionStage(ctx, in)
				return err
			}
		}
		v4 := *token("v4")
		const invalid = "InvalidParameterException"
		for _, step := range []struct {
			what          string
			do            func() error
			code, message string
			after         string
		}{
			{"CreateSecret v1", func() error {
				_, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("s"), SecretString: value("v1"), ClientRequestToken: token("v1")})
				return err
			}, "", "", "v1[AWSCURRENT]"},
			{"put v2 as AWSPENDING", put("v2", "AWSPENDING"), "", "", "v1[AWSCURRENT] v2[AWSPENDING]"},
			{"AWSCURRENT to v2", move("AWSCURRENT", "v1", "v2"), "", "", "v1[AWSPREVIOUS] v2[AWSCURRENT,AWSPENDING]"},
			{"put v3", put("v3"), "", "", "v2[AWSPREVIOUS] v3[AWSCURRENT]"},
			{"put v4 one two", put("v4", "one", "two"), "", "", "v2[AWSPREVIOUS] v3[AWSCURRENT] v4[one,two]"},
			{"put v5 two", put("v5", "two"), "", "", "v2[AWSPREVIOUS] v3[AWSCURRENT] v4[one] v5[two]"},
			{"rollback", move("AWSCURRENT", "v3", "v2"), "", "", "v2[AWSCURRENT] v3[AWSPREVIOUS] v4[one] v5[two]"},
			{"attach a free label", move("three", "", "v5"), "", "", "v2[AWSCURRENT] v3[AWSPREVIOUS] v4[one] v5[three,two]"},
			{"attach where it is", move("three", "", "v5"), "", "", "v2[AWSCURRENT] v3[AWSPREVIOUS] v4[one] v5[three,two]"},
			{"move without RemoveFrom", move("one", "", "v5"), invalid, "The parameter RemoveFromVersionId can't be empty. Staging label one is currently attached to version " + v4 +
				", so you must explicitly reference that version in RemoveFromVersionId.", "v2[AWSCURRENT] v3[AWSPREVIOUS] v4[one] v5[three,two]"},
			{"move from the wrong one", move("one", "v3", "v5"), invalid, "*", "v2[AWSCURRENT] v3[AWSPREVIOUS] v4[one] v5[three,two]"},
			{"move a custom label", move("one", "v4", "v5"), "", "", "v2[AWSCURRENT] v3[AWSPREVIOUS] v5[one,three,two]"},
			{"detach", move("three", "v5", ""), "", "", "v2[AWSCURRENT] v3[AWSPREVIOUS] v5[one,two]"},
			{"detach AWSCURRENT", move("AWSCURRENT", "v2", ""), invalid,
				"You can only move staging label AWSCURRENT to a different secret version. It can’t be completely removed.", "v2[AWSCURRENT] v3[AWSPREVIOUS] v5[one,two]"},
			{"neither from nor to", move("one", "", ""), invalid, "*", "v2[AWSCURRENT] v3[AWSPREVIOUS] v5[one,two]"},
			{"to an unknown version", move("one", "v5", "v9"), "ResourceNotFoundException", "*", "v2[AWSCURRENT] v3[AWSPREVIOUS] v5[one,two]"},
			{"to a deprecated version", move("two", "v5", "v1"), "", "", "v1[two] v2[AWSCURRENT] v3[AWSPREVIOUS] v5[one]"},
			{"put with AWSCURRENT listed", put("v6", "AWSCURRENT", "six"), "", "", "v1[two] v2[AWSPREVIOUS] v5[one] v6[AWSCURRENT,six]"},
			{"21 labels", put("v7", strings.Split("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p", ",")...), "LimitExceededException", "*", "v1[two] v2[AWSPREVIOUS] v5[one] v6[AWSCURRENT,six]"},
		} {
			fails(t, step.what, step.do(), step.code, step.message)
			d := must(sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: new("s")}))(t)
			check.Equal(t, "after "+step.what, stages(d.VersionIdsToStages), step.after)
		}
		// v4 has lost all labels: hidden, but readable by its id until it is purged.
		got := must(sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("s"), VersionId: token("v4")}))(t)
		check.Equal(t, "a deprecated version", *got.SecretString, *value("v4"))
		check.Equal(t, "its labels", len(got.VersionStages), 0)
	})
}

// TestDeletion: every operation on a secret marked for deletion, and the ways back.
func TestDeletion(t *testing.T) {
	eachDriver(t, func(t *testing.T, h *host) {
		sm := h.sm("eu-west-1")
		const (
			request  = "InvalidRequestException"
			param    = "InvalidParameterException"
			marked   = "You can't perform this operation on the secret because it was marked for deletion."
			notFound = "Secrets Manager can't find the specified secret."
		)
		id := new("gone")
		created := must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: id, SecretString: value("x")}))(t)
		del := func(name string, force *bool, window *int64) error {
			_, err := sm.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &name, ForceDeleteWithoutRecovery: force, RecoveryWindowInDays: window})
			return err
		}
		fails(t, "window of 6", del("gone", nil, new(int64(6))), param, "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
		fails(t, "window of 31", del("gone", nil, new(int64(31))), param, "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
		fails(t, "force and window", del("gone", new(true), new(int64(7))), param, "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
		fails(t, "unknown", del("nobody", nil, nil), "ResourceNotFoundException", notFound)
		fails(t, "unknown by force", del("nobody", new(true), nil), "", "")
		fails(t, "window of 30 and force=false", del("gone", new(false), new(int64(30))), "", "")

		policy := `{"Version":"2012-10-17","Statement":[]}`
		calls := map[string]func() error{
			"GetSecretValue": func() error {
				_, err := sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: id})
				return err
			},
			"PutSecretValue": func() error {
				_, err := sm.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: id, SecretString: value("y")})
				return err
			},
			"UpdateSecret": func() error {
				_, err := sm.UpdateSecret(ctx, &secretsmanager.UpdateSecretInput{SecretId: id, Description: new("y")})
				return err
			},
			"TagResource": func() error {
				_, err := sm.TagResource(ctx, &secretsmanager.TagResourceInput{SecretId: id, Tags: []types.Tag{{Key: new("a"), Value: new("b")}}})
				return err
			},
			"UntagResource": func() error {
				_, err := sm.UntagResource(ctx, &secretsmanager.UntagResourceInput{SecretId: id, TagKeys: []string{"a"}})
				return err
			},
			"GetResourcePolicy": func() error {
				_, err := sm.GetResourcePolicy(ctx, &secretsmanager.GetResourcePolicyInput{SecretId: id})
				return err
			},
			"PutResourcePolicy": func() error {
				_, err := sm.PutResourcePolicy(ctx, &secretsmanager.PutResourcePolicyInput{SecretId: id, ResourcePolicy: &policy})
				return err
			},
			"DeleteResourcePolicy": func() error {
				_, err := sm.DeleteResourcePolicy(ctx, &secretsmanager.DeleteResourcePolicyInput{SecretId: id})
				return err
			},
			"DeleteSecret again": func() error { return del("gone", nil, nil) },
		}
		for what, call := range calls {
			fails(t, what, call(), request, marked)
		}
		create := func() error {
			_, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: id, SecretString: value("x")})
			return err
		}
		fails(t, "CreateSecret", create(), request, "You can't create this secret because a secret with this name is already scheduled for deletion.")
		hidden := must(sm.ListSecrets(ctx, &secretsmanager.ListSecretsInput{}))(t)
		check.Equal(t, "hidden", len(hidden.SecretList), 0)
		shown := must(sm.ListSecrets(ctx, &secretsmanager.ListSecretsInput{IncludePlannedDeletion: new(true)}))(t)
		check.Equal(t, "shown on request", len(shown.SecretList) == 1 && shown.SecretList[0].DeletedDate != nil, true)
		must(sm.ListSecretVersionIds(ctx, &secretsmanager.ListSecretVersionIdsInput{SecretId: id}))(t)

		must(sm.RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: id}))(t)
		got := must(sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: created.ARN}))(t)
		check.Equal(t, "restored", *got.SecretString, *value("x"))
		must(sm.RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: id}))(t)

		fails(t, "mark", del("gone", nil, nil), "", "")
		fails(t, "force a marked one", del("gone", new(true), nil), "", "")
		fails(t, "gone", calls["GetSecretValue"](), "ResourceNotFoundException", notFound)
		fails(t, "create anew", create(), "", "")
		again := must(sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: id}))(t)
		if *again.ARN == *created.ARN {
			t.Error("a new secret of the same name has the old one's ARN")
		}
		_, err := sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: created.ARN})
		fails(t, "the old ARN", err, "ResourceNotFoundException", notFound)
	})
}

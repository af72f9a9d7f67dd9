package iam_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"coffer/internal/coffertest/check"
)

func TestAccountAlias(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	aliases := func() string {
		out := check.Must(t, w.ListAccountAliases, &iam.ListAccountAliasesInput{})
		text := ""
		for _, a := range out.AccountAliases {
			text += a + " "
		}
		return text
	}
	create := func(a string) func() string {
		return check.Try(w.CreateAccountAlias, &iam.CreateAccountAliasInput{AccountAlias: &a})
	}
	remove := func(a string) func() string {
		return check.Try(w.DeleteAccountAlias, &iam.DeleteAccountAliasInput{AccountAlias: &a})
	}
	check.Run(t, []check.Rule{
		{"none", aliases, ""},
		{"create", create("example"), "ok"},
		{"there", aliases, "example "},
		{"the same", create("example"), "EntityAlreadyExists: The account alias example already exists."},
		{"another replaces it", create("example-2"), "ok"},
		{"one", aliases, "example-2 "},
		{"the old one is free", create("example"), "ok"},
		{"capitals", create("Example"), `ValidationError: 1 validation error detected: Value 'Example' at 'accountAlias' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$`},
		{"delete another", remove("example-2"), "NoSuchEntity: The account alias with name example-2 cannot be found."},
		{"delete", remove("example"), "ok"},
		{"gone", aliases, ""},
	})
}

func TestPasswordPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	none := "NoSuchEntity: The Password Policy with domain name " + w.account + " cannot be found."
	check.Run(t, []check.Rule{
		{"none", check.Try(w.GetAccountPasswordPolicy, &iam.GetAccountPasswordPolicyInput{}), none},
		{"none to delete", check.Try(w.DeleteAccountPasswordPolicy, &iam.DeleteAccountPasswordPolicyInput{}), none},
		{"too short", check.Try(w.UpdateAccountPasswordPolicy, &iam.UpdateAccountPasswordPolicyInput{MinimumPasswordLength: new(int32(5))}), "ValidationError: 1 validation error detected: Value '5' at 'minimumPasswordLength' failed to satisfy constraint: Member must have value greater than or equal to 6"},
		{"set", check.Try(w.UpdateAccountPasswordPolicy, &iam.UpdateAccountPasswordPolicyInput{MinimumPasswordLength: new(int32(14)), RequireNumbers: true, MaxPasswordAge: new(int32(90)), PasswordReusePrevention: new(int32(24)), HardExpiry: new(true)}), "ok"},
	})
	p := check.Must(t, w.GetAccountPasswordPolicy, &iam.GetAccountPasswordPolicyInput{}).PasswordPolicy
	check.Equal(t, "length", *p.MinimumPasswordLength, 14)
	check.Equal(t, "flags", p.RequireNumbers && !p.RequireSymbols && !p.AllowUsersToChangePassword && p.ExpirePasswords && *p.HardExpiry, true)
	check.Equal(t, "days", *p.MaxPasswordAge, 90)
	check.Equal(t, "reuse", *p.PasswordReusePrevention, 24)
	check.Must(t, w.UpdateAccountPasswordPolicy, &iam.UpdateAccountPasswordPolicyInput{RequireSymbols: true})
	p = check.Must(t, w.GetAccountPasswordPolicy, &iam.GetAccountPasswordPolicyInput{}).PasswordPolicy
	check.Equal(t, "what is not given has its default", *p.MinimumPasswordLength == 6 && p.RequireSymbols && !p.RequireNumbers && !p.ExpirePasswords && p.MaxPasswordAge == nil && p.PasswordReusePrevention == nil, true)
	check.Run(t, []check.Rule{
		{"delete", check.Try(w.DeleteAccountPasswordPolicy, &iam.DeleteAccountPasswordPolicyInput{}), "ok"},
		{"gone", check.Try(w.GetAccountPasswordPolicy, &iam.GetAccountPasswordPolicyInput{}), none},
	})
}

func TestAccountSummary(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	summary := func() map[string]int32 {
		return check.Must(t, w.GetAccountSummary, &iam.GetAccountSummaryInput{}).SummaryMap
	}
	empty := summary()
	for key, want := range map[string]int32{
		"Users": 0, "Groups": 0, "Roles": 0, "Policies": 0, "PolicyVersionsInUse": 0, "InstanceProfiles": 0, "MFADevices": 0, "MFADevicesInUse": 0, "Providers": 0,
		"AccountAccessKeysPresent": 1, "AccountMFAEnabled": 0, "GroupsPerUserQuota": 10, "AccessKeysPerUserQuota": 2, "VersionsPerPolicyQuota": 5, "AssumeRolePolicySizeQuota": 2048,
	} {
		if got, ok := empty[key]; !ok || got != want {
			t.Errorf("%s: got %d, %v, want %d", key, got, ok, want)
		}
	}
	w.managed(t, "p", allow("*", "*"))
	for _, n := range []string{"a", "b", "c"} {
		check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: &n})
		check.Must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: &n})
		check.Must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: &n, AssumeRolePolicyDocument: new(trust(w.account))})
		check.Must(t, w.CreateInstanceProfile, &iam.CreateInstanceProfileInput{InstanceProfileName: &n})
		check.Must(t, w.CreateVirtualMFADevice, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: &n})
		check.Must(t, w.CreateOpenIDConnectProvider, &iam.CreateOpenIDConnectProviderInput{Url: new("https://" + n + ".example.com")})
	}
	check.Must(t, w.DeleteUser, &iam.DeleteUserInput{UserName: new("a")})
	check.Must(t, w.DeleteRole, &iam.DeleteRoleInput{RoleName: new("b")})
	check.Must(t, w.DeleteVirtualMFADevice, &iam.DeleteVirtualMFADeviceInput{SerialNumber: new(w.arn("mfa/c"))})
	full := summary()
	for key, want := range map[string]int32{"Users": 2, "Groups": 3, "Roles": 2, "Policies": 1, "PolicyVersionsInUse": 1, "InstanceProfiles": 3, "MFADevices": 2, "Providers": 3} {
		check.Equal(t, key, full[key], want)
	}
	check.Equal(t, "as many figures as before", len(full), len(empty))
}

// Those who make things at the same time share a count, and lose none.
func TestConcurrentCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	limit := w.managed(t, "limit", allow("*", "*"))
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ana")})
	const workers, each = 8, 10
	results := make(chan string, 2*workers*each)
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for j := range each {
				name := fmt.Sprintf("r-%d-%d", i, j)
				results <- check.Try(w.CreateRole, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: new(trust(w.arn("user/ana"))), PermissionsBoundary: &limit})()
				if j%2 == 0 {
					results <- check.Try(w.DeleteRole, &iam.DeleteRoleInput{RoleName: &name})()
				}
			}
		})
	}
	wg.Wait()
	close(results)
	for r := range results {
		if r != "ok" {
			t.Error(r)
		}
	}
	check.Equal(t, "roles", check.Must(t, w.GetAccountSummary, &iam.GetAccountSummaryInput{}).SummaryMap["Roles"], workers*each/2)
	check.Equal(t, "boundaries", *check.Must(t, w.GetPolicy, &iam.GetPolicyInput{PolicyArn: &limit}).Policy.PermissionsBoundaryUsageCount, workers*each/2)
}

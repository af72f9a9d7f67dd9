package iam

import (
	"errors"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// Alias is the alias of an account: no two in a deployment have the same.
type Alias struct {
	Alias   string `cbor:"1,keyasint"`
	Account string `cbor:"2,keyasint"`
}

// Aliases holds them by alias.
var Aliases = table.Collection[Alias]{
	Name:    "iam.alias",
	Key:     func(a *Alias) table.Key { return table.K(a.Alias) },
	Indexes: []table.Index[Alias]{{Name: aliasByAccount, Keys: func(a *Alias) []table.Key { return []table.Key{table.K(a.Account)} }}},
}

const aliasByAccount = "iam.alias.account"

// PasswordPolicy is an account's rules for passwords. There are no passwords here:
// it is kept for those who check that it is set.
type PasswordPolicy struct {
	Account       string `cbor:"1,keyasint"`
	MinimumLength int64  `cbor:"2,keyasint"`
	Symbols       bool   `cbor:"3,keyasint,omitempty"`
	Numbers       bool   `cbor:"4,keyasint,omitempty"`
	Uppercase     bool   `cbor:"5,keyasint,omitempty"`
	Lowercase     bool   `cbor:"6,keyasint,omitempty"`
	Changeable    bool   `cbor:"7,keyasint,omitempty"` // by users
	MaxAge        int64  `cbor:"8,keyasint,omitempty"` // days; 0: they do not expire
	Reuse         int64  `cbor:"9,keyasint,omitempty"` // earlier passwords that cannot be used again
	HardExpiry    bool   `cbor:"10,keyasint,omitempty"`
}

// PasswordPolicies holds them by account.
var PasswordPolicies = table.Collection[PasswordPolicy]{
	Name: "iam.passwordpolicy",
	Key:  func(p *PasswordPolicy) table.Key { return table.K(p.Account) },
}

// defaultPasswordLength is the MinimumPasswordLength of a policy that does not say.
const defaultPasswordLength = 6

func (s *Service) settingOperations() []api.Bound {
	return []api.Bound{
		api.Bind(iamapi.CreateAccountAlias, onNothing[iamapi.CreateAccountAliasInput], createAccountAlias),
		api.Bind(iamapi.ListAccountAliases, onNothing[iamapi.ListAccountAliasesInput], listAccountAliases),
		api.Bind(iamapi.DeleteAccountAlias, onNothing[iamapi.DeleteAccountAliasInput], deleteAccountAlias),
		api.Bind(iamapi.GetAccountPasswordPolicy, onNothing[iamapi.GetAccountPasswordPolicyInput], getAccountPasswordPolicy),
		api.Bind(iamapi.UpdateAccountPasswordPolicy, onNothing[iamapi.UpdateAccountPasswordPolicyInput], updateAccountPasswordPolicy),
		api.Bind(iamapi.DeleteAccountPasswordPolicy, onNothing[iamapi.DeleteAccountPasswordPolicyInput], deleteAccountPasswordPolicy),
		api.Bind(iamapi.GetAccountSummary, onNothing[iamapi.GetAccountSummaryInput], getAccountSummary),
	}
}

// createAccountAlias replaces the alias that the account has: "If you create a new alias for
// your account, the new alias overwrites the previous alias".
func createAccountAlias(r *api.Request, in *iamapi.CreateAccountAliasInput, _ struct{}) (*iamapi.CreateAccountAliasOutput, error) {
	out := &iamapi.CreateAccountAliasOutput{}
	_, err := Aliases.Get(r.Tx, table.K(*in.AccountAlias))
	switch {
	case err == nil:
		return nil, iamapi.EntityAlreadyExistsException("The account alias " + *in.AccountAlias + " already exists.")
	case !errors.Is(err, table.ErrNotFound):
		return nil, err
	}
	old, err := first(r.Tx, &Aliases, aliasByAccount, table.K(r.Account))
	switch {
	case err == nil:
		err = Aliases.Delete(r.Tx, table.K(old.Alias))
	case errors.Is(err, table.ErrNotFound):
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return out, Aliases.Put(r.Tx, &Alias{Alias: *in.AccountAlias, Account: r.Account})
}

func listAccountAliases(r *api.Request, in *iamapi.ListAccountAliasesInput, _ struct{}) (*iamapi.ListAccountAliasesOutput, error) {
	if _, err := newPage(in.Marker, in.MaxItems); err != nil {
		return nil, err
	}
	out := &iamapi.ListAccountAliasesOutput{AccountAliases: []string{}, IsTruncated: new(false)}
	a, err := first(r.Tx, &Aliases, aliasByAccount, table.K(r.Account))
	switch {
	case err == nil:
		out.AccountAliases = append(out.AccountAliases, a.Alias)
	case !errors.Is(err, table.ErrNotFound):
		return nil, err
	}
	return out, nil
}

func deleteAccountAlias(r *api.Request, in *iamapi.DeleteAccountAliasInput, _ struct{}) (*iamapi.DeleteAccountAliasOutput, error) {
	a, err := Aliases.Get(r.Tx, table.K(*in.AccountAlias))
	if errors.Is(err, table.ErrNotFound) || err == nil && a.Account != r.Account {
		return nil, iamapi.NoSuchEntityException("The account alias with name " + *in.AccountAlias + " cannot be found.")
	}
	if err != nil {
		return nil, err
	}
	return &iamapi.DeleteAccountAliasOutput{}, Aliases.Delete(r.Tx, table.K(a.Alias))
}

func noPasswordPolicy(r *api.Request) error {
	return iamapi.NoSuchEntityException("The Password Policy with domain name " + r.Account + " cannot be found.")
}

func getAccountPasswordPolicy(r *api.Request, _ *iamapi.GetAccountPasswordPolicyInput, _ struct{}) (*iamapi.GetAccountPasswordPolicyOutput, error) {
	p, err := PasswordPolicies.Get(r.Tx, table.K(r.Account))
	if errors.Is(err, table.ErrNotFound) {
		return nil, noPasswordPolicy(r)
	}
	if err != nil {
		return nil, err
	}
	out := &iamapi.PasswordPolicy{
		MinimumPasswordLength: &p.MinimumLength, RequireSymbols: &p.Symbols, RequireNumbers: &p.Numbers,
		RequireUppercaseCharacters: &p.Uppercase, RequireLowercaseCharacters: &p.Lowercase,
		AllowUsersToChangePassword: &p.Changeable, ExpirePasswords: new(p.MaxAge > 0), HardExpiry: &p.HardExpiry,
	}
	if p.MaxAge > 0 {
		out.MaxPasswordAge = &p.MaxAge
	}
	if p.Reuse > 0 {
		out.PasswordReusePrevention = &p.Reuse
	}
	return &iamapi.GetAccountPasswordPolicyOutput{PasswordPolicy: out}, nil
}

// updateAccountPasswordPolicy "does not support partial updates": what is not
// given has its default.
func updateAccountPasswordPolicy(r *api.Request, in *iamapi.UpdateAccountPasswordPolicyInput, _ struct{}) (*iamapi.UpdateAccountPasswordPolicyOutput, error) {
	p := &PasswordPolicy{
		Account: r.Account, MinimumLength: defaultPasswordLength,
		Symbols: api.Value(in.RequireSymbols), Numbers: api.Value(in.RequireNumbers),
		Uppercase: api.Value(in.RequireUppercaseCharacters), Lowercase: api.Value(in.RequireLowercaseCharacters),
		Changeable: api.Value(in.AllowUsersToChangePassword), HardExpiry: api.Value(in.HardExpiry),
	}
	for _, n := range []struct{ to, from *int64 }{
		{&p.MinimumLength, in.MinimumPasswordLength}, {&p.MaxAge, in.MaxPasswordAge}, {&p.Reuse, in.PasswordReusePrevention},
	} {
		if n.from != nil {
			*n.to = *n.from
		}
	}
	return &iamapi.UpdateAccountPasswordPolicyOutput{}, PasswordPolicies.Put(r.Tx, p)
}

func deleteAccountPasswordPolicy(r *api.Request, _ *iamapi.DeleteAccountPasswordPolicyInput, _ struct{}) (*iamapi.DeleteAccountPasswordPolicyOutput, error) {
	_, err := PasswordPolicies.Get(r.Tx, table.K(r.Account))
	if errors.Is(err, table.ErrNotFound) {
		return nil, noPasswordPolicy(r)
	}
	if err != nil {
		return nil, err
	}
	return &iamapi.DeleteAccountPasswordPolicyOutput{}, PasswordPolicies.Delete(r.Tx, table.K(r.Account))
}

// getAccountSummary counts nothing that there are many of: it takes as long for an
// account with thousands of users as for an empty one.
func getAccountSummary(r *api.Request, _ *iamapi.GetAccountSummaryInput, _ struct{}) (*iamapi.GetAccountSummaryOutput, error) {
	m := map[string]int64{
		"UsersQuota": int64(userCounter.limit), "GroupsQuota": int64(groupCounter.limit), "RolesQuota": int64(roleCounter.limit),
		"InstanceProfilesQuota": int64(profileCounter.limit), "PoliciesQuota": int64(policyCounter.limit),
		"PolicyVersionsInUseQuota": int64(versionCounter.limit), "VersionsPerPolicyQuota": maxVersions,
		"GroupsPerUserQuota": maxGroups, "AccessKeysPerUserQuota": maxKeys,
		"AttachedPoliciesPerUserQuota": maxAttached, "AttachedPoliciesPerGroupQuota": maxAttached, "AttachedPoliciesPerRoleQuota": maxAttached,
		"PolicySizeQuota": policy.MaxManagedPolicy, "AssumeRolePolicySizeQuota": policy.MaxTrustPolicy,
		"UserPolicySizeQuota": maxUserInline, "GroupPolicySizeQuota": maxGroupInline, "RolePolicySizeQuota": maxRoleInline,
		"ServerCertificates": 0, "ServerCertificatesQuota": 20, "SigningCertificatesPerUserQuota": 2,
		"AccountMFAEnabled": 0, "AccountPasswordPresent": 0, "AccountSigningCertificatesPresent": 0, "AccountAccessKeysPresent": 0, "Providers": 0,
		"GlobalEndpointTokenVersion": 2, // tokens are good in every region
	}
	for name, c := range map[string]*counter{
		"Users": &userCounter, "Groups": &groupCounter, "Roles": &roleCounter, "InstanceProfiles": &profileCounter,
		"Policies": &policyCounter, "PolicyVersionsInUse": &versionCounter,
		"MFADevices": &deviceCounter, "MFADevicesInUse": &inUseCounter,
	} {
		n, err := c.count(r.Tx, r.Account)
		if err != nil {
			return nil, err
		}
		m[name] = int64(n)
	}
	// Of these there are only some, by their quotas.
	for _, err := range OIDCProviders.Scan(r.Tx, table.Range{Prefix: table.K(r.Account)}) {
		if err != nil {
			return nil, err
		}
		m["Providers"]++
	}
	for _, err := range SAMLProviders.Scan(r.Tx, table.Range{Prefix: table.K(r.Account)}) {
		if err != nil {
			return nil, err
		}
		m["Providers"]++
	}
	for _, err := range AccessKeys.ScanIndex(r.Tx, keyByAccount, table.Range{Prefix: table.K(r.Account)}) {
		if err != nil {
			return nil, err
		}
		m["AccountAccessKeysPresent"] = 1
	}
	return &iamapi.GetAccountSummaryOutput{SummaryMap: m}, nil
}

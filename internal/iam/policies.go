package iam

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"
	"strings"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// maxVersions is how many versions a managed policy can have ("IAM and AWS STS quotas").
const maxVersions = 5

func (s *Service) policyOperations() []api.Bound {
	return []api.Bound{
		api.Bind(iamapi.CreatePolicy, resolveCreatePolicy, createPolicy),
		api.Bind(iamapi.GetPolicy, onPolicy(func(in *iamapi.GetPolicyInput) *string { return in.PolicyArn }), getPolicy),
		api.Bind(iamapi.ListPolicies, onNothing[iamapi.ListPoliciesInput], listPolicies),
		api.Bind(iamapi.DeletePolicy, onPolicy(func(in *iamapi.DeletePolicyInput) *string { return in.PolicyArn }), deletePolicy),
		api.Bind(iamapi.CreatePolicyVersion, onPolicy(func(in *iamapi.CreatePolicyVersionInput) *string { return in.PolicyArn }), createPolicyVersion),
		api.Bind(iamapi.GetPolicyVersion, onPolicy(func(in *iamapi.GetPolicyVersionInput) *string { return in.PolicyArn }), getPolicyVersion),
		api.Bind(iamapi.ListPolicyVersions, onPolicy(func(in *iamapi.ListPolicyVersionsInput) *string { return in.PolicyArn }), listPolicyVersions),
		api.Bind(iamapi.SetDefaultPolicyVersion, onPolicy(func(in *iamapi.SetDefaultPolicyVersionInput) *string { return in.PolicyArn }), setDefaultPolicyVersion),
		api.Bind(iamapi.DeletePolicyVersion, onPolicy(func(in *iamapi.DeletePolicyVersionInput) *string { return in.PolicyArn }), deletePolicyVersion),
		api.Bind(iamapi.ListEntitiesForPolicy, onPolicy(func(in *iamapi.ListEntitiesForPolicyInput) *string { return in.PolicyArn }), listEntitiesForPolicy),
		api.Bind(iamapi.TagPolicy, resolveTagPolicy, tagPolicy),
		api.Bind(iamapi.UntagPolicy, resolveUntagPolicy, untagPolicy),
		api.Bind(iamapi.ListPolicyTags, onPolicy(func(in *iamapi.ListPolicyTagsInput) *string { return in.PolicyArn }), listPolicyTags),
	}
}

// policyTarget is the managed policy that an operation names: one of an account,
// one of AWS's, or neither.
type policyTarget struct {
	r   *api.Request
	arn string
	own *ManagedPolicy    // shared
	aws *AWSManagedPolicy // shared
}

func locatePolicy(r *api.Request, text string) (t policyTarget, access api.Access, err error) {
	a, _, err := parseARN(text, "policy")
	if err != nil {
		return t, access, err
	}
	t = policyTarget{r: r, arn: text}
	var tags []policy.Tag
	if t.aws = awsManaged(text); t.aws == nil {
		switch t.own, err = findPolicy(r.Tx, text); {
		case err == nil && a.Partition != r.Partition():
			t.own = nil
		case errors.Is(err, table.ErrNotFound):
			t.own = nil
		case err != nil:
			return t, access, err
		default:
			tags = t.own.Tags
		}
	}
	access = named(r, text, a, tags)
	access.Named = "policy " + text
	return t, access, nil
}

// onPolicy resolves operations on the managed policy whose ARN get returns.
func onPolicy[I any](get func(*I) *string) func(*api.Request, *I) (policyTarget, api.Access, error) {
	return func(r *api.Request, in *I) (policyTarget, api.Access, error) { return locatePolicy(r, *get(in)) }
}

func noSuchPolicy(arn string) error {
	return iamapi.NoSuchEntityException("Policy " + arn + " was not found.")
}

// edit returns a copy of the policy, to be changed and put, to a caller whose
// action was authorized. Those of AWS nobody changes.
func (t *policyTarget) edit() (*ManagedPolicy, error) {
	switch {
	case t.aws != nil:
		return nil, api.AccessDeniedException("User: " + t.r.Principal.ARN + " is not authorized to perform: " + t.r.Op.Action() + " on resource: policy " + t.arn)
	case t.own == nil:
		return nil, noSuchPolicy(t.arn)
	}
	return ManagedPolicies.Edit(t.r.Tx, table.K(t.own.ID))
}

// useOf is how often a policy is used in the account of the request.
func useOf(r *api.Request, arn string) (*PolicyUse, error) {
	u, err := PolicyUses.Get(r.Tx, table.K(r.Account, arn))
	if errors.Is(err, table.ErrNotFound) {
		return &PolicyUse{}, nil
	}
	return u, err
}

// shown is the policy as listings show it.
func (p *ManagedPolicy) shown(r *api.Request) (*iamapi.Policy, error) {
	arn := p.ARN(r.Partition())
	u, err := useOf(r, arn)
	if err != nil {
		return nil, err
	}
	return &iamapi.Policy{
		PolicyName: &p.Name, PolicyId: &p.ID, Arn: &arn, Path: &p.Path, DefaultVersionId: new(versionID(p.Default)),
		AttachmentCount: new(int64(u.Attached)), PermissionsBoundaryUsageCount: new(int64(u.Boundaries)),
		IsAttachable: new(true), CreateDate: p.Created.Ptr(), UpdateDate: p.Updated.Ptr(),
	}, nil
}

// shown is the policy as listings show it.
func (p *AWSManagedPolicy) shown(r *api.Request) (*iamapi.Policy, error) {
	arn := p.ARN(r.Partition())
	u, err := useOf(r, arn)
	if err != nil {
		return nil, err
	}
	return &iamapi.Policy{
		PolicyName: &p.Name, PolicyId: &p.ID, Arn: &arn, Path: &p.Path, DefaultVersionId: new(versionID(p.Version)),
		AttachmentCount: new(int64(u.Attached)), PermissionsBoundaryUsageCount: new(int64(u.Boundaries)),
		IsAttachable: new(true), CreateDate: &p.Created, UpdateDate: &p.Updated,
	}, nil
}

func resolveCreatePolicy(r *api.Request, in *iamapi.CreatePolicyInput) (*entity, api.Access, error) {
	e := &entity{r: r, kind: "policy", path: pathOf(in.Path), name: *in.PolicyName, existing: true}
	a := e.access()
	a.RequestTags = requestTags(in.Tags)
	return e, alsoTagging(a, "iam:TagPolicy"), nil
}

func createPolicy(r *api.Request, in *iamapi.CreatePolicyInput, e *entity) (_ *iamapi.CreatePolicyOutput, err error) {
	if err := checkManaged(*in.PolicyDocument); err != nil {
		return nil, err
	}
	now := table.At(r.Time)
	p := &ManagedPolicy{
		ID: newID("ANPA"), Account: r.Account, Name: e.name, Path: e.path, Description: api.Value(in.Description), Created: now, Updated: now,
		Default: 1, Next: 2, Versions: []PolicyVersion{{Number: 1, Created: now}},
	}
	if p.Tags, err = mergeTags(nil, in.Tags); err != nil {
		return nil, err
	}
	switch _, err := first(r.Tx, &ManagedPolicies, policyByName, table.K(r.Account, fold(p.Name))); {
	case err == nil:
		return nil, iamapi.EntityAlreadyExistsException("A policy called " + p.Name + " already exists. Duplicate names are not allowed.")
	case !errors.Is(err, table.ErrNotFound):
		return nil, err
	}
	if err := policyCounter.add(r.Tx, r.Account); err != nil {
		return nil, err
	}
	if err := versionCounter.add(r.Tx, r.Account); err != nil {
		return nil, err
	}
	if err := PolicyDocuments.Insert(r.Tx, &PolicyDocument{PolicyID: p.ID, Number: 1, Text: *in.PolicyDocument}); err != nil {
		return nil, err
	}
	if err := ManagedPolicies.Insert(r.Tx, p); err != nil {
		return nil, err
	}
	shown, err := p.shown(r)
	if err != nil {
		return nil, err
	}
	shown.Tags = shownTags(p.Tags)
	return &iamapi.CreatePolicyOutput{Policy: shown}, nil
}

// checkManaged checks the document of a managed policy.
func checkManaged(text string) error {
	if _, err := parseDocument(text, policy.Identity); err != nil {
		return err
	}
	if policy.Length([]byte(text)) > policy.MaxManagedPolicy {
		return quotaExceeded("PolicySize", policy.MaxManagedPolicy)
	}
	return nil
}

func getPolicy(r *api.Request, _ *iamapi.GetPolicyInput, t policyTarget) (*iamapi.GetPolicyOutput, error) {
	var shown *iamapi.Policy
	var err error
	switch {
	case t.aws != nil:
		if shown, err = t.aws.shown(r); err == nil {
			shown.Description, shown.Tags = &t.aws.Description, []iamapi.Tag{}
		}
	case t.own != nil:
		if shown, err = t.own.shown(r); err == nil {
			shown.Tags = append([]iamapi.Tag{}, shownTags(t.own.Tags)...)
			if t.own.Description != "" {
				shown.Description = &t.own.Description
			}
		}
	default:
		err = noSuchPolicy(t.arn)
	}
	if err != nil {
		return nil, err
	}
	return &iamapi.GetPolicyOutput{Policy: shown}, nil
}

func listPolicies(r *api.Request, in *iamapi.ListPoliciesInput, _ struct{}) (*iamapi.ListPoliciesOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListPoliciesOutput{Policies: []iamapi.Policy{}}
	add := func(shown *iamapi.Policy, err error) (bool, int, error) {
		if err == nil {
			out.Policies = append(out.Policies, *shown)
		}
		return true, 0, err
	}
	// Which policies are asked for: those that are used, in one way, or all.
	used := ""
	switch {
	case in.PolicyUsageFilter != nil && *in.PolicyUsageFilter == "PermissionsBoundary":
		used = useBoundary
	case in.PolicyUsageFilter != nil || in.OnlyAttached != nil && *in.OnlyAttached:
		used = useAttached
	}
	var sections []section
	scope := api.Value(in.Scope)
	if scope != "Local" {
		sections = append(sections, awsSection(r, used, api.Value(in.PathPrefix), func(p *AWSManagedPolicy) (bool, int, error) { return add(p.shown(r)) }))
	}
	rows := underPath(r, in.PathPrefix)
	switch {
	case scope == "AWS":
	case used != "":
		sections = append(sections, sectionOf(r, "local", &PolicyUses, used, rows, func(u *PolicyUse) (bool, int, error) {
			p, err := findPolicy(r.Tx, u.ARN)
			if err != nil {
				return false, 0, fmt.Errorf("iam: policy in use %s: %w", u.ARN, err)
			}
			return add(p.shown(r))
		}))
	default:
		sections = append(sections, sectionOf(r, "local", &ManagedPolicies, policyByPath, rows, func(p *ManagedPolicy) (bool, int, error) { return add(p.shown(r)) }))
	}
	out.Marker, err = walk(p, sections...)
	out.IsTruncated = new(out.Marker != nil)
	return out, err
}

// awsSection is AWS's policies under a path, as a part of a listing: those
// that are used in the way of the index used, or all.
func awsSection(r *api.Request, used, pathPrefix string, show func(*AWSManagedPolicy) (bool, int, error)) section {
	key := func(p *AWSManagedPolicy) table.Key { return table.K(p.Path, p.Name) }
	from := func(after table.Key) int {
		return sort.Search(len(awsManagedPolicies), func(i int) bool { return after == "" || key(awsManagedPolicies[i]) > after })
	}
	return section{
		name: "aws",
		rows: func(after table.Key) iter.Seq2[table.IndexEntry, error] {
			return func(yield func(table.IndexEntry, error) bool) {
				for _, p := range awsManagedPolicies[from(after):] {
					if !strings.HasPrefix(p.Path, pathPrefix) {
						continue
					}
					if used != "" {
						u, err := useOf(r, p.ARN(r.Partition()))
						if err != nil {
							yield(table.IndexEntry{}, err)
							return
						}
						if used == useAttached && u.Attached == 0 || used == useBoundary && u.Boundaries == 0 {
							continue
						}
					}
					if !yield(table.IndexEntry{Key: key(p)}, nil) {
						return
					}
				}
			}
		},
		show: func(e table.IndexEntry) (bool, int, error) {
			i := sort.Search(len(awsManagedPolicies), func(i int) bool { return key(awsManagedPolicies[i]) >= e.Key })
			return show(awsManagedPolicies[i])
		},
	}
}

func deletePolicy(r *api.Request, _ *iamapi.DeletePolicyInput, t policyTarget) (*iamapi.DeletePolicyOutput, error) {
	p, err := t.edit()
	if err != nil {
		return nil, err
	}
	u, err := useOf(r, t.arn)
	switch {
	case err != nil:
		return nil, err
	case u.Attached > 0 || u.Boundaries > 0:
		return nil, iamapi.DeleteConflictException("Cannot delete a policy attached to entities.")
	case len(p.Versions) > 1:
		return nil, iamapi.DeleteConflictException("This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
	}
	if err := PolicyDocuments.Delete(r.Tx, documentKey(p.ID, p.Default)); err != nil {
		return nil, err
	}
	if err := ManagedPolicies.Delete(r.Tx, table.K(p.ID)); err != nil {
		return nil, err
	}
	if err := policyCounter.remove(r.Tx, r.Account); err != nil {
		return nil, err
	}
	if err := versionCounter.remove(r.Tx, r.Account); err != nil {
		return nil, err
	}
	// Nothing has it attached, but sessions can have been given it.
	return &iamapi.DeletePolicyOutput{}, changed(r.Tx, r.Account)
}

func createPolicyVersion(r *api.Request, in *iamapi.CreatePolicyVersionInput, t policyTarget) (*iamapi.CreatePolicyVersionOutput, error) {
	p, err := t.edit()
	if err != nil {
		return nil, err
	}
	if err := checkManaged(*in.PolicyDocument); err != nil {
		return nil, err
	}
	if len(p.Versions) >= maxVersions {
		return nil, iamapi.LimitExceededException("A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.")
	}
	if err := versionCounter.add(r.Tx, r.Account); err != nil {
		return nil, err
	}
	v := PolicyVersion{Number: p.Next, Created: table.At(r.Time)}
	if err := PolicyDocuments.Insert(r.Tx, &PolicyDocument{PolicyID: p.ID, Number: v.Number, Text: *in.PolicyDocument}); err != nil {
		return nil, err
	}
	p.Next, p.Updated, p.Versions = p.Next+1, v.Created, append(p.Versions, v)
	if in.SetAsDefault != nil && *in.SetAsDefault {
		p.Default = v.Number
		if err := changed(r.Tx, r.Account); err != nil {
			return nil, err
		}
	}
	if err := ManagedPolicies.Put(r.Tx, p); err != nil {
		return nil, err
	}
	return &iamapi.CreatePolicyVersionOutput{PolicyVersion: p.shownVersion(&v)}, nil
}

// shownVersion is a version as answers show it, without its document.
func (p *ManagedPolicy) shownVersion(v *PolicyVersion) *iamapi.PolicyVersion {
	return &iamapi.PolicyVersion{VersionId: new(versionID(v.Number)), IsDefaultVersion: new(v.Number == p.Default), CreateDate: v.Created.Ptr()}
}

func (p *AWSManagedPolicy) shownVersion() *iamapi.PolicyVersion {
	return &iamapi.PolicyVersion{VersionId: new(versionID(p.Version)), IsDefaultVersion: new(true), CreateDate: &p.Updated}
}

// version finds a version by its id, in the policy's list.
func (t *policyTarget) version(p *ManagedPolicy, id string) (int, error) {
	i := slices.IndexFunc(p.Versions, func(v PolicyVersion) bool { return versionID(v.Number) == id })
	if i < 0 {
		return 0, t.noSuchVersion(id)
	}
	return i, nil
}

func (t *policyTarget) noSuchVersion(id string) error {
	return iamapi.NoSuchEntityException("Policy " + t.arn + " version " + id + " does not exist or is not attachable.")
}

func getPolicyVersion(r *api.Request, in *iamapi.GetPolicyVersionInput, t policyTarget) (*iamapi.GetPolicyVersionOutput, error) {
	switch {
	case t.aws != nil && versionID(t.aws.Version) == *in.VersionId:
		shown := t.aws.shownVersion()
		shown.Document = encodeDocument(t.aws.Text())
		return &iamapi.GetPolicyVersionOutput{PolicyVersion: shown}, nil
	case t.aws != nil:
		return nil, t.noSuchVersion(*in.VersionId)
	case t.own == nil:
		return nil, noSuchPolicy(t.arn)
	}
	i, err := t.version(t.own, *in.VersionId)
	if err != nil {
		return nil, err
	}
	shown, err := t.own.versionWithDocument(r, &t.own.Versions[i])
	return &iamapi.GetPolicyVersionOutput{PolicyVersion: shown}, err
}

func (p *ManagedPolicy) versionWithDocument(r *api.Request, v *PolicyVersion) (*iamapi.PolicyVersion, error) {
	d, err := PolicyDocuments.Get(r.Tx, documentKey(p.ID, v.Number))
	if err != nil {
		return nil, fmt.Errorf("iam: version %s of %s: %w", versionID(v.Number), p.ID, err)
	}
	shown := p.shownVersion(v)
	shown.Document = encodeDocument(d.Text)
	return shown, nil
}

// listPolicyVersions lists the newest first, as AWS does.
func listPolicyVersions(_ *api.Request, in *iamapi.ListPolicyVersionsInput, t policyTarget) (*iamapi.ListPolicyVersionsOutput, error) {
	out := &iamapi.ListPolicyVersionsOutput{Versions: []iamapi.PolicyVersion{}}
	switch {
	case t.aws != nil:
		out.Versions = append(out.Versions, *t.aws.shownVersion())
	case t.own == nil:
		return nil, noSuchPolicy(t.arn)
	default:
		versions := slices.Clone(t.own.Versions)
		slices.Reverse(versions)
		some, next, err := part(versions, func(v *PolicyVersion) table.Key { return table.K(fmt.Sprintf("%08x", 1<<31-v.Number)) }, in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		for i := range some {
			out.Versions = append(out.Versions, *t.own.shownVersion(&some[i]))
		}
		out.Marker = next
	}
	out.IsTruncated = new(out.Marker != nil)
	return out, nil
}

func setDefaultPolicyVersion(r *api.Request, in *iamapi.SetDefaultPolicyVersionInput, t policyTarget) (*iamapi.SetDefaultPolicyVersionOutput, error) {
	p, err := t.edit()
	if err != nil {
		return nil, err
	}
	i, err := t.version(p, *in.VersionId)
	if err != nil {
		return nil, err
	}
	p.Default, p.Updated = p.Versions[i].Number, table.At(r.Time)
	if err := ManagedPolicies.Put(r.Tx, p); err != nil {
		return nil, err
	}
	return &iamapi.SetDefaultPolicyVersionOutput{}, changed(r.Tx, r.Account)
}

func deletePolicyVersion(r *api.Request, in *iamapi.DeletePolicyVersionInput, t policyTarget) (*iamapi.DeletePolicyVersionOutput, error) {
	p, err := t.edit()
	if err != nil {
		return nil, err
	}
	i, err := t.version(p, *in.VersionId)
	if err != nil {
		return nil, err
	}
	n := p.Versions[i].Number
	if n == p.Default {
		return nil, iamapi.DeleteConflictException("Cannot delete the default version of a policy.")
	}
	if err := PolicyDocuments.Delete(r.Tx, documentKey(p.ID, n)); err != nil {
		return nil, err
	}
	if err := versionCounter.remove(r.Tx, r.Account); err != nil {
		return nil, err
	}
	p.Versions = slices.Delete(p.Versions, i, i+1)
	return &iamapi.DeletePolicyVersionOutput{}, ManagedPolicies.Put(r.Tx, p)
}

func listEntitiesForPolicy(r *api.Request, in *iamapi.ListEntitiesForPolicyInput, t policyTarget) (*iamapi.ListEntitiesForPolicyOutput, error) {
	if t.aws == nil && t.own == nil {
		return nil, noSuchPolicy(t.arn)
	}
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListEntitiesForPolicyOutput{PolicyGroups: []iamapi.PolicyGroup{}, PolicyUsers: []iamapi.PolicyUser{}, PolicyRoles: []iamapi.PolicyRole{}}
	rows := table.Range{Prefix: table.K(r.Account, t.arn)}
	if in.PathPrefix != nil {
		rows = table.Range{Prefix: table.K(r.Account, t.arn, *in.PathPrefix), Partial: true}
	}
	wants := func(kind, usage string) bool {
		return (in.EntityFilter == nil || *in.EntityFilter == kind) && (in.PolicyUsageFilter == nil || *in.PolicyUsageFilter == usage)
	}
	// What has the policy attached and as its boundary is shown once.
	twice := func(attached []string) bool { return in.PolicyUsageFilter == nil && slices.Contains(attached, t.arn) }
	var sections []section
	if wants("Group", "PermissionsPolicy") {
		sections = append(sections, sectionOf(r, "group", &Groups, groupByPolicy, rows, func(g *Group) (bool, int, error) {
			out.PolicyGroups = append(out.PolicyGroups, iamapi.PolicyGroup{GroupName: &g.Name, GroupId: &g.ID})
			return true, 0, nil
		}))
	}
	user := func(u *User) (bool, int, error) {
		out.PolicyUsers = append(out.PolicyUsers, iamapi.PolicyUser{UserName: &u.Name, UserId: &u.ID})
		return true, 0, nil
	}
	if wants("User", "PermissionsPolicy") {
		sections = append(sections, sectionOf(r, "user", &Users, userByPolicy, rows, user))
	}
	if wants("User", "PermissionsBoundary") {
		sections = append(sections, sectionOf(r, "bounded user", &Users, userByBoundary, rows, func(u *User) (bool, int, error) {
			if twice(u.Attached) {
				return false, 0, nil
			}
			return user(u)
		}))
	}
	role := func(role *Role) (bool, int, error) {
		out.PolicyRoles = append(out.PolicyRoles, iamapi.PolicyRole{RoleName: &role.Name, RoleId: &role.ID})
		return true, 0, nil
	}
	if wants("Role", "PermissionsPolicy") {
		sections = append(sections, sectionOf(r, "role", &Roles, roleByPolicy, rows, role))
	}
	if wants("Role", "PermissionsBoundary") {
		sections = append(sections, sectionOf(r, "bounded role", &Roles, roleByBoundary, rows, func(x *Role) (bool, int, error) {
			if twice(x.Attached) {
				return false, 0, nil
			}
			return role(x)
		}))
	}
	out.Marker, err = walk(p, sections...)
	out.IsTruncated = new(out.Marker != nil)
	return out, err
}

func resolveTagPolicy(r *api.Request, in *iamapi.TagPolicyInput) (policyTarget, api.Access, error) {
	t, a, err := locatePolicy(r, *in.PolicyArn)
	a.RequestTags = requestTags(in.Tags)
	return t, a, err
}

func tagPolicy(r *api.Request, in *iamapi.TagPolicyInput, t policyTarget) (*iamapi.TagPolicyOutput, error) {
	p, err := t.edit()
	if err != nil {
		return nil, err
	}
	if p.Tags, err = mergeTags(p.Tags, in.Tags); err != nil {
		return nil, err
	}
	return &iamapi.TagPolicyOutput{}, ManagedPolicies.Put(r.Tx, p)
}

func resolveUntagPolicy(r *api.Request, in *iamapi.UntagPolicyInput) (policyTarget, api.Access, error) {
	t, a, err := locatePolicy(r, *in.PolicyArn)
	a.TagKeys = in.TagKeys
	return t, a, err
}

func untagPolicy(r *api.Request, in *iamapi.UntagPolicyInput, t policyTarget) (*iamapi.UntagPolicyOutput, error) {
	p, err := t.edit()
	if err != nil {
		return nil, err
	}
	p.Tags = withoutTags(p.Tags, in.TagKeys)
	return &iamapi.UntagPolicyOutput{}, ManagedPolicies.Put(r.Tx, p)
}

func listPolicyTags(_ *api.Request, in *iamapi.ListPolicyTagsInput, t policyTarget) (*iamapi.ListPolicyTagsOutput, error) {
	var tags []policy.Tag
	switch {
	case t.own != nil:
		tags = t.own.Tags
	case t.aws == nil:
		return nil, noSuchPolicy(t.arn)
	}
	shown, next, err := tagPage(tags, in.Marker, in.MaxItems)
	return &iamapi.ListPolicyTagsOutput{Tags: shown, Marker: next, IsTruncated: new(next != nil)}, err
}

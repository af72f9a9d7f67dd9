package iam

import (
	"fmt"
	"slices"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/table"
)

func (s *Service) authorizationDetailsOperations() []api.Bound {
	return []api.Bound{
		api.Bind(iamapi.GetAccountAuthorizationDetails, onNothing[iamapi.GetAccountAuthorizationDetailsInput], s.getAccountAuthorizationDetails),
	}
}

// getAccountAuthorizationDetails shows one page of all users, groups, roles and
// managed policies, in that order: of AWS's policies those that are in use.
func (s *Service) getAccountAuthorizationDetails(r *api.Request, in *iamapi.GetAccountAuthorizationDetailsInput, _ struct{}) (*iamapi.GetAccountAuthorizationDetailsOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iamapi.GetAccountAuthorizationDetailsOutput{
		UserDetailList: []iamapi.UserDetail{}, GroupDetailList: []iamapi.GroupDetail{}, RoleDetailList: []iamapi.RoleDetail{}, Policies: []iamapi.ManagedPolicyDetail{},
	}
	wants := func(kind string) bool { return len(in.Filter) == 0 || slices.Contains(in.Filter, kind) }
	rows := table.Range{Prefix: table.K(r.Account)}
	var sections []section
	if wants("User") {
		sections = append(sections, sectionOf(r, "user", &Users, userByPath, rows, func(u *User) (bool, int, error) {
			d, size, err := userDetail(r, u)
			out.UserDetailList = append(out.UserDetailList, d)
			return true, size, err
		}))
	}
	if wants("Group") {
		sections = append(sections, sectionOf(r, "group", &Groups, groupByPath, rows, func(g *Group) (bool, int, error) {
			d, size, err := groupDetail(r, g)
			out.GroupDetailList = append(out.GroupDetailList, d)
			return true, size, err
		}))
	}
	if wants("Role") {
		sections = append(sections, sectionOf(r, "role", &Roles, roleByPath, rows, func(role *Role) (bool, int, error) {
			d, size, err := s.roleDetail(r, role)
			out.RoleDetailList = append(out.RoleDetailList, d)
			return true, size, err
		}))
	}
	if wants("LocalManagedPolicy") {
		sections = append(sections, sectionOf(r, "local", &ManagedPolicies, policyByPath, rows, func(p *ManagedPolicy) (bool, int, error) {
			d, size, err := p.detail(r)
			out.Policies = append(out.Policies, d)
			return true, size, err
		}))
	}
	if wants("AWSManagedPolicy") {
		for _, used := range []string{useAttached, useBoundary} {
			sec := awsSection(r, used, "", func(p *AWSManagedPolicy) (bool, int, error) {
				if used == useBoundary { // not twice
					if u, err := useOf(r, p.ARN(r.Partition())); err != nil || u.Attached > 0 {
						return false, 0, err
					}
				}
				d, size, err := p.detail(r)
				out.Policies = append(out.Policies, d)
				return true, size, err
			})
			sec.name += " " + used
			sections = append(sections, sec)
		}
	}
	out.Marker, err = walk(p, sections...)
	out.IsTruncated = new(out.Marker != nil)
	return out, err
}

// inlineDetails are the inline policies of an owner, with the bytes that they take.
func inlineDetails(tx *table.Tx, owner string) (out []iamapi.PolicyDetail, size int, err error) {
	ps, err := inlineOf(tx, owner)
	out = []iamapi.PolicyDetail{}
	for _, p := range ps {
		d := iamapi.PolicyDetail{PolicyName: &p.Name, PolicyDocument: encodeDocument(p.Text)}
		out, size = append(out, d), size+len(*d.PolicyDocument)
	}
	return out, size, err
}

func userDetail(r *api.Request, u *User) (d iamapi.UserDetail, size int, err error) {
	d = iamapi.UserDetail{
		Path: &u.Path, UserName: &u.Name, UserId: &u.ID, Arn: new(u.ARN(r.Partition())), CreateDate: u.Created.Ptr(),
		GroupList: []string{}, AttachedManagedPolicies: attachedPolicies(u.Attached), PermissionsBoundary: shownBoundary(u.Boundary), Tags: shownTags(u.Tags),
	}
	for _, id := range u.Groups {
		g, err := Groups.Get(r.Tx, table.K(id))
		if err != nil {
			return d, 0, fmt.Errorf("iam: group of user %s: %w", u.ID, err)
		}
		d.GroupList = append(d.GroupList, g.Name)
	}
	d.UserPolicyList, size, err = inlineDetails(r.Tx, u.ID)
	return d, size, err
}

func groupDetail(r *api.Request, g *Group) (d iamapi.GroupDetail, size int, err error) {
	d = iamapi.GroupDetail{
		Path: &g.Path, GroupName: &g.Name, GroupId: &g.ID, Arn: new(g.ARN(r.Partition())), CreateDate: g.Created.Ptr(),
		AttachedManagedPolicies: attachedPolicies(g.Attached),
	}
	d.GroupPolicyList, size, err = inlineDetails(r.Tx, g.ID)
	return d, size, err
}

func (s *Service) roleDetail(r *api.Request, role *Role) (d iamapi.RoleDetail, size int, err error) {
	shown, err := role.described(r)
	if err != nil {
		return d, 0, err
	}
	d = iamapi.RoleDetail{
		Path: shown.Path, RoleName: shown.RoleName, RoleId: shown.RoleId, Arn: shown.Arn, CreateDate: shown.CreateDate,
		AssumeRolePolicyDocument: shown.AssumeRolePolicyDocument, PermissionsBoundary: shown.PermissionsBoundary, Tags: shown.Tags,
		AttachedManagedPolicies: attachedPolicies(role.Attached), InstanceProfileList: []iamapi.InstanceProfile{},
	}
	for e, err := range InstanceProfiles.ScanIndex(r.Tx, profileByRole, table.Range{Prefix: table.K(role.ID)}) {
		if err != nil {
			return d, 0, err
		}
		if len(d.InstanceProfileList) == maxItems {
			break // a role is in one or two
		}
		p, err := InstanceProfiles.Get(r.Tx, e.Record)
		if err != nil {
			return d, 0, err
		}
		profile, err := p.shown(r)
		if err != nil {
			return d, 0, err
		}
		d.InstanceProfileList = append(d.InstanceProfileList, *profile)
		size += len(*shown.AssumeRolePolicyDocument)
	}
	if d.RoleLastUsed, err = s.directory.roleLastUsed(r, role.ID); err != nil {
		return d, 0, err
	}
	inline, more, err := inlineDetails(r.Tx, role.ID)
	d.RolePolicyList = inline
	return d, size + more + len(*shown.AssumeRolePolicyDocument), err
}

// detailOf is a managed policy as it is listed, in the form of details.
func detailOf(p *iamapi.Policy) iamapi.ManagedPolicyDetail {
	return iamapi.ManagedPolicyDetail{
		PolicyName: p.PolicyName, PolicyId: p.PolicyId, Arn: p.Arn, Path: p.Path, DefaultVersionId: p.DefaultVersionId,
		AttachmentCount: p.AttachmentCount, PermissionsBoundaryUsageCount: p.PermissionsBoundaryUsageCount, IsAttachable: p.IsAttachable,
		CreateDate: p.CreateDate, UpdateDate: p.UpdateDate, PolicyVersionList: []iamapi.PolicyVersion{},
	}
}

func (p *ManagedPolicy) detail(r *api.Request) (d iamapi.ManagedPolicyDetail, size int, err error) {
	shown, err := p.shown(r)
	if err != nil {
		return d, 0, err
	}
	d = detailOf(shown)
	for i := len(p.Versions) - 1; i >= 0; i-- { // the newest first
		v, err := p.versionWithDocument(r, &p.Versions[i])
		if err != nil {
			return d, 0, err
		}
		d.PolicyVersionList = append(d.PolicyVersionList, *v)
		size += len(*v.Document)
	}
	return d, size, nil
}

func (p *AWSManagedPolicy) detail(r *api.Request) (d iamapi.ManagedPolicyDetail, size int, err error) {
	shown, err := p.shown(r)
	if err != nil {
		return d, 0, err
	}
	d = detailOf(shown)
	v := p.shownVersion()
	v.Document = encodeDocument(p.Text())
	d.PolicyVersionList = append(d.PolicyVersionList, *v)
	return d, len(*v.Document), nil
}

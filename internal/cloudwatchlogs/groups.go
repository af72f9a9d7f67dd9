package cloudwatchlogs

import (
	"errors"
	"strings"

	"coffer/internal/api"
	logsapi "coffer/internal/api/logs"
	"coffer/internal/fault"
	"coffer/internal/table"
)

const (
	textGroupExists   = "The specified log group already exists"
	textReserved      = "Log groups starting with AWS/ are reserved for AWS."
	textKMS           = "Coffer does not encrypt log groups under KMS keys; all rows are encrypted under the store's own key. Leave kmsKeyId out."
	textDelivery      = "The log class DELIVERY is not supported."
	textProtected     = "Log group deletion is blocked because deletion protection is enabled. Disable deletion protection before deleting the log group."
	textPrefixPattern = "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."
	textOnlyNames     = "logGroupIdentifiers cannot be combined with other filters."
	textLinked        = "Cross-account observability is not supported: accountIdentifiers can only name the caller's account."
	textUntaggable    = "User with accountId: %s is not authorized to perform CreateLogGroup with Tags. An additional permission \"logs:TagResource\" is required."
)

const (
	groupsPerPage = 50   // unless asked otherwise
	groupsLooked  = 2000 // at most, by one call
)

func resolveCreateLogGroup(r *api.Request, in *logsapi.CreateLogGroupInput) (*target, api.Access, error) {
	t, err := locate(r, in.LogGroupName, nil)
	if err != nil {
		return nil, api.Access{}, err
	}
	a := t.access("")
	a.Tags, a.RequestTags = nil, tagList(in.Tags) // of a group that is to be made
	return t, a, nil
}

func createLogGroup(r *api.Request, in *logsapi.CreateLogGroupInput, t *target) (*logsapi.CreateLogGroupOutput, error) {
	switch {
	case strings.HasPrefix(strings.ToLower(t.name), "aws/"):
		return nil, invalid(textReserved)
	case in.KmsKeyId != nil:
		return nil, invalid(textKMS)
	case api.Value(in.LogGroupClass) == logsapi.LogGroupClassDelivery:
		return nil, invalid(textDelivery)
	}
	g := t.fresh(r)
	if in.LogGroupClass != nil {
		g.Class = *in.LogGroupClass
	}
	g.Protected = api.Value(in.DeletionProtectionEnabled)
	if len(in.Tags) > 0 {
		if err := t.mayTag(r, in.Tags); err != nil {
			return nil, err
		}
		if err := g.tag(in.Tags, invalid); err != nil {
			return nil, err
		}
	}
	if t.group != nil {
		return nil, logsapi.ResourceAlreadyExistsException(textGroupExists)
	}
	return &logsapi.CreateLogGroupOutput{}, Groups.Put(r.Tx, g)
}

// fresh is a new group of the target's name.
func (t *target) fresh(r *api.Request) *Group {
	return &Group{Account: t.account, Region: r.Region, Name: t.name, UID: newUID(), Created: table.At(r.Time), Class: logsapi.LogGroupClassStandard}
}

// mayTag: "to assign tags when you create a log group, you must have either the logs:TagResource
// or logs:TagLogGroup permission".
func (t *target) mayTag(r *api.Request, tags map[string]string) error {
	newer, older := t.own(), t.access("")
	newer.Action, older.Action = "logs:TagResource", "logs:TagLogGroup"
	for _, a := range []api.Access{newer, older} {
		a.Tags, a.RequestTags = nil, tagList(tags)
		_, err := r.Caller.Authorize(r, &a)
		if err == nil {
			return nil
		}
		if fe, ok := fault.As(err); !ok || fe.Kind != fault.Denied {
			return err
		}
	}
	return api.AccessDeniedException(strings.Replace(textUntaggable, "%s", r.Account, 1))
}

// deleteLogGroup takes the group away at once. PurgeDue removes what was in it.
func deleteLogGroup(r *api.Request, _ *logsapi.DeleteLogGroupInput, t *target) (*logsapi.DeleteLogGroupOutput, error) {
	g, err := t.existing()
	if err != nil {
		return nil, err
	}
	if g.Protected {
		return nil, logsapi.ValidationException(textProtected)
	}
	return &logsapi.DeleteLogGroupOutput{}, errors.Join(
		Groups.Delete(r.Tx, Groups.Key(g)),
		Expiries.Delete(r.Tx, Groups.Key(g)),
		Purges.Put(r.Tx, &Purge{Account: g.Account, Region: g.Region, Group: g.UID}),
	)
}

func putLogGroupDeletionProtection(r *api.Request, in *logsapi.PutLogGroupDeletionProtectionInput, t *target) (*logsapi.PutLogGroupDeletionProtectionOutput, error) {
	g, err := t.change(r)
	if err != nil {
		return nil, err
	}
	g.Protected = *in.DeletionProtectionEnabled
	return &logsapi.PutLogGroupDeletionProtectionOutput{}, Groups.Put(r.Tx, g)
}

func describeLogGroups(r *api.Request, in *logsapi.DescribeLogGroupsInput, _ struct{}) (*logsapi.DescribeLogGroupsOutput, error) {
	if err := ownAccount(r, in.AccountIdentifiers); err != nil {
		return nil, err
	}
	pattern := api.Value(in.LogGroupNamePattern)
	if in.LogGroupNamePrefix != nil && pattern != "" {
		return nil, invalid(textPrefixPattern)
	}
	if in.LogGroupIdentifiers != nil {
		if in.LogGroupNamePrefix != nil || pattern != "" || in.LogGroupClass != nil || in.NextToken != nil || in.Limit != nil {
			return nil, invalid(textOnlyNames)
		}
		return describeThese(r, in.LogGroupIdentifiers)
	}
	p, err := newPage(r, in.Limit, in.NextToken, groupsPerPage, api.Value(in.LogGroupNamePrefix), pattern, api.Value(in.LogGroupClass))
	if err != nil {
		return nil, err
	}
	out := &logsapi.DescribeLogGroupsOutput{LogGroups: []logsapi.LogGroup{}}
	out.NextToken, err = listGroups(r, p, api.Value(in.LogGroupNamePrefix), func(g *Group) bool {
		return strings.Contains(g.Name, pattern) && (in.LogGroupClass == nil || *in.LogGroupClass == g.Class)
	}, func(g *Group) error {
		d, err := describe(r, g)
		if pattern != "" {
			// "only arn, creationTime, and logGroupName are included"
			d = logsapi.LogGroup{Arn: d.Arn, CreationTime: d.CreationTime, LogGroupName: d.LogGroupName}
		}
		out.LogGroups = append(out.LogGroups, d)
		return err
	})
	return out, err
}

// ownAccount refuses to list groups of others.
func ownAccount(r *api.Request, accounts []string) error {
	for _, a := range accounts {
		if a != r.Account {
			return invalid(textLinked)
		}
	}
	return nil
}

// describeThese describes those of the named groups that exist, in the order of the request.
func describeThese(r *api.Request, identifiers []string) (*logsapi.DescribeLogGroupsOutput, error) {
	out := &logsapi.DescribeLogGroupsOutput{LogGroups: []logsapi.LogGroup{}}
	for i := range identifiers {
		t, err := locate(r, nil, &identifiers[i])
		if err != nil {
			return nil, err
		}
		if t.group == nil || t.account != r.Account {
			continue // another account's is none that the caller was authorized for
		}
		d, err := describe(r, t.group)
		if err != nil {
			return nil, err
		}
		out.LogGroups = append(out.LogGroups, d)
	}
	return out, nil
}

func describe(r *api.Request, g *Group) (logsapi.LogGroup, error) {
	size, err := g.size(r.Tx)
	a := groupPrefix(r.Partition(), r.Region, g.Account) + g.Name
	d := logsapi.LogGroup{
		LogGroupName:              &g.Name,
		CreationTime:              new(int64(g.Created)),
		MetricFilterCount:         new(int64(0)),
		Arn:                       new(a + ":*"),
		LogGroupArn:               &a,
		StoredBytes:               &size,
		LogGroupClass:             &g.Class,
		DeletionProtectionEnabled: &g.Protected,
	}
	if g.Retention > 0 {
		d.RetentionInDays = new(int64(g.Retention))
	}
	return d, err
}

func listLogGroups(r *api.Request, in *logsapi.ListLogGroupsInput, _ struct{}) (*logsapi.ListLogGroupsOutput, error) {
	if err := ownAccount(r, in.AccountIdentifiers); err != nil {
		return nil, err
	}
	narrowed := []string{api.Value(in.LogGroupNamePattern), api.Value(in.LogGroupClass)}
	for i := range in.LogGroupTags {
		narrowed = append(append(narrowed, api.Value(in.LogGroupTags[i].Key)), in.LogGroupTags[i].Values...)
	}
	p, err := newPage(r, in.Limit, in.NextToken, groupsPerPage, narrowed...)
	if err != nil {
		return nil, err
	}
	out := &logsapi.ListLogGroupsOutput{LogGroups: []logsapi.LogGroupSummary{}}
	if len(in.DataSources)+len(in.FieldIndexNames) > 0 {
		return out, nil // no group has either
	}
	out.NextToken, err = listGroups(r, p, "", func(g *Group) bool {
		return (in.LogGroupNamePattern == nil || nameMatches(*in.LogGroupNamePattern, g.Name)) &&
			(in.LogGroupClass == nil || *in.LogGroupClass == g.Class) && g.tagged(in.LogGroupTags)
	}, func(g *Group) error {
		out.LogGroups = append(out.LogGroups, logsapi.LogGroupSummary{
			LogGroupName: &g.Name, LogGroupClass: &g.Class, LogGroupArn: new(groupPrefix(r.Partition(), r.Region, g.Account) + g.Name),
		})
		return nil
	})
	return out, err
}

// nameMatches: alternatives separated by |, each a part of the name, or with ^ its beginning.
func nameMatches(pattern, name string) bool {
	for alternative := range strings.SplitSeq(pattern, "|") {
		if prefix, ok := strings.CutPrefix(alternative, "^"); ok && strings.HasPrefix(name, prefix) || !ok && strings.Contains(name, alternative) {
			return true
		}
	}
	return false
}

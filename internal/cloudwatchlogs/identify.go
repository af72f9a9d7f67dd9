package cloudwatchlogs

import (
	"errors"
	"strings"

	"coffer/internal/api"
	logsapi "coffer/internal/api/logs"
	"coffer/internal/arn"
	"coffer/internal/table"
)

const (
	textNoGroup       = "The specified log group does not exist."
	textNoStream      = "The specified log stream does not exist."
	textGroupTwice    = "You must specify either logGroupName or logGroupIdentifier, but not both."
	textGroupMissing  = "You must specify either logGroupName or logGroupIdentifier."
	textBadIdentifier = "The specified log group identifier is invalid."
	textBadStreamName = "The specified log stream name is invalid."
)

// target is the group that an input names. It is made before authorization, so it carries
// the bad news along instead of telling it.
type target struct {
	account, name string
	prefix        string // of ARNs of groups: arn:aws:logs:REGION:ACCOUNT:log-group:
	group         *Group // shared with the cache, not to be changed; nil: there is none
}

// groupPrefix is what ARNs of groups begin with.
func groupPrefix(partition, region, account string) string {
	return "arn:" + partition + ":logs:" + region + ":" + account + ":log-group:"
}

// locate looks up a group by its name, or by its name or ARN. What it refuses is refused for
// its form alone.
func locate(r *api.Request, name, identifier *string) (*target, error) {
	switch {
	case name != nil && identifier != nil:
		return nil, invalid(textGroupTwice)
	case name != nil:
		return find(r, r.Account, *name)
	case identifier == nil:
		return nil, invalid(textGroupMissing)
	case !arn.Is(*identifier):
		return find(r, r.Account, *identifier)
	}
	a, err := arn.Parse(*identifier)
	if err != nil || a.Service != "logs" || !isAccount(a.Account) {
		return nil, invalid(textBadIdentifier)
	}
	group, ok := strings.CutPrefix(a.Resource, "log-group:")
	if !ok || group == "" {
		return nil, invalid(textBadIdentifier)
	}
	if a.Region != r.Region || a.Partition != r.Partition() {
		// No group of this region has it: for the handler to say.
		return &target{account: a.Account, name: group, prefix: groupPrefix(a.Partition, a.Region, a.Account)}, nil
	}
	return find(r, a.Account, group)
}

func find(r *api.Request, account, name string) (*target, error) {
	t := &target{account: account, name: name, prefix: groupPrefix(r.Partition(), r.Region, account)}
	g, err := Groups.Get(r.Tx, table.K(account, r.Region, name))
	if errors.Is(err, table.ErrNotFound) {
		return t, nil
	}
	t.group = g
	return t, err
}

func isAccount(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }

// arn is the group's own, without the :* that policies have behind it.
func (t *target) arn() string { return t.prefix + t.name }

// access is what an operation on the group or on one of its streams is decided on: a stream's
// ARN, in which the name is empty for the group. So AWS does it, and so it comes that a policy must say
// "log-group:NAME:*". Tags are those of the group.
func (t *target) access(stream string) api.Access {
	resource := t.arn() + ":log-stream:" + stream
	return t.on(resource)
}

// own is access for the operations that take the group's ARN without :*, those on tags.
func (t *target) own() api.Access { return t.on(t.arn()) }

func (t *target) on(resource string) api.Access {
	a := api.Access{Resource: resource, Account: t.account, Named: resource}
	if t.group != nil {
		a.Tags = t.group.Tags
	}
	return a
}

// existing gives the group to a caller that was authorized.
func (t *target) existing() (*Group, error) {
	if t.group == nil {
		return nil, logsapi.ResourceNotFoundException(textNoGroup)
	}
	return t.group, nil
}

// change is existing for operations that write: a private copy.
func (t *target) change(r *api.Request) (*Group, error) {
	g, err := t.existing()
	if err != nil {
		return nil, err
	}
	return Groups.Edit(r.Tx, Groups.Key(g))
}

// named resolves operations on a group by its name.
func named[I any](name func(*I) *string) func(*api.Request, *I) (*target, api.Access, error) {
	return identified(func(in *I) (*string, *string) { return name(in), nil })
}

// identified resolves operations on a group by its name, or by its name or ARN.
func identified[I any](of func(*I) (name, identifier *string)) func(*api.Request, *I) (*target, api.Access, error) {
	return func(r *api.Request, in *I) (*target, api.Access, error) {
		name, identifier := of(in)
		t, err := locate(r, name, identifier)
		if err != nil {
			return nil, api.Access{}, err
		}
		return t, t.access(""), nil
	}
}

// onAllGroups resolves the operations that list groups. They are decided on the ARN of a
// group without a name, whatever they ask for: only a policy for all groups allows them.
func onAllGroups[I any](r *api.Request, _ *I) (struct{}, api.Access, error) {
	t := target{account: r.Account, prefix: groupPrefix(r.Partition(), r.Region, r.Account)}
	return struct{}{}, t.access(""), nil
}

// streamName checks what the model cannot say: a zero byte cannot be part of a key.
func streamName(name string) error {
	if strings.IndexByte(name, 0) >= 0 {
		return invalid(textBadStreamName)
	}
	return nil
}

package cloudwatchlogs

import (
	"strings"

	"coffer/internal/api"
	logsapi "coffer/internal/api/logs"
)

// Needs implements api.Needs. A resource is a group by name or ARN, with :* or without, or the ARN
// of a stream.
func Needs(r *api.Request, resource string) (api.Access, []api.Further, error) {
	if resource == "" {
		_, access, err := onAllGroups(r, &struct{}{})
		return access, nil, err
	}
	group, stream, _ := strings.Cut(resource, ":log-stream:")
	group = strings.TrimSuffix(group, ":*")
	t, err := locate(r, nil, &group)
	if err != nil {
		return api.Access{}, nil, err
	}
	if _, err := t.existing(); err != nil {
		return api.Access{}, nil, err
	}
	switch r.Op {
	case logsapi.TagResource.Operation, logsapi.UntagResource.Operation, logsapi.ListTagsForResource.Operation:
		return t.own(), nil, nil
	}
	return t.access(stream), nil, nil
}

package cloudwatchlogs

import (
	"time"

	"coffer/internal/api"
	logsapi "coffer/internal/api/logs"
)

// Config says how much a Service does at once. The zero value is right.
type Config struct {
	// Work bounds what one FilterLogEvents does before it gives the rest a token, about in
	// nanoseconds; 0: a second.
	Work int
}

// Service is CloudWatch Logs. It holds no state but its configuration. Safe for concurrent use.
type Service struct{ work int }

// New returns a Service.
func New(cfg Config) *Service {
	if cfg.Work == 0 {
		cfg.Work = 1e9
	}
	return &Service{work: cfg.Work}
}

// maxPutBody is the largest body of PutLogEvents, in bytes: maxBatchSize of JSON with every character
// escaped, and what stands around 10,000 events.
const maxPutBody = 7 << 20

// Operations returns the served operations with their handlers.
func (s *Service) Operations() []api.Bound {
	put := api.Bind(logsapi.PutLogEvents, resolvePutLogEvents, putLogEvents)
	put.MaxBody = maxPutBody
	return []api.Bound{
		api.Bind(logsapi.CreateLogGroup, resolveCreateLogGroup, createLogGroup),
		api.Bind(logsapi.DeleteLogGroup, named(func(in *logsapi.DeleteLogGroupInput) *string { return in.LogGroupName }), deleteLogGroup),
		api.Bind(logsapi.DescribeLogGroups, onAllGroups[logsapi.DescribeLogGroupsInput], describeLogGroups),
		api.Bind(logsapi.ListLogGroups, onAllGroups[logsapi.ListLogGroupsInput], listLogGroups),
		api.Bind(logsapi.PutLogGroupDeletionProtection, identified(func(in *logsapi.PutLogGroupDeletionProtectionInput) (*string, *string) {
			return nil, in.LogGroupIdentifier
		}), putLogGroupDeletionProtection),
		api.Bind(logsapi.PutRetentionPolicy, named(func(in *logsapi.PutRetentionPolicyInput) *string { return in.LogGroupName }), putRetentionPolicy),
		api.Bind(logsapi.DeleteRetentionPolicy, named(func(in *logsapi.DeleteRetentionPolicyInput) *string { return in.LogGroupName }), deleteRetentionPolicy),

		api.Bind(logsapi.CreateLogStream, resolveCreateLogStream, createLogStream),
		api.Bind(logsapi.DeleteLogStream, resolveDeleteLogStream, deleteLogStream),
		api.Bind(logsapi.DescribeLogStreams, identified(func(in *logsapi.DescribeLogStreamsInput) (*string, *string) {
			return in.LogGroupName, in.LogGroupIdentifier
		}), describeLogStreams),

		put,
		api.Bind(logsapi.GetLogEvents, resolveGetLogEvents, getLogEvents),
		api.Bind(logsapi.FilterLogEvents, identified(func(in *logsapi.FilterLogEventsInput) (*string, *string) {
			return in.LogGroupName, in.LogGroupIdentifier
		}), s.filterLogEvents),

		api.Bind(logsapi.TagResource, resolveTagResource, tagResource),
		api.Bind(logsapi.UntagResource, resolveUntagResource, untagResource),
		api.Bind(logsapi.ListTagsForResource, resolveListTagsForResource, listTagsForResource),
		api.Bind(logsapi.TagLogGroup, resolveTagLogGroup, tagLogGroup),
		api.Bind(logsapi.UntagLogGroup, named(func(in *logsapi.UntagLogGroupInput) *string { return in.LogGroupName }), untagLogGroup),
		api.Bind(logsapi.ListTagsLogGroup, named(func(in *logsapi.ListTagsLogGroupInput) *string { return in.LogGroupName }), listTagsLogGroup),
	}
}

// Tasks is the work that time brings.
func (s *Service) Tasks() []api.Task {
	return []api.Task{
		// Paced: deleting a large group must leave the disk to callers.
		{Name: "logs.purge", Service: logsapi.Service, Every: time.Minute, Pause: 5 * time.Millisecond, Run: s.PurgeDue},
		{Name: "logs.expire", Service: logsapi.Service, Every: time.Minute, Pause: 5 * time.Millisecond, Run: s.ExpireDue},
	}
}

func invalid(text string) error { return logsapi.InvalidParameterException(text) }

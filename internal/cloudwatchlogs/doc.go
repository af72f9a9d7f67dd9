// Package cloudwatchlogs is Amazon CloudWatch Logs: log groups, their streams, and the
// events in them, with retention, filter patterns and tags. It keeps what Lambda
// functions print (group /aws/lambda/NAME); any other client may use it as well.
//
// # Promises
//
//   - What was put is what is got: every event once, in the order of its timestamp, then of
//     its arrival, in pages of either direction, while others put and delete.
//   - An event is out of sight the moment its group's retention ends, or its stream or group is
//     deleted; ExpireDue and PurgeDue remove what is left, within two days and soon. A group
//     or stream made anew shows nothing of an older one of the same name: rows
//     are kept under random ids.
//   - Whether a group or stream exists is told after authorization.
//   - Events are in no audit record, log line or error: messages are api.Sensitive.
//   - One call looks at a bounded part of a group and gives a token for the rest.
//
// # What it does not promise
//
// KMS keys of groups, metric filters, subscriptions, queries (Insights) and Live Tail are not
// here. Every row is sealed under the store's key; see package table.
//
// # Rows
//
//	logs.group    account, region, name                Group
//	logs.stream   account, region, group, name         Stream
//	logs.events   account, region, group, span, first, ingested, stream, order   Chunk
//	logs.size     account, region, group, shard        Size: the bytes in a group, in 16 parts
//	logs.expiry   account, region, name                Expiry: a group with a retention policy
//	logs.purge    account, region, group, stream       Purge: what is gone and has rows left
//
//	logs.stream.last    account, region, group, last event, name   streams by their last event
//	logs.events.stream  account, region, group, stream, span, first, ingested, order
//	logs.expiry.due     time, account, region, name    when a group is to be swept next
//
// Groups and streams stand under their names in their own rows and under their ids in all others.
//
// # Events
//
// A call's events are sorted and packed into chunks of up to 64 KiB, which never change.
// Chunks of one stream may overlap in time: events come late, and from several writers. So
// that those of a given time are found without looking at all before, a chunk's key
// begins with a class of how much time it covers (spans): the events of time t are in
// the chunks of each class whose first event is at t or less than the class's span before. For
// writers that send what has just happened that is hardly more than what is asked for.
package cloudwatchlogs

// Package audit is the record of one call and the log that keeps it.
//
// [Record] is the CloudTrail management event of one call. [Log] is an
// append-only log of such records in segment files, chained by a keyed hash, so
// that what was once written cannot be doctored without being noticed.
//
// # Promises
//
//   - No record, no answer: when [Log.Append] returns nil, its records have been
//     handed to the kernel by write(2) and outlive a kill -9 of the process. They
//     outlive a power failure after the next sync, at most Config.SyncEvery later
//     (or at once with a negative SyncEvery).
//   - The records of one Append stay together and in their order.
//   - When a write cannot be done, Append fails and so does every later one; what
//     was half written is cut off, so that the chain stays whole. A full disk is
//     the only failure that heals by itself. After a failed fsync nothing is
//     trusted again: the kernel may have dropped the pages it could not write and
//     would call the next fsync a success.
//   - Without the key nobody can alter, insert, remove, reorder or repeat a record
//     so that [Verify] stays silent. The anchor, kept sealed somewhere else, adds
//     that nobody can cut the tail off or bring back an older log.
//   - Memory is bounded: the shared write buffer takes about 1 MiB of lines, later
//     callers wait in line with their own bytes.
//
// # Not promised
//
//   - Records written after the last saved anchor (at most one SyncEvery, 1 s when
//     it is negative) can be cut off without trace by whoever can write the files.
//   - Who can bring back both the log and the store that keeps the anchor to an
//     earlier moment goes unnoticed; only anchors sent elsewhere would tell.
//   - One process per directory is the data directory's rule (kv holds the lock);
//     this package does not lock.
//   - Nothing is encrypted. Records must carry no secrets; the caller redacts them.
//   - Old segments are never deleted here; a missing first segment is a finding.
//
// # Stored format, version 1
//
// The directory (0700) holds segments (0600) named by their number and the
// sequence number of their first record, so that a reader finds its place without
// opening the others:
//
//	audit-00000001-00000000000000000001.jsonl
//	audit-00000002-00000000000000071234.jsonl
//
// A segment is a header line and one line per record, all of them JSON, so that
// grep and jq work on them:
//
//	{"coffer":"audit log","version":1,"segment":2,"first":71234,"created":"2026-05-03T17:51:02Z","key":"9f3c02aa","prev":"<64 hex>","chain":"<64 hex>"}
//	{"seq":71234,"chain":"<64 hex>","record":{"eventVersion":"1.11",...}}
//	{"seq":71235,"chain":"<64 hex>","record":{"eventVersion":"1.11",...}}
//
// The chain value of a line is one HMAC-SHA-256 under the log's key (plain SHA-256
// without a key) over the chain value of the line before it and its own bytes:
//
//	record:  HMAC(key, 'R' | chain of the line before | seq,   8 bytes big-endian | bytes of the record)
//	header:  HMAC(key, 'H' | prev                     | first, 8 bytes big-endian | bytes of the line before `,"chain"`)
//
// The first header's prev is 32 zero bytes; a later one's is the chain value of
// the last line of the segment before. The letter keeps a record from being passed
// off as a header. "key" is a check value of the key ("none" without one), so that
// a wrong key is told apart from tampering.
//
// A header may carry "gap":{"after":N,"reason":"..."} before "chain". It is written
// when a log is continued although its end was damaged or lost. It is under the
// chain value like the rest: a loss that was repaired stays visible for good.
//
// What recovery takes off the end of a segment is kept next to it as
// audit-<number>-<first>.jsonl.cut-<offset>, unless it is one unfinished line.
//
// # Readers and the outbox
//
// [Log.Read] yields the records after a sequence number and ends at the head;
// [Log.Wait] blocks until there is more. Together they make a follower whose only
// state is the last sequence number it has dealt with.
//
// The record of a mutation is a row in the store first and is then moved here. The
// mover must lose and repeat nothing across a crash:
//
//  1. Append the row's record; [Log.Sync]; only then delete the row. Deleting
//     after Append alone would lose the record to a power failure.
//  2. In the transaction that deletes the rows, keep Head().Seq as it was before
//     the oldest row that remains was appended (with one mover: after the last
//     Append).
//  3. After a start, ask [Log.Contains] with that number for the ids of all rows
//     that are left. Those found are only deleted, the others appended. Open has
//     synced what it found, so what Contains finds is on the disk.
package audit

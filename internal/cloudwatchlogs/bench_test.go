package cloudwatchlogs_test

import (
	"fmt"
	"testing"
	"time"

	logsapi "coffer/internal/api/logs"
	"coffer/internal/cloudwatchlogs"
	"coffer/internal/kv/pebble"
	"coffer/internal/table"
)

// batchOf are n events of some 80 bytes as programs print them, a millisecond apart.
func batchOf(from time.Time, n int) []cloudwatchlogs.Event {
	events := make([]cloudwatchlogs.Event, n)
	for i := range events {
		at := from.Add(time.Duration(i) * time.Millisecond)
		events[i] = logged(at, fmt.Sprintf("%s INFO request %d of user %d took %d ms\n", at.Format(time.RFC3339Nano), i, i*7919%1009, i*31%97))
	}
	return events
}

func onDisk(b *testing.B) *store {
	rows, err := pebble.Open(pebble.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	return newStoreOn(b, rows, cloudwatchlogs.Config{})
}

func (s *store) ingestOnce(group, stream string, events []cloudwatchlogs.Event) {
	r := s.request()
	s.must(s.db.Update(ctx, func(tx *table.Tx) error {
		r.Tx = tx
		return s.service.Ingest(r, account, region, group, stream, events)
	}))
}

// BenchmarkIngest stores 10,000 events in one transaction on disk.
func BenchmarkIngest(b *testing.B) {
	s := onDisk(b)
	events := batchOf(time.Now(), 10_000)
	for b.Loop() {
		s.ingestOnce("g", "s", events)
	}
}

// BenchmarkPutLogEvents is the same as a call.
func BenchmarkPutLogEvents(b *testing.B) {
	s := onDisk(b)
	s.ingestOnce("g", "s", batchOf(time.Now(), 1))
	in := &logsapi.PutLogEventsInput{LogGroupName: new("g"), LogStreamName: new("s")}
	for _, e := range batchOf(time.Now(), 10_000) {
		in.LogEvents = append(in.LogEvents, logsapi.InputLogEventSensitive{Timestamp: new(int64(e.Time)), Message: e.Message})
	}
	for b.Loop() {
		_, err := call(s, logsapi.PutLogEvents, in)
		s.must(err)
	}
}

// BenchmarkMillion reads from a group of a million events in ten streams.
func BenchmarkMillion(b *testing.B) {
	s := onDisk(b)
	start := time.Now().Add(-hour)
	for i := range 100 {
		s.ingestOnce("g", fmt.Sprint("s", i%10), batchOf(start.Add(time.Duration(i)*10*time.Second), 10_000))
	}
	get := func(edit func(*logsapi.GetLogEventsInput)) func(*testing.B) {
		return func(b *testing.B) {
			in := &logsapi.GetLogEventsInput{LogGroupName: new("g"), LogStreamName: new("s3")}
			edit(in)
			for b.Loop() {
				out, err := call(s, logsapi.GetLogEvents, in)
				s.must(err)
				if len(out.Events) == 0 {
					b.Fatal("an empty page")
				}
			}
		}
	}
	b.Run("tail of 100", get(func(in *logsapi.GetLogEventsInput) { in.Limit = new(int64(100)) }))
	b.Run("page from the middle", get(func(in *logsapi.GetLogEventsInput) {
		in.StartFromHead, in.StartTime = new(true), new(int64(table.At(start.Add(500*time.Second))))
	}))
	b.Run("whole page", get(func(*logsapi.GetLogEventsInput) {}))
	b.Run("filter for nothing", func(b *testing.B) {
		for b.Loop() {
			if got := s.filtered(logsapi.FilterLogEventsInput{LogGroupName: new("g"), FilterPattern: new("ERROR")}); len(got) != 0 {
				b.Fatal("found something")
			}
		}
	})
}

package cloudwatchlogs_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"coffer/internal/coffertest/check"
)

func TestGetLogEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group(t, "/g", "s", "empty")
	start := w.millis(time.Minute)
	w.put(t, "/g", "s", numbered(start, 10)...)
	in := func(edit func(*cloudwatchlogs.GetLogEventsInput)) cloudwatchlogs.GetLogEventsInput {
		i := cloudwatchlogs.GetLogEventsInput{LogGroupName: new("/g"), LogStreamName: new("s")}
		edit(&i)
		return i
	}
	token := func(token *string) cloudwatchlogs.GetLogEventsInput {
		return in(func(i *cloudwatchlogs.GetLogEventsInput) { i.NextToken, i.Limit = token, new(int32(4)) })
	}

	// Without a token and from the tail: the newest, oldest first.
	got, tail := w.get(t, in(func(i *cloudwatchlogs.GetLogEventsInput) { i.Limit = new(int32(4)) }))
	check.Equal(t, "tail", got, "m6 m7 m8 m9")
	check.Equal(t, "time", *tail.Events[0].Timestamp, start+6)
	if at := *tail.Events[0].IngestionTime; at < start+60_000 || at > w.millis(0) {
		t.Errorf("ingested at %d", at)
	}
	if !strings.HasPrefix(*tail.NextForwardToken, "f/") || !strings.HasPrefix(*tail.NextBackwardToken, "b/") {
		t.Errorf("tokens %s, %s", *tail.NextForwardToken, *tail.NextBackwardToken)
	}
	got, page := w.get(t, token(tail.NextBackwardToken))
	check.Equal(t, "back", got, "m2 m3 m4 m5")
	got, page = w.get(t, token(page.NextBackwardToken))
	check.Equal(t, "back again", got, "m0 m1")
	// "If you have reached the end of the stream, it returns the same token you passed in."
	last := page.NextBackwardToken
	got, page = w.get(t, token(last))
	check.Equal(t, "before the first", got, "")
	check.Equal(t, "token before the first", *page.NextBackwardToken, *last)
	// The page's other token goes the other way.
	got, page = w.get(t, token(page.NextForwardToken))
	check.Equal(t, "turned round", got, "m0 m1 m2 m3")
	got, page = w.get(t, token(page.NextForwardToken))
	check.Equal(t, "forward", got, "m4 m5 m6 m7")
	got, back := w.get(t, token(page.NextBackwardToken))
	check.Equal(t, "back from the middle", got, "m0 m1 m2 m3")
	got, page = w.get(t, token(page.NextForwardToken))
	check.Equal(t, "end", got, "m8 m9")
	end := page.NextForwardToken
	got, page = w.get(t, token(end))
	check.Equal(t, "behind the last", got, "")
	check.Equal(t, "token behind the last", *page.NextForwardToken, *end)
	// A token at the end is good for what comes later, also at the same time as the last one there was.
	w.put(t, "/g", "s", event(start+9, "n9"), event(start+10, "n10"))
	got, _ = w.get(t, token(end))
	check.Equal(t, "what came later", got, "n9 n10")
	got, _ = w.get(t, token(back.NextForwardToken))
	check.Equal(t, "an older token", got, "m4 m5 m6 m7")

	got, _ = w.get(t, in(func(i *cloudwatchlogs.GetLogEventsInput) { i.StartFromHead, i.Limit = new(true), new(int32(3)) }))
	check.Equal(t, "head", got, "m0 m1 m2")
	got, _ = w.get(t, in(func(i *cloudwatchlogs.GetLogEventsInput) { i.StartTime, i.EndTime = new(start+2), new(start+5) }))
	check.Equal(t, "range: its end is not included", got, "m2 m3 m4")
	got, _ = w.get(t, in(func(i *cloudwatchlogs.GetLogEventsInput) {
		i.LogGroupName, i.LogGroupIdentifier = nil, new(w.arn("/g"))
		i.EndTime = new(start + 2)
	}))
	check.Equal(t, "by ARN", got, "m0 m1")
	got, page = w.get(t, in(func(i *cloudwatchlogs.GetLogEventsInput) { i.LogStreamName = new("empty") }))
	check.Equal(t, "empty stream", got, "")
	w.put(t, "/g", "empty", event(start, "first"))
	got, _ = w.get(t, in(func(i *cloudwatchlogs.GetLogEventsInput) {
		i.LogStreamName, i.NextToken = new("empty"), page.NextForwardToken
	}))
	check.Equal(t, "what came into an empty stream", got, "first")

	for name, i := range map[string]cloudwatchlogs.GetLogEventsInput{
		"InvalidParameterException: The specified nextToken is invalid.":    token(new("f/nonsense")),
		"InvalidParameterException: The specified nextToken is invalid. ":   in(func(i *cloudwatchlogs.GetLogEventsInput) { i.LogStreamName, i.NextToken = new("empty"), end }),
		"InvalidParameterException: The specified nextToken is invalid.  ":  token(new("b/" + (*end)[2:])),
		"InvalidParameterException: The specified nextToken is invalid.   ": token(new((*end)[2:])),
		"ResourceNotFoundException: The specified log stream does not exist.": in(func(i *cloudwatchlogs.GetLogEventsInput) {
			i.LogStreamName = new("none")
		}),
		"ResourceNotFoundException: The specified log group does not exist.": in(func(i *cloudwatchlogs.GetLogEventsInput) {
			i.LogGroupName = new("/none")
		}),
		"InvalidParameterException: You must specify either logGroupName or logGroupIdentifier, but not both.": in(func(i *cloudwatchlogs.GetLogEventsInput) {
			i.LogGroupIdentifier = new("/g")
		}),
		"InvalidParameterException: You must specify either logGroupName or logGroupIdentifier.": in(func(i *cloudwatchlogs.GetLogEventsInput) {
			i.LogGroupName = nil
		}),
		"InvalidParameterException: 1 validation error detected: Value '10001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000": in(func(i *cloudwatchlogs.GetLogEventsInput) {
			i.Limit = new(int32(10001))
		}),
	} {
		check.Equal(t, "refused", check.Now(w.GetLogEvents, &i), strings.TrimSpace(name))
	}
}

// TestPageSize: a page has at most 10,000 events and 1 MiB.
func TestPageSize(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group(t, "g", "many", "large")
	start := w.millis(time.Minute)
	w.put(t, "g", "many", numbered(start, 10_000)...)
	w.put(t, "g", "many", event(start+10_000, "last"))
	in := cloudwatchlogs.GetLogEventsInput{LogGroupName: new("g"), LogStreamName: new("many"), StartFromHead: new(true)}
	_, page := w.get(t, in)
	check.Equal(t, "events", len(page.Events), 10_000)
	in.NextToken = page.NextForwardToken
	got, _ := w.get(t, in)
	check.Equal(t, "rest", got, "last")

	text := strings.Repeat("x", 400<<10)
	for i := range 4 {
		w.put(t, "g", "large", event(start+int64(i), text))
	}
	in = cloudwatchlogs.GetLogEventsInput{LogGroupName: new("g"), LogStreamName: new("large"), StartFromHead: new(true)}
	for range 2 {
		_, page = w.get(t, in)
		check.Equal(t, "large events", len(page.Events), 2)
		in.NextToken = page.NextForwardToken
	}
	largest := randomText(1<<20 - 26)
	w.put(t, "g", "large", event(start+4, largest))
	got, _ = w.get(t, cloudwatchlogs.GetLogEventsInput{LogGroupName: new("g"), LogStreamName: new("large")})
	check.Equal(t, "the largest event comes alone, and whole", got == largest, true)
}

// randomText is text that cannot be made much smaller, of n bytes.
func randomText(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.IntN(127) + 1)
	}
	return string(b)
}

func TestPutLogEventsRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group(t, "g", "s")
	now := w.millis(0)
	put := func(events ...types.InputLogEvent) string {
		return check.Now(w.PutLogEvents, &cloudwatchlogs.PutLogEventsInput{LogGroupName: new("g"), LogStreamName: new("s"), LogEvents: events})
	}
	large := strings.Repeat("x", 1<<19)
	for _, c := range []struct {
		name   string
		events []types.InputLogEvent
		want   string
	}{
		{"out of order", []types.InputLogEvent{event(now, "b"), event(now-1, "a")},
			"InvalidParameterException: Log events in a single PutLogEvents request must be in chronological order."},
		{"same time", []types.InputLogEvent{event(now, "a"), event(now, "a")}, "ok"},
		{"24 hours", []types.InputLogEvent{event(now-86_400_000, "a"), event(now, "b")}, "ok"},
		{"more than 24 hours", []types.InputLogEvent{event(now-86_400_001, "a"), event(now, "b")},
			"InvalidParameterException: The batch of log events in a single PutLogEvents request cannot span more than 24 hours."},
		{"1 MiB", []types.InputLogEvent{event(now, large[26:]), event(now, large[26:])}, "ok"},
		{"more than 1 MiB", []types.InputLogEvent{event(now, large[26:]), event(now, large[25:])},
			"InvalidParameterException: Upload too large: 1048577 bytes exceeds limit of 1048576"},
		{"an event of more than 1 MiB", []types.InputLogEvent{event(now, large+large[25:])},
			"InvalidParameterException: Log event too large: 1048577 bytes exceeds limit of 1048576"},
		{"1 MiB of what JSON has to escape", []types.InputLogEvent{event(now, strings.Repeat("\x01", 1<<20-26))}, "ok"},
		{"no events", []types.InputLogEvent{},
			"InvalidParameterException: 1 validation error detected: Value at 'logEvents' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"too many events", numbered(now, 10_001),
			"InvalidParameterException: 1 validation error detected: Value at 'logEvents' failed to satisfy constraint: Member must have length less than or equal to 10000"},
		{"an empty message", []types.InputLogEvent{event(now, "")},
			"InvalidParameterException: 1 validation error detected: Value at 'logEvents.1.member.message' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"before 1970", []types.InputLogEvent{event(-1, "a")},
			"InvalidParameterException: 1 validation error detected: Value at 'logEvents.1.member.timestamp' failed to satisfy constraint: Member must have value greater than or equal to 0"},
		{"beyond time", []types.InputLogEvent{event(1<<62, "a")},
			"InvalidParameterException: The timestamp of a log event is out of range."},
	} {
		if got := put(c.events...); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
	for _, c := range []struct{ group, stream, want string }{
		{"none", "s", "ResourceNotFoundException: The specified log group does not exist."},
		{"g", "none", "ResourceNotFoundException: The specified log stream does not exist."},
	} {
		check.Equal(t, "absent", check.Now(w.PutLogEvents, &cloudwatchlogs.PutLogEventsInput{LogGroupName: &c.group, LogStreamName: &c.stream, LogEvents: numbered(now, 1)}), c.want)
	}
	// "Sequence tokens are now ignored": any will do.
	out := check.Must(t, w.PutLogEvents, &cloudwatchlogs.PutLogEventsInput{LogGroupName: new("g"), LogStreamName: new("s"), LogEvents: numbered(now, 1), SequenceToken: new("49590302")})
	if len(*out.NextSequenceToken) != 56 {
		t.Errorf("sequence token %s", *out.NextSequenceToken)
	}
}

// TestHardBatches: whatever a call may hold fits one transaction.
func TestHardBatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group(t, "g", "s")
	now := w.millis(0)
	for name, n := range map[string]int{"small": 10_000, "just over half a chunk": 31, "a few large": 3} {
		size := (1<<20)/n - 26
		events := make([]types.InputLogEvent, n)
		for i := range events {
			events[i] = event(now+int64(i), randomText(size))
		}
		if n == 10_000 {
			for i := range events { // as far apart as a batch may be
				events[i].Timestamp = new(now - int64((10_000-i)*8640))
			}
		}
		got := check.Now(w.PutLogEvents, &cloudwatchlogs.PutLogEventsInput{LogGroupName: new("g"), LogStreamName: new("s"), LogEvents: events})
		check.Equal(t, name, got, "ok")
	}
}

func TestRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group(t, "g", "s")
	now := w.millis(0)
	old, future := now-int64(14*day/time.Millisecond)-60_000, now+int64(2*hour/time.Millisecond)+60_000
	put := func(events ...types.InputLogEvent) string {
		out := check.Must(t, w.PutLogEvents, &cloudwatchlogs.PutLogEventsInput{LogGroupName: new("g"), LogStreamName: new("s"), LogEvents: events})
		if out.RejectedLogEventsInfo == nil {
			return "none"
		}
		text := ""
		for _, i := range []struct {
			name string
			at   *int32
		}{
			{"old", out.RejectedLogEventsInfo.TooOldLogEventEndIndex}, {"expired", out.RejectedLogEventsInfo.ExpiredLogEventEndIndex},
			{"new", out.RejectedLogEventsInfo.TooNewLogEventStartIndex},
		} {
			if i.at != nil {
				text += fmt.Sprint(i.name, *i.at, " ")
			}
		}
		return strings.TrimSpace(text)
	}
	check.Equal(t, "too old", put(event(old, "a"), event(old, "b")), "old2")
	check.Equal(t, "too new", put(event(future, "a")), "new0")
	// The span of a day is that of what is accepted.
	check.Equal(t, "both", put(event(old, "a"), event(now, "good"), event(future, "z")), "old1 new2")
	check.Must(t, w.PutRetentionPolicy, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: new("g"), RetentionInDays: new(int32(1))})
	check.Equal(t, "expired", put(event(old, "a"), event(now-2*86_400_000, "b"), event(now, "fine")), "old1 expired2")
	got, _ := w.get(t, cloudwatchlogs.GetLogEventsInput{LogGroupName: new("g"), LogStreamName: new("s")})
	check.Equal(t, "kept", got, "good fine")
}

func TestFilterLogEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group(t, "g", "a1", "a2", "b")
	start := w.millis(time.Minute)
	w.put(t, "g", "a1", event(start, "GET /one 200"), event(start+30, "POST /two 500"))
	w.put(t, "g", "a2", event(start+10, "GET /three 404"), event(start+31, `{"level":"error","n":3}`))
	w.put(t, "g", "b", event(start+20, "GET /four 200"), event(start+40, "END"))
	in := func(edit func(*cloudwatchlogs.FilterLogEventsInput)) cloudwatchlogs.FilterLogEventsInput {
		i := cloudwatchlogs.FilterLogEventsInput{LogGroupName: new("g")}
		edit(&i)
		return i
	}
	for _, c := range []struct {
		name string
		edit func(*cloudwatchlogs.FilterLogEventsInput)
		want string
	}{
		{"all, by time", func(*cloudwatchlogs.FilterLogEventsInput) {},
			`a1:GET /one 200 a2:GET /three 404 b:GET /four 200 a1:POST /two 500 a2:{"level":"error","n":3} b:END`},
		{"by ARN", func(i *cloudwatchlogs.FilterLogEventsInput) {
			i.LogGroupName, i.LogGroupIdentifier, i.FilterPattern = nil, new(w.arn("g")), new("END")
		}, "b:END"},
		{"streams", func(i *cloudwatchlogs.FilterLogEventsInput) { i.LogStreamNames = []string{"b", "a1", "b"} },
			"a1:GET /one 200 b:GET /four 200 a1:POST /two 500 b:END"},
		{"prefix", func(i *cloudwatchlogs.FilterLogEventsInput) { i.LogStreamNamePrefix = new("a") },
			`a1:GET /one 200 a2:GET /three 404 a1:POST /two 500 a2:{"level":"error","n":3}`},
		{"prefix of none", func(i *cloudwatchlogs.FilterLogEventsInput) { i.LogStreamNamePrefix = new("c") }, ""},
		{"times: the end is included", func(i *cloudwatchlogs.FilterLogEventsInput) { i.StartTime, i.EndTime = new(start+10), new(start+20) },
			"a2:GET /three 404 b:GET /four 200"},
		{"terms", func(i *cloudwatchlogs.FilterLogEventsInput) { i.FilterPattern = new("GET -404") },
			"a1:GET /one 200 b:GET /four 200"},
		{"any term", func(i *cloudwatchlogs.FilterLogEventsInput) { i.FilterPattern = new("?POST ?404") },
			"a2:GET /three 404 a1:POST /two 500"},
		{"fields", func(i *cloudwatchlogs.FilterLogEventsInput) { i.FilterPattern = new("[method, path, status>=400]") },
			"a2:GET /three 404 a1:POST /two 500"},
		{"object", func(i *cloudwatchlogs.FilterLogEventsInput) { i.FilterPattern = new(`{$.level = "error" && $.n > 2}`) },
			`a2:{"level":"error","n":3}`},
		{"regular expression", func(i *cloudwatchlogs.FilterLogEventsInput) { i.FilterPattern = new("%/t[hw]%") },
			"a2:GET /three 404 a1:POST /two 500"},
		{"empty pattern", func(i *cloudwatchlogs.FilterLogEventsInput) {
			i.FilterPattern, i.LogStreamNames = new(""), []string{"b"}
		},
			"b:GET /four 200 b:END"},
	} {
		got, out := w.filter(t, in(c.edit))
		check.Equal(t, c.name, got, c.want)
		if out.NextToken != nil {
			t.Errorf("%s: there is more", c.name)
		}
	}

	// Pages: the token goes on where the page ended, whatever came in before it.
	var ids, all []string
	i := in(func(i *cloudwatchlogs.FilterLogEventsInput) { i.FilterPattern, i.Limit = new("GET"), new(int32(1)) })
	for {
		got, out := w.filter(t, i)
		all = append(all, got)
		for _, e := range out.Events {
			ids = append(ids, *e.EventId)
		}
		if out.NextToken == nil {
			break
		}
		if i.NextToken == nil {
			w.put(t, "g", "a1", event(start+5, "GET late"))
		}
		i.NextToken = out.NextToken
	}
	check.Equal(t, "pages", strings.Join(all, "|"), "a1:GET /one 200|a1:GET late|a2:GET /three 404|b:GET /four 200")
	if len(ids[0]) != 56 || ids[0] >= ids[1] || ids[1] >= ids[2] {
		t.Errorf("event ids %q", ids)
	}

	for _, c := range []struct {
		edit func(*cloudwatchlogs.FilterLogEventsInput)
		want string
	}{
		{func(i *cloudwatchlogs.FilterLogEventsInput) {
			i.LogStreamNames, i.LogStreamNamePrefix = []string{"a1"}, new("a")
		},
			"InvalidParameterException: logStreamNamePrefix and logStreamNames cannot both be specified."},
		{func(i *cloudwatchlogs.FilterLogEventsInput) { i.FilterPattern = new("{ $.level = ") }, "InvalidParameterException: If a filter pattern starts with '{' it must end with '}'"},
		{func(i *cloudwatchlogs.FilterLogEventsInput) { i.NextToken = new("nonsense") },
			"InvalidParameterException: The specified nextToken is invalid."},
		{func(i *cloudwatchlogs.FilterLogEventsInput) { i.LogStreamNames = []string{"none"} },
			"ResourceNotFoundException: The specified log stream does not exist."},
		{func(i *cloudwatchlogs.FilterLogEventsInput) { i.LogGroupName = new("none") },
			"ResourceNotFoundException: The specified log group does not exist."},
	} {
		i := in(c.edit)
		check.Equal(t, "refused", check.Now(w.FilterLogEvents, &i), c.want)
	}
}

// TestManyStreams: beyond a hundred streams of a prefix the group is read as a whole.
func TestManyStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group(t, "g", "other")
	start := w.millis(time.Minute)
	w.put(t, "g", "other", event(start, "no"))
	for i := range 102 {
		name := fmt.Sprintf("s/%03d", i)
		check.Must(t, w.CreateLogStream, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: new("g"), LogStreamName: &name})
		if i%50 == 0 {
			w.put(t, "g", name, event(start+int64(100-i), "yes"))
		}
	}
	check.Must(t, w.DeleteLogStream, &cloudwatchlogs.DeleteLogStreamInput{LogGroupName: new("g"), LogStreamName: new("s/050")})
	got, _ := w.filter(t, cloudwatchlogs.FilterLogEventsInput{LogGroupName: new("g"), LogStreamNamePrefix: new("s/")})
	check.Equal(t, "by prefix", got, "s/100:yes s/000:yes")
	got, _ = w.filter(t, cloudwatchlogs.FilterLogEventsInput{LogGroupName: new("g")})
	check.Equal(t, "whole group", got, "other:no s/100:yes s/000:yes")
}

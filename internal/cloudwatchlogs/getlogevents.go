package cloudwatchlogs

import (
	"strings"

	"coffer/internal/api"
	logsapi "coffer/internal/api/logs"
	"coffer/internal/page"
	"coffer/internal/table"
)

func resolveGetLogEvents(r *api.Request, in *logsapi.GetLogEventsInput) (*target, api.Access, error) {
	return onStream(r, in.LogGroupName, in.LogGroupIdentifier, in.LogStreamName)
}

// The directions of tokens, as AWS's begin.
const (
	forwardToken  = "f/"
	backwardToken = "b/"
)

// getLogEvents gives a page of a stream. Whoever has a token goes on in its direction from its place;
// where there is nothing more it is given back, and is good for what comes later.
func getLogEvents(r *api.Request, in *logsapi.GetLogEventsInput, t *target) (*logsapi.GetLogEventsOutput, error) {
	g, s, err := t.existingStream(r, *in.LogStreamName)
	if err != nil {
		return nil, err
	}
	start, end := span(in.StartTime, in.EndTime, 0)
	p := reading{
		tx: r.Tx, group: g, streams: []*Stream{s}, start: max(start, g.horizon(table.At(r.Time))), end: end,
		limit: pageLimit(in.Limit), work: unlimited,
	}
	sealed := func(direction string, at place) *string {
		return new(direction + page.Seal(r, []string{direction, s.UID}, at.String()))
	}
	back, from := !api.Value(in.StartFromHead), place{}
	if back {
		from = place{time: maxTime + 1}
	}
	if in.NextToken != nil {
		if back, from, err = openDirected(r, *in.NextToken, s); err != nil {
			return nil, err
		}
	}
	if back {
		err = p.behind(r.Context, from)
	} else {
		_, err = p.ahead(r.Context, from)
	}
	if err != nil {
		return nil, err
	}
	out := &logsapi.GetLogEventsOutput{Events: make([]logsapi.OutputLogEvent, len(p.found))}
	for i := range p.found {
		f := &p.found[i]
		out.Events[i] = logsapi.OutputLogEvent{Timestamp: new(int64(f.time)), IngestionTime: new(int64(f.ingested)), Message: api.Sensitive(f.message)}
	}
	// Of an empty page both ends are where it was looked for; without a token, where the range begins, so
	// that what comes later is found.
	first, behind := from, from
	if in.NextToken == nil {
		first = place{time: start}
		behind = first
	}
	if n := len(p.found); n > 0 {
		first, behind = p.found[0].place, p.found[n-1].after()
	}
	out.NextForwardToken, out.NextBackwardToken = sealed(forwardToken, behind), sealed(backwardToken, first)
	return out, nil
}

// openDirected opens a token of the stream.
func openDirected(r *api.Request, token string, s *Stream) (back bool, at place, err error) {
	for _, direction := range []string{forwardToken, backwardToken} {
		if sealed, ok := strings.CutPrefix(token, direction); ok {
			position, ok := page.Open(r, []string{direction, s.UID}, sealed)
			if !ok {
				break
			}
			at, err = parsePlace(position)
			return direction == backwardToken, at, err
		}
	}
	return false, place{}, invalid(textBadToken)
}

// span is the range of times of an input, the end not included; later is added to an end that is given.
func span(start, end *int64, later table.Millis) (from, to table.Millis) {
	to = maxTime + 1
	if start != nil {
		from = min(table.Millis(*start), maxTime+1)
	}
	if end != nil {
		to = min(table.Millis(*end), maxTime) + later
	}
	return from, to
}

func pageLimit(limit *int64) int {
	if limit == nil {
		return maxPage
	}
	return int(*limit)
}

package cloudwatchlogs

import (
	"slices"
	"strings"

	"coffer/internal/api"
	logsapi "coffer/internal/api/logs"
	"coffer/internal/filterpattern"
	"coffer/internal/page"
	"coffer/internal/table"
)

const textNamesAndPrefix = "logStreamNamePrefix and logStreamNames cannot both be specified."

// maxStreams is how many streams are read each by its own index. Beyond it the group is read, and what
// is not asked for is passed over.
const maxStreams = 100

func (s *Service) filterLogEvents(r *api.Request, in *logsapi.FilterLogEventsInput, t *target) (*logsapi.FilterLogEventsOutput, error) {
	if in.LogStreamNames != nil && in.LogStreamNamePrefix != nil {
		return nil, invalid(textNamesAndPrefix)
	}
	pattern, err := parsePattern(in.FilterPattern)
	if err != nil {
		return nil, err
	}
	g, err := t.existing()
	if err != nil {
		return nil, err
	}
	start, end := span(in.StartTime, in.EndTime, 1) // "events with a timestamp later than this time are not returned"
	p := reading{
		tx: r.Tx, group: g, start: max(start, g.horizon(table.At(r.Time))), end: end,
		limit: pageLimit(in.Limit), pattern: pattern, work: s.work,
	}
	if err := p.narrow(in.LogStreamNames, in.LogStreamNamePrefix); err != nil {
		return nil, err
	}
	var from place
	if in.NextToken != nil {
		position, ok := page.Open(r, []string{g.UID}, *in.NextToken)
		if !ok {
			return nil, invalid(textBadToken)
		}
		if from, err = parsePlace(position); err != nil {
			return nil, err
		}
	}
	next, err := p.ahead(r.Context, from)
	if err != nil {
		return nil, err
	}
	out := &logsapi.FilterLogEventsOutput{Events: make([]logsapi.FilteredLogEvent, len(p.found)), SearchedLogStreams: []logsapi.SearchedLogStream{}}
	for i := range p.found {
		f := &p.found[i]
		out.Events[i] = logsapi.FilteredLogEvent{
			LogStreamName: &f.name, Timestamp: new(int64(f.time)), IngestionTime: new(int64(f.ingested)),
			Message: api.Sensitive(f.message), EventId: new(digits(f.place)),
		}
	}
	if next != nil {
		out.NextToken = new(page.Seal(r, []string{g.UID}, next.String()))
	}
	return out, nil
}

func parsePattern(text *string) (*filterpattern.Pattern, error) {
	if strings.TrimSpace(api.Value(text)) == "" {
		return nil, nil
	}
	p, err := filterpattern.Parse(*text)
	if err != nil {
		return nil, invalid(err.Error())
	}
	return p, nil
}

// narrow says which streams are read.
func (p *reading) narrow(names []string, prefix *string) error {
	if names != nil {
		p.streams = make([]*Stream, 0, len(names))
		for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
			if err := streamName(name); err != nil {
				return err
			}
			s, err := p.group.stream(p.tx, name)
			if err != nil {
				return err
			}
			if s == nil {
				return logsapi.ResourceNotFoundException(textNoStream)
			}
			p.streams = append(p.streams, s)
		}
		return nil
	}
	if prefix == nil {
		return nil
	}
	if err := streamName(*prefix); err != nil {
		return err
	}
	streams := []*Stream{}
	for e, err := range Streams.Scan(p.tx, table.Range{Prefix: p.group.part(*prefix), Partial: true}) {
		if err != nil {
			return err
		}
		if len(streams) == maxStreams {
			p.wanted = func(name string) bool { return strings.HasPrefix(name, *prefix) }
			return nil
		}
		streams = append(streams, e.Value)
	}
	p.streams = streams
	return nil
}

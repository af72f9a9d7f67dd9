package cloudwatchlogs

import (
	"errors"

	"coffer/internal/api"
	logsapi "coffer/internal/api/logs"
	"coffer/internal/page"
	"coffer/internal/table"
)

// Stream is a log stream.
type Stream struct {
	Account  string       `cbor:"1,keyasint"`
	Region   string       `cbor:"2,keyasint"`
	Group    string       `cbor:"3,keyasint"` // its id
	Name     string       `cbor:"4,keyasint"`
	UID      string       `cbor:"5,keyasint"` // names the chunks of this stream and no other, ever
	Created  table.Millis `cbor:"6,keyasint"`
	First    table.Millis `cbor:"7,keyasint,omitempty"` // the oldest event there ever was; zero: none
	Last     table.Millis `cbor:"8,keyasint,omitempty"` // the newest
	Ingested table.Millis `cbor:"9,keyasint,omitempty"` // when events last arrived
	Puts     int64        `cbor:"10,keyasint,omitempty"`
}

const lastIndex = "logs.stream.last"

// Streams are the log streams.
var Streams = table.Collection[Stream]{
	Name: "logs.stream",
	Key:  func(s *Stream) table.Key { return table.K(s.Account, s.Region, s.Group, s.Name) },
	Clone: func(s *Stream) *Stream {
		c := *s
		return &c
	},
	Indexes: []table.Index[Stream]{{Name: lastIndex, Keys: func(s *Stream) []table.Key {
		return []table.Key{table.K(s.Account, s.Region, s.Group, s.Last.Part(), s.Name)}
	}}},
}

const (
	textStreamExists = "The specified log stream already exists"
	textPrefixByTime = "Cannot order by LastEventTime with a logStreamNamePrefix."

	streamsPerPage = 50 // unless asked otherwise
)

// stream gives a stream of the group, nil if there is none. It is shared, not to be changed.
func (g *Group) stream(tx *table.Tx, name string) (*Stream, error) {
	s, err := Streams.Get(tx, g.part(name))
	if errors.Is(err, table.ErrNotFound) {
		return nil, nil
	}
	return s, err
}

// existingStream gives the stream to a caller that was authorized.
func (t *target) existingStream(r *api.Request, name string) (*Group, *Stream, error) {
	g, err := t.existing()
	if err != nil {
		return nil, nil, err
	}
	s, err := g.stream(r.Tx, name)
	if err == nil && s == nil {
		err = logsapi.ResourceNotFoundException(textNoStream)
	}
	return g, s, err
}

// fresh is a new stream of the group.
func (g *Group) fresh(name string, now table.Millis) *Stream {
	return &Stream{Account: g.Account, Region: g.Region, Group: g.UID, Name: name, UID: newUID(), Created: now}
}

// onStream resolves operations on a stream.
func onStream(r *api.Request, group, identifier, stream *string) (*target, api.Access, error) {
	if err := streamName(*stream); err != nil {
		return nil, api.Access{}, err
	}
	t, err := locate(r, group, identifier)
	if err != nil {
		return nil, api.Access{}, err
	}
	return t, t.access(*stream), nil
}

func resolveCreateLogStream(r *api.Request, in *logsapi.CreateLogStreamInput) (*target, api.Access, error) {
	return onStream(r, in.LogGroupName, nil, in.LogStreamName)
}

func createLogStream(r *api.Request, in *logsapi.CreateLogStreamInput, t *target) (*logsapi.CreateLogStreamOutput, error) {
	g, err := t.existing()
	if err != nil {
		return nil, err
	}
	old, err := g.stream(r.Tx, *in.LogStreamName)
	if err != nil {
		return nil, err
	}
	if old != nil {
		return nil, logsapi.ResourceAlreadyExistsException(textStreamExists)
	}
	return &logsapi.CreateLogStreamOutput{}, Streams.Insert(r.Tx, g.fresh(*in.LogStreamName, table.At(r.Time)))
}

func resolveDeleteLogStream(r *api.Request, in *logsapi.DeleteLogStreamInput) (*target, api.Access, error) {
	return onStream(r, in.LogGroupName, nil, in.LogStreamName)
}

// deleteLogStream takes the stream away at once. PurgeDue removes what was in it.
func deleteLogStream(r *api.Request, in *logsapi.DeleteLogStreamInput, t *target) (*logsapi.DeleteLogStreamOutput, error) {
	g, s, err := t.existingStream(r, *in.LogStreamName)
	if err != nil {
		return nil, err
	}
	if g.Protected {
		return nil, logsapi.ValidationException(textProtected)
	}
	return &logsapi.DeleteLogStreamOutput{}, errors.Join(
		Streams.Delete(r.Tx, Streams.Key(s)),
		Purges.Put(r.Tx, &Purge{Account: g.Account, Region: g.Region, Group: g.UID, Stream: s.UID}),
	)
}

func describeLogStreams(r *api.Request, in *logsapi.DescribeLogStreamsInput, t *target) (*logsapi.DescribeLogStreamsOutput, error) {
	byTime := api.Value(in.OrderBy) == logsapi.OrderByLastEventTime
	if byTime && in.LogStreamNamePrefix != nil {
		return nil, invalid(textPrefixByTime)
	}
	if err := streamName(api.Value(in.LogStreamNamePrefix)); err != nil {
		return nil, err
	}
	g, err := t.existing()
	if err != nil {
		return nil, err
	}
	descending := api.Value(in.Descending)
	order := "up"
	if descending {
		order = "down"
	}
	p, err := newPage(r, in.Limit, in.NextToken, streamsPerPage, g.UID, api.Value(in.OrderBy), order, api.Value(in.LogStreamNamePrefix))
	if err != nil {
		return nil, err
	}
	list := g.streamsByName
	if byTime {
		list = g.streamsByTime
	}
	streams, next, err := list(r.Tx, p, api.Value(in.LogStreamNamePrefix), descending)
	if err != nil {
		return nil, err
	}
	out := &logsapi.DescribeLogStreamsOutput{LogStreams: make([]logsapi.LogStream, 0, len(streams)), NextToken: next}
	for _, s := range streams {
		d, err := g.describe(r, t, s)
		if err != nil {
			return nil, err
		}
		out.LogStreams = append(out.LogStreams, d)
	}
	return out, nil
}

func (g *Group) streamsByName(tx *table.Tx, p *page.Page, prefix string, descending bool) (found []*Stream, next *string, err error) {
	rng := table.Range{Prefix: g.part(prefix), Partial: true, Reverse: descending}
	if p.After != "" {
		rng.After = g.part(p.After)
	}
	for e, err := range Streams.Scan(tx, rng) {
		if err != nil {
			return nil, nil, err
		}
		if len(found) == p.Limit {
			return found, p.Next(found[len(found)-1].Name), nil
		}
		found = append(found, e.Value)
	}
	return found, nil, nil
}

// streamsByTime: a position is a time, and a name behind it.
func (g *Group) streamsByTime(tx *table.Tx, p *page.Page, _ string, descending bool) (found []*Stream, next *string, err error) {
	rng := table.Range{Prefix: g.part(), Reverse: descending}
	if len(p.After) > partLength {
		rng.After = g.part(p.After[:partLength], p.After[partLength:])
	}
	for e, err := range Streams.ScanIndex(tx, lastIndex, rng) {
		if err != nil {
			return nil, nil, err
		}
		if len(found) == p.Limit {
			last := found[len(found)-1]
			return found, p.Next(last.Last.Part() + last.Name), nil
		}
		s, err := Streams.Load(tx, e.Record)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, s)
	}
	return found, nil, nil
}

// partLength is the length of a time as a part of a key.
const partLength = 16

func (g *Group) describe(r *api.Request, t *target, s *Stream) (logsapi.LogStream, error) {
	d := logsapi.LogStream{
		LogStreamName: &s.Name,
		CreationTime:  new(int64(s.Created)),
		Arn:           new(t.arn() + ":log-stream:" + s.Name),
		StoredBytes:   new(int64(0)), // "always reported as zero"
	}
	if s.Puts == 0 {
		return d, nil
	}
	first := s.First
	if horizon := g.horizon(table.At(r.Time)); first < horizon {
		// What was the first is gone: the first that is left is looked up.
		p := reading{tx: r.Tx, group: g, streams: []*Stream{s}, start: horizon, end: maxTime + 1, limit: 1, work: unlimited}
		if _, err := p.ahead(r.Context, place{}); err != nil {
			return d, err
		}
		first = 0
		if len(p.found) > 0 {
			first = p.found[0].time
		}
	}
	if first != 0 {
		d.FirstEventTimestamp = new(int64(first))
	}
	d.LastEventTimestamp, d.LastIngestionTime = new(int64(s.Last)), new(int64(s.Ingested))
	d.UploadSequenceToken = new(s.token())
	return d, nil
}

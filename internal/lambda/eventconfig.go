package lambda

import (
	"errors"
	"fmt"
	"time"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/table"
)

// EventConfig is how long and how often events of a function, version or alias are tried.
type EventConfig struct {
	Account   string       `cbor:"1,keyasint"`
	Region    string       `cbor:"2,keyasint"`
	UID       string       `cbor:"3,keyasint"`           // of the function
	Qualifier string       `cbor:"4,keyasint"`           // also $LATEST, of the function itself
	Retries   *int         `cbor:"5,keyasint,omitempty"` // 0 to 2; nil: not said
	Age       *int         `cbor:"6,keyasint,omitempty"` // seconds, 60 to 21600; nil: not said
	Modified  table.Millis `cbor:"7,keyasint"`
}

// EventConfigs are those that were set.
var EventConfigs = table.Collection[EventConfig]{
	Name: "lambda.eventconfig",
	Key:  func(c *EventConfig) table.Key { return table.K(c.Account, c.Region, c.UID, c.Qualifier) },
}

const textNoEventConfig = "The function %s doesn't have an EventInvokeConfig"

func (s *Service) eventConfigOperations() []api.Bound {
	return []api.Bound{
		api.Bind(lambdaapi.DeleteFunctionEventInvokeConfig, func(r *api.Request, in *lambdaapi.DeleteFunctionEventInvokeConfigInput) (*target, api.Access, error) {
			return s.onVersion(r, in.FunctionName, in.Qualifier)
		}, deleteEventConfig),
		api.Bind(lambdaapi.GetFunctionEventInvokeConfig, func(r *api.Request, in *lambdaapi.GetFunctionEventInvokeConfigInput) (*target, api.Access, error) {
			return s.onVersion(r, in.FunctionName, in.Qualifier)
		}, getEventConfig),
		api.Bind(lambdaapi.ListFunctionEventInvokeConfigs, func(r *api.Request, in *lambdaapi.ListFunctionEventInvokeConfigsInput) (*target, api.Access, error) {
			return s.onFunction(r, in.FunctionName)
		}, listEventConfigs),
		api.Bind(lambdaapi.PutFunctionEventInvokeConfig, func(r *api.Request, in *lambdaapi.PutFunctionEventInvokeConfigInput) (*target, api.Access, error) {
			return s.onVersion(r, in.FunctionName, in.Qualifier)
		}, putEventConfig),
		api.Bind(lambdaapi.UpdateFunctionEventInvokeConfig, func(r *api.Request, in *lambdaapi.UpdateFunctionEventInvokeConfigInput) (*target, api.Access, error) {
			return s.onVersion(r, in.FunctionName, in.Qualifier)
		}, updateEventConfig),
	}
}

// eventConfig is what was set for a version or alias of the function; nil if nothing was.
func (f *Function) eventConfig(tx *table.Tx, qualifier string) (*EventConfig, error) {
	if qualifier == "" {
		qualifier = latest
	}
	c, err := EventConfigs.Load(tx, f.part(qualifier))
	if errors.Is(err, table.ErrNotFound) {
		return nil, nil
	}
	return c, err
}

// configurable is the function that was named, one of the caller's own, if what the
// qualifier means exists.
func (t *target) configurable() (*Function, error) {
	f, err := t.existing()
	if err == nil {
		_, _, err = t.found()
	}
	return f, err
}

// eventConfigOf is what was set for what t means.
func eventConfigOf(t *target) (*EventConfig, error) {
	f, err := t.configurable()
	if err != nil {
		return nil, err
	}
	c, err := f.eventConfig(t.tx, t.qualifier)
	if err == nil && c == nil {
		err = t.noEventConfig()
	}
	return c, err
}

func (t *target) noEventConfig() error {
	ref := t.reference
	if ref.qualifier == "" {
		ref.qualifier = latest
	}
	return lambdaapi.ResourceNotFoundException(fmt.Sprintf(textNoEventConfig, ref.arn()))
}

func (c *EventConfig) shown(name string) *lambdaapi.FunctionEventInvokeConfig {
	ref := reference{region: c.Region, account: c.Account, name: name, qualifier: c.Qualifier}
	out := &lambdaapi.FunctionEventInvokeConfig{
		LastModified: c.Modified.Ptr(), FunctionArn: new(ref.arn()),
		DestinationConfig: &lambdaapi.DestinationConfig{OnSuccess: &lambdaapi.OnSuccess{}, OnFailure: &lambdaapi.OnFailure{}},
	}
	if c.Retries != nil {
		out.MaximumRetryAttempts = new(int64(*c.Retries))
	}
	if c.Age != nil {
		out.MaximumEventAgeInSeconds = new(int64(*c.Age))
	}
	return out
}

// set changes what is said.
func (c *EventConfig) set(r *api.Request, retries, age *int64, to *lambdaapi.DestinationConfig) error {
	if to != nil && (to.OnSuccess != nil && api.Value(to.OnSuccess.Destination) != "" || to.OnFailure != nil && api.Value(to.OnFailure.Destination) != "") {
		return notHere("destinations", "DestinationConfig")
	}
	if retries != nil {
		c.Retries = new(int(*retries))
	}
	if age != nil {
		c.Age = new(int(*age))
	}
	c.Modified = table.At(r.Time)
	return EventConfigs.Put(r.Tx, c)
}

// limits are how often an event is tried again, and for how long.
func (c *EventConfig) limits() (retries int, age time.Duration) {
	retries, age = maxRetries, maxAge
	if c != nil && c.Retries != nil {
		retries = *c.Retries
	}
	if c != nil && c.Age != nil {
		age = time.Duration(*c.Age) * time.Second
	}
	return retries, age
}

// putEventConfig replaces what was set.
func putEventConfig(r *api.Request, in *lambdaapi.PutFunctionEventInvokeConfigInput, t *target) (*lambdaapi.PutFunctionEventInvokeConfigOutput, error) {
	f, err := t.configurable()
	if err != nil {
		return nil, err
	}
	c := &EventConfig{Account: f.Account, Region: f.Region, UID: f.UID, Qualifier: t.qualifier}
	if c.Qualifier == "" {
		c.Qualifier = latest
	}
	if err := c.set(r, in.MaximumRetryAttempts, in.MaximumEventAgeInSeconds, in.DestinationConfig); err != nil {
		return nil, err
	}
	out := lambdaapi.PutFunctionEventInvokeConfigOutput(*c.shown(t.name))
	return &out, nil
}

// updateEventConfig leaves what the request does not say.
func updateEventConfig(r *api.Request, in *lambdaapi.UpdateFunctionEventInvokeConfigInput, t *target) (*lambdaapi.UpdateFunctionEventInvokeConfigOutput, error) {
	c, err := eventConfigOf(t)
	if err != nil {
		return nil, err
	}
	if err := c.set(r, in.MaximumRetryAttempts, in.MaximumEventAgeInSeconds, in.DestinationConfig); err != nil {
		return nil, err
	}
	out := lambdaapi.UpdateFunctionEventInvokeConfigOutput(*c.shown(t.name))
	return &out, nil
}

func getEventConfig(_ *api.Request, _ *lambdaapi.GetFunctionEventInvokeConfigInput, t *target) (*lambdaapi.GetFunctionEventInvokeConfigOutput, error) {
	if t.builtIn != nil && t.version != nil {
		return nil, t.noEventConfig()
	}
	c, err := eventConfigOf(t)
	if err != nil {
		return nil, err
	}
	out := lambdaapi.GetFunctionEventInvokeConfigOutput(*c.shown(t.name))
	return &out, nil
}

func deleteEventConfig(r *api.Request, _ *lambdaapi.DeleteFunctionEventInvokeConfigInput, t *target) (*lambdaapi.DeleteFunctionEventInvokeConfigOutput, error) {
	c, err := eventConfigOf(t)
	if err != nil {
		return nil, err
	}
	return &lambdaapi.DeleteFunctionEventInvokeConfigOutput{}, EventConfigs.Delete(r.Tx, EventConfigs.Key(c))
}

func listEventConfigs(r *api.Request, in *lambdaapi.ListFunctionEventInvokeConfigsInput, t *target) (*lambdaapi.ListFunctionEventInvokeConfigsOutput, error) {
	out := &lambdaapi.ListFunctionEventInvokeConfigsOutput{FunctionEventInvokeConfigs: []lambdaapi.FunctionEventInvokeConfig{}}
	if t.builtIn != nil {
		return out, nil
	}
	f, err := t.existing()
	if err != nil {
		return nil, err
	}
	p, err := newPage(r, in.MaxItems, in.Marker, f.UID)
	if err != nil {
		return nil, err
	}
	last := ""
	for e, err := range EventConfigs.Scan(r.Tx, p.Rows(f.part())) {
		if err != nil {
			return nil, err
		}
		if len(out.FunctionEventInvokeConfigs) == p.Limit {
			out.NextMarker = p.Next(last)
			break
		}
		out.FunctionEventInvokeConfigs = append(out.FunctionEventInvokeConfigs, *e.Value.shown(f.Name))
		last = e.Value.Qualifier
	}
	return out, nil
}

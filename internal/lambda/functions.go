package lambda

import (
	"errors"
	"strings"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	logsapi "coffer/internal/api/logs"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/arn"
	"coffer/internal/table"
)

const (
	textExists         = "Function already exist: "
	textNotAssumed     = "The role defined for the function cannot be assumed by Lambda."
	textForeignRole    = "Cross-account pass role is not allowed."
	textRevision       = "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
	textUnpackedLayers = "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes."
)

func (s *Service) functionOperations() []api.Bound {
	create := api.Staging(api.Bind(lambdaapi.CreateFunction, s.resolveCreateFunction, s.createFunction), s.stageCreateFunction)
	update := api.Staging(api.Bind(lambdaapi.UpdateFunctionCode, s.resolveUpdateFunctionCode, s.updateFunctionCode), s.stageUpdateFunctionCode)
	for _, b := range []*api.Bound{&create, &update} {
		b.MaxBody, b.TooLarge = maxUpload, tooLarge(b.Op)
	}
	return []api.Bound{
		create, update,
		api.Bind(lambdaapi.DeleteFunction, s.resolveDeleteFunction, s.deleteFunction),
		api.Bind(lambdaapi.GetFunction, s.resolveGetFunction, s.getFunction),
		api.Bind(lambdaapi.GetFunctionConfiguration, s.resolveGetFunctionConfiguration, s.getFunctionConfiguration),
		api.Bind(lambdaapi.ListFunctions, resolveListFunctions, s.listFunctions),
		api.Bind(lambdaapi.UpdateFunctionConfiguration, s.resolveUpdateFunctionConfiguration, s.updateFunctionConfiguration),
	}
}

// resolveCreateFunction: the caller must be allowed to pass the role to Lambda, to use
// the layers, and to tag if there are tags ("Identity-based IAM policies for Lambda").
func (s *Service) resolveCreateFunction(r *api.Request, in *lambdaapi.CreateFunctionInput) (*target, api.Access, error) {
	t, a, err := s.changeFunction(r, in.FunctionName)
	if err != nil {
		return nil, a, err
	}
	a.Tags, a.Policy = nil, nil // of a function that may be there already
	a.RequestTags = sortedTags(in.Tags)
	if len(in.Tags) > 0 {
		tag := a
		tag.Action = lambdaapi.TagResource.Action()
		a.Also = append(a.Also, tag)
	}
	err = t.further(&a, *in.Role, in.Layers, in.LoggingConfig)
	return t, a, err
}

// further adds what setting a role, layers and a log group takes.
func (t *target) further(a *api.Access, role string, layers []string, logging *lambdaapi.LoggingConfig) error {
	if role != "" {
		of, err := arn.Parse(role)
		if err != nil {
			return lambdaapi.InvalidParameterValueException(textNotAssumed)
		}
		// A service's own role is for what it was made for, and cannot be passed.
		if strings.HasPrefix(of.Resource, "role/aws-service-role/") {
			return lambdaapi.InvalidParameterValueException(textNotAssumed)
		}
		if of.Account != t.account || of.Partition != t.r.Partition() {
			return api.AccessDeniedException(textForeignRole)
		}
		a.Also = append(a.Also, api.Access{Action: "iam:PassRole", Resource: role, Account: of.Account, Named: role, Keys: passing{t.reference.function()}})
	}
	more, err := layerAccess(t.r, layers)
	a.Also = append(a.Also, more...)
	if logging != nil {
		a.Also = append(a.Also, t.logAccess(api.Value(logging.LogGroup))...)
	}
	return err
}

// logAccess is what it takes to have the function's log written to a group. The system
// writes it and asks nobody: who chooses another group than the function's own could
// otherwise write into every log of the account.
func (t *target) logAccess(group string) []api.Access {
	if group == "" || group == logGroup(t.name) {
		return nil
	}
	resource := "arn:" + t.r.Partition() + ":logs:" + t.region + ":" + t.account + ":log-group:" + group
	write := func(action, on string) api.Access {
		return api.Access{Action: action, Resource: on, Account: t.account, Named: on}
	}
	return []api.Access{
		write(logsapi.CreateLogStream.Action(), resource+":*"),
		write(logsapi.PutLogEvents.Action(), resource+":log-stream:*"),
	}
}

func (s *Service) stageCreateFunction(r *api.Request, in *lambdaapi.CreateFunctionInput) error {
	if err := checkCreate(in); err != nil {
		return err
	}
	ref, err := parseUnqualified(r, *in.FunctionName)
	if err != nil {
		return err
	}
	c := in.Code
	return s.stage(r, ref.account, upload{zip: c.ZipFile, bucket: first(c.S3Bucket, c.S3Key, c.S3ObjectVersion), image: c.ImageUri})
}

func (s *Service) createFunction(r *api.Request, in *lambdaapi.CreateFunctionInput, t *target) (*lambdaapi.CreateFunctionOutput, error) {
	// Who may create functions may not on that account take over the rotations of secrets by a
	// built-in one.
	if t.function != nil || t.builtIn != nil {
		return nil, lambdaapi.ResourceConflictException(textExists + t.name)
	}
	code, err := staged(r)
	if err != nil {
		return nil, err
	}
	f := &Function{
		Account: t.account, Region: t.region, Name: t.name, UID: api.NewID(), Created: table.At(r.Time),
		Latest: usual(t.name), Tags: sortedTags(in.Tags),
	}
	v := &f.Latest
	v.Code = *code
	if len(in.Architectures) > 0 {
		v.Architecture = in.Architectures[0]
	}
	c := created(in)
	if err := s.configure(r, f, c); err != nil {
		return nil, err
	}
	f.touch(r, nil)
	a, err := account(r.Tx, f.Account, f.Region)
	if err != nil {
		return nil, err
	}
	a.Functions++
	if err := s.take(r, a, v); err != nil {
		return nil, err
	}
	shown := v
	if api.Value(in.Publish) {
		if shown, err = s.publish(r, a, f, nil); err != nil {
			return nil, err
		}
	}
	if err := Accounts.Put(r.Tx, a); err != nil {
		return nil, err
	}
	if err := Functions.Insert(r.Tx, f); err != nil {
		return nil, err
	}
	out, err := s.described(r, t.as(shown), shown)
	if err != nil {
		return nil, err
	}
	answer := lambdaapi.CreateFunctionOutput(*out)
	return &answer, nil
}

// as is the name of a version of the function: without qualifier for $LATEST.
func (t *target) as(v *Version) reference {
	ref := t.reference
	ref.qualifier = ""
	if v.Number != 0 {
		ref.qualifier = v.name()
	}
	return ref
}

// configure gives the function's unpublished version what is said.
func (s *Service) configure(r *api.Request, f *Function, c *settings) error {
	v := &f.Latest
	before := *v
	c.into(v)
	if c.role != nil {
		if _, err := s.assume(r, f.arn(), v.Role, f.Name); err != nil {
			if _, ok := refusal(err); ok {
				return lambdaapi.InvalidParameterValueException(textNotAssumed).Because(err)
			}
			return err
		}
	}
	if c.layers != nil {
		var err error
		if v.Layers, err = layerUses(r, c.layers); err != nil {
			return err
		}
		if v.unpacked() >= MaxUnpacked {
			return lambdaapi.InvalidParameterValueException(textUnpackedLayers)
		}
	}
	variables := c.environment
	if variables == nil && v.KMSKey != before.KMSKey && v.Environment != nil {
		// Another key: the caller must be able to use both.
		old, err := v.Environment.open(r, f.arn())
		if err != nil {
			if f, ok := refusal(err); ok {
				return lambdaapi.InvalidParameterValueException(sealText(f)).Because(err)
			}
			return err
		}
		variables = &lambdaapi.Environment{Variables: old}
	}
	if variables != nil {
		var err error
		if v.Environment, err = s.seal(r, f.arn(), variables.Variables, v.KMSKey); err != nil {
			return err
		}
	}
	return nil
}

// touch marks the function's unpublished version as updated. before is what it was, nil
// for nothing.
func (f *Function) touch(r *api.Request, before *Version) {
	f.Latest.Modified, f.Latest.Revision = table.At(r.Time), api.NewID()
	if before == nil || !f.Latest.same(before) {
		f.Latest.Content = api.NewID()
	}
}

// assume gives credentials of the function's role, as Lambda itself on behalf of the
// function. Sessions are called like the function.
func (s *Service) assume(r *api.Request, functionARN, role, name string) (*stsapi.Credentials, error) {
	if len(name) < 2 {
		name += "_" // a session's name has two characters
	}
	out, err := r.Caller.CallAsService(r, functionARN, stsapi.AssumeRole.Operation, &stsapi.AssumeRoleInput{RoleArn: &role, RoleSessionName: &name})
	if err != nil {
		return nil, err
	}
	o, ok := out.(*stsapi.AssumeRoleOutput)
	if !ok || o.Credentials == nil {
		return nil, errors.New("lambda: AssumeRole gave no credentials")
	}
	return o.Credentials, nil
}

func (s *Service) resolveGetFunction(r *api.Request, in *lambdaapi.GetFunctionInput) (*target, api.Access, error) {
	return s.onVersion(r, in.FunctionName, in.Qualifier)
}

func (s *Service) getFunction(r *api.Request, in *lambdaapi.GetFunctionInput, t *target) (*lambdaapi.GetFunctionOutput, error) {
	f, v, err := t.found()
	if err != nil {
		return nil, err
	}
	out := &lambdaapi.GetFunctionOutput{Code: &lambdaapi.FunctionCodeLocation{RepositoryType: new("Coffer")}}
	if out.Configuration, err = s.described(r, t.reference, v); err != nil || f == nil {
		return out, err
	}
	if out.Code.Location, err = s.location(r, &v.Code, t.reference.arn()); err != nil {
		return nil, err
	}
	if f.Reserved != nil {
		out.Concurrency = &lambdaapi.Concurrency{ReservedConcurrentExecutions: new(int64(*f.Reserved))}
	}
	return out, t.showTags(out)
}

// showTags adds the tags, if the caller may list them.
func (t *target) showTags(out *lambdaapi.GetFunctionOutput) error {
	a, err := t.access()
	if err != nil {
		return err
	}
	a.Action = lambdaapi.ListTags.Action()
	_, err = t.r.Caller.Authorize(t.r, &a)
	if f, ok := refusal(err); ok {
		out.TagsError = &lambdaapi.TagsError{ErrorCode: &f.Code, Message: &f.Message}
		return nil
	}
	out.Tags = tagMap(t.function.Tags)
	return err
}

func (s *Service) resolveGetFunctionConfiguration(r *api.Request, in *lambdaapi.GetFunctionConfigurationInput) (*target, api.Access, error) {
	return s.onVersion(r, in.FunctionName, in.Qualifier)
}

func (s *Service) getFunctionConfiguration(r *api.Request, _ *lambdaapi.GetFunctionConfigurationInput, t *target) (*lambdaapi.GetFunctionConfigurationOutput, error) {
	_, v, err := t.found()
	if err != nil {
		return nil, err
	}
	out, err := s.described(r, t.reference, v)
	if err != nil {
		return nil, err
	}
	answer := lambdaapi.GetFunctionConfigurationOutput(*out)
	return &answer, nil
}

// first is the first of ps that is there.
func first(ps ...*string) *string {
	for _, p := range ps {
		if p != nil {
			return p
		}
	}
	return nil
}

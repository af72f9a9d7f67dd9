package lambda

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/table"
)

const (
	// maxLooked bounds the versions of layers that a page of a list looks at beside
	// those that it shows.
	maxLooked = 2000

	textLayerNumber    = "Layer Version Cannot be less than 1."
	textNoLayer        = "Layer version %s does not exist."
	textLayerRegion    = "Layers are not in the same region as the function. Layers are expected to be in region %s."
	textLayerTwice     = "Two different versions of the same layer are not allowed to be referenced in the same function. %s and %s are versions of the same layer."
	textLayerPolicy    = "No policy is associated with the given resource."
	textLayerRevised   = "The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API to retrieve the latest Revision Id"
	textLayerEverybody = "OrganizationId can only be given with the principal *."
)

func (s *Service) layerOperations() []api.Bound {
	publish := api.Staging(api.Bind(lambdaapi.PublishLayerVersion, resolvePublishLayerVersion, s.publishLayerVersion), s.stageLayer)
	publish.MaxBody, publish.TooLarge = maxUpload, tooLarge(lambdaapi.PublishLayerVersion.Operation)
	return []api.Bound{
		publish,
		api.Bind(lambdaapi.AddLayerVersionPermission, resolveAddLayerVersionPermission, addLayerVersionPermission),
		api.Bind(lambdaapi.DeleteLayerVersion, resolveDeleteLayerVersion, deleteLayerVersion),
		api.Bind(lambdaapi.GetLayerVersion, resolveGetLayerVersion, s.getLayerVersion),
		api.Bind(lambdaapi.GetLayerVersionByArn, resolveGetLayerVersionByArn, s.getLayerVersionByArn),
		api.Bind(lambdaapi.GetLayerVersionPolicy, resolveGetLayerVersionPolicy, getLayerVersionPolicy),
		api.Bind(lambdaapi.ListLayerVersions, resolveListLayerVersions, listLayerVersions),
		api.Bind(lambdaapi.ListLayers, resolveListLayers, listLayers),
		api.Bind(lambdaapi.RemoveLayerVersionPermission, resolveRemoveLayerVersionPermission, removeLayerVersionPermission),
	}
}

// layerTarget is what a LayerName and a number were found to name.
type layerTarget struct {
	layerReference
	version *LayerVersion // nil: there is none
}

// layerNamed is the layer that a LayerName names: a name alone is one of the caller's own.
func layerNamed(r *api.Request, name string) layerReference {
	if ref, ok := parseLayer(name); ok {
		return ref
	}
	return layerReference{partition: r.Partition(), region: r.Region, account: r.Account, name: name}
}

// onLayerVersion resolves operations on one version of a layer.
func onLayerVersion(r *api.Request, name string, number int64) (*layerTarget, api.Access, error) {
	ref := layerNamed(r, name)
	if number > 0 && number < 1<<31 {
		ref.number = int(number)
	}
	t, a, err := findLayer(r, ref)
	// The version as it was asked for, also where there cannot be one.
	a.Resource = fmt.Sprintf("%s:%d", ref.arn(), number)
	a.Named = a.Resource
	return t, a, err
}

// findLayer looks a version up, and says what access to it is decided on.
func findLayer(r *api.Request, ref layerReference) (*layerTarget, api.Access, error) {
	name := ref.arn()
	if ref.number != 0 {
		name = ref.versionARN()
	}
	a := api.Access{Resource: name, Account: ref.account, Named: name, Keys: &target{r: r}}
	t := &layerTarget{layerReference: ref}
	if ref.region != r.Region {
		return t, a, nil
	}
	var err error
	if t.version, err = ref.version(r.Tx); err != nil || t.version == nil {
		return t, a, err
	}
	a.Policy, err = t.version.policy()
	return t, a, err
}

// existing is the version, for operations that need one.
func (t *layerTarget) existing() (*LayerVersion, error) {
	if t.version == nil {
		return nil, lambdaapi.ResourceNotFoundException(textNoResource)
	}
	return t.version, nil
}

// governed is the version, for operations on its policy.
func (t *layerTarget) governed(number int64) (*LayerVersion, error) {
	switch {
	case number < 1:
		return nil, lambdaapi.InvalidParameterValueException(textLayerNumber)
	case t.version == nil:
		return nil, lambdaapi.ResourceNotFoundException(fmt.Sprintf(textNoLayer, fmt.Sprintf("%s:%d", t.arn(), number)))
	}
	return t.version, nil
}

func resolvePublishLayerVersion(r *api.Request, in *lambdaapi.PublishLayerVersionInput) (layerReference, api.Access, error) {
	ref := layerNamed(r, *in.LayerName)
	return ref, api.Access{Resource: ref.arn(), Account: ref.account, Named: ref.arn(), Keys: &target{r: r}}, nil
}

// stageLayer stores the package before the transaction that makes the version.
func (s *Service) stageLayer(r *api.Request, in *lambdaapi.PublishLayerVersionInput) error {
	ref := layerNamed(r, *in.LayerName)
	if err := ref.here(r); err != nil {
		return err
	}
	return s.stage(r, ref.account, upload{zip: in.Content.ZipFile, bucket: in.Content.S3Bucket, key: in.Content.S3Key})
}

// here refuses to make a layer elsewhere than where the request is made.
func (ref *layerReference) here(r *api.Request) error {
	if ref.region != r.Region || ref.partition != r.Partition() || ref.account != r.Account {
		return lambdaapi.ResourceNotFoundException(textNoResource)
	}
	return nil
}

func (s *Service) publishLayerVersion(r *api.Request, in *lambdaapi.PublishLayerVersionInput, ref layerReference) (*lambdaapi.PublishLayerVersionOutput, error) {
	code, err := staged(r)
	if err != nil {
		return nil, err
	}
	if err := s.takeLayer(r, *code); err != nil {
		return nil, err
	}
	l, err := Layers.Load(r.Tx, ref.key())
	if errors.Is(err, table.ErrNotFound) {
		l, err = &Layer{Account: ref.account, Region: ref.region, Name: ref.name}, nil
	}
	if err != nil {
		return nil, err
	}
	l.Published++
	l.Versions++
	v := &LayerVersion{
		Account: l.Account, Region: l.Region, Layer: l.Name, Number: l.Published, Created: table.At(r.Time), Code: *code,
		Description: api.Value(in.Description), License: api.Value(in.LicenseInfo), Runtimes: in.CompatibleRuntimes, Architectures: in.CompatibleArchitectures,
	}
	if err := errors.Join(Layers.Put(r.Tx, l), LayerVersions.Insert(r.Tx, v)); err != nil {
		return nil, err
	}
	out := lambdaapi.PublishLayerVersionOutput(v.shown())
	return &out, nil
}

// takeLayer has a layer's package used, and counts it.
func (s *Service) takeLayer(r *api.Request, code Code) error {
	if err := refer(r, code); err != nil {
		return err
	}
	a, err := account(r.Tx, code.Account, r.Region)
	if err != nil {
		return err
	}
	if err := s.count(a, code.Size); err != nil {
		return err
	}
	return Accounts.Put(r.Tx, a)
}

func resolveDeleteLayerVersion(r *api.Request, in *lambdaapi.DeleteLayerVersionInput) (*layerTarget, api.Access, error) {
	return onLayerVersion(r, *in.LayerName, *in.VersionNumber)
}

// deleteLayerVersion succeeds without the version, too. Functions that use it go on: they
// have the package themselves.
func deleteLayerVersion(r *api.Request, _ *lambdaapi.DeleteLayerVersionInput, t *layerTarget) (*lambdaapi.DeleteLayerVersionOutput, error) {
	out := &lambdaapi.DeleteLayerVersionOutput{}
	if t.version == nil {
		return out, nil
	}
	l, err := Layers.Load(r.Tx, t.key())
	if err != nil {
		return nil, err
	}
	l.Versions--
	a, err := account(r.Tx, t.account, t.region)
	if err != nil {
		return nil, err
	}
	a.Code -= t.version.Code.Size
	return out, errors.Join(
		release(r, t.version.Code),
		Accounts.Put(r.Tx, a),
		Layers.Put(r.Tx, l),
		LayerVersions.Delete(r.Tx, t.key(numberPart(t.number))),
	)
}

func resolveGetLayerVersion(r *api.Request, in *lambdaapi.GetLayerVersionInput) (*layerTarget, api.Access, error) {
	return onLayerVersion(r, *in.LayerName, *in.VersionNumber)
}

func (s *Service) getLayerVersion(r *api.Request, in *lambdaapi.GetLayerVersionInput, t *layerTarget) (*lambdaapi.GetLayerVersionOutput, error) {
	if *in.VersionNumber < 1 {
		return nil, lambdaapi.InvalidParameterValueException(textLayerNumber)
	}
	v, err := t.existing()
	if err != nil {
		return nil, err
	}
	out := v.shown()
	out.Content.Location, err = s.location(r, &v.Code, v.reference().versionARN())
	return &out, err
}

func resolveGetLayerVersionByArn(r *api.Request, in *lambdaapi.GetLayerVersionByArnInput) (*layerTarget, api.Access, error) {
	ref, _ := parseLayer(*in.Arn)
	t, a, err := findLayer(r, ref)
	a.Resource, a.Named = *in.Arn, *in.Arn
	return t, a, err
}

func (s *Service) getLayerVersionByArn(r *api.Request, _ *lambdaapi.GetLayerVersionByArnInput, t *layerTarget) (*lambdaapi.GetLayerVersionByArnOutput, error) {
	v, err := t.existing()
	if err != nil {
		return nil, err
	}
	out := lambdaapi.GetLayerVersionByArnOutput(v.shown())
	out.Content.Location, err = s.location(r, &v.Code, v.reference().versionARN())
	return &out, err
}

// shown is the version as most answers show it, without a Location to get the package from.
func (v *LayerVersion) shown() lambdaapi.GetLayerVersionOutput {
	ref := v.reference()
	return lambdaapi.GetLayerVersionOutput{
		Content:                 &lambdaapi.LayerVersionContentOutput{CodeSha256: v.Code.sha256(), CodeSize: new(v.Code.Size)},
		LayerArn:                new(ref.arn()),
		LayerVersionArn:         new(ref.versionARN()),
		Description:             new(v.Description),
		CreatedDate:             new(dated(v.Created)),
		Version:                 new(int64(v.Number)),
		CompatibleRuntimes:      v.Runtimes,
		LicenseInfo:             api.Optional(v.License),
		CompatibleArchitectures: v.Architectures,
	}
}

// dated is a time as Lambda writes it: not as the model's timestamps, but as text.
func dated(m table.Millis) string { return m.Time().Format("2006-01-02T15:04:05.000-0700") }

// listed is the version as lists show it.
func (v *LayerVersion) listed() lambdaapi.LayerVersionsListItem {
	return lambdaapi.LayerVersionsListItem{
		LayerVersionArn:         new(v.reference().versionARN()),
		Version:                 new(int64(v.Number)),
		Description:             new(v.Description),
		CreatedDate:             new(dated(v.Created)),
		CompatibleRuntimes:      v.Runtimes,
		LicenseInfo:             api.Optional(v.License),
		CompatibleArchitectures: v.Architectures,
	}
}

// compatible is what a list of layers is narrowed to; nil for anything.
type compatible struct{ runtime, architecture *string }

func (c *compatible) filter() string { return api.Value(c.runtime) + " " + api.Value(c.architecture) }

func (c *compatible) matches(v *LayerVersion) bool {
	return (c.runtime == nil || slices.Contains(v.Runtimes, *c.runtime)) &&
		(c.architecture == nil || slices.Contains(v.Architectures, *c.architecture))
}

// resolveListLayerVersions: the action has no resource. The layers of other accounts are
// not listed, whatever is allowed of their versions.
func resolveListLayerVersions(r *api.Request, in *lambdaapi.ListLayerVersionsInput) (layerReference, api.Access, error) {
	ref := layerNamed(r, *in.LayerName)
	if ref.account != r.Account {
		return ref, api.Access{Resource: ref.arn(), Account: ref.account, Named: ref.arn(), Keys: &target{r: r}}, nil
	}
	return ref, everything(r), nil
}

// listLayerVersions shows the newest version first.
func listLayerVersions(r *api.Request, in *lambdaapi.ListLayerVersionsInput, ref layerReference) (*lambdaapi.ListLayerVersionsOutput, error) {
	want := compatible{in.CompatibleRuntime, in.CompatibleArchitecture}
	p, err := newPage(r, in.MaxItems, in.Marker, ref.arn(), want.filter())
	if err != nil {
		return nil, err
	}
	out := &lambdaapi.ListLayerVersionsOutput{LayerVersions: []lambdaapi.LayerVersionsListItem{}}
	if ref.region != r.Region || ref.partition != r.Partition() {
		return out, nil
	}
	rows, last, looked := p.Rows(ref.key()), 0, 0
	for v, err := range newest(r.Tx, rows) {
		if err != nil {
			return nil, err
		}
		if len(out.LayerVersions) == p.Limit || looked == maxLooked {
			out.NextMarker = p.Next(numberPart(last))
			break
		}
		if want.matches(v) {
			out.LayerVersions = append(out.LayerVersions, v.listed())
		}
		last = v.Number
		looked++
	}
	return out, nil
}

// newest goes through versions of a layer from the last to the first.
func newest(tx *table.Tx, rows table.Range) iter.Seq2[*LayerVersion, error] {
	rows.Reverse = true
	return func(yield func(*LayerVersion, error) bool) {
		for e, err := range LayerVersions.Scan(tx, rows) {
			if !yield(e.Value, err) {
				return
			}
		}
	}
}

func resolveListLayers(r *api.Request, _ *lambdaapi.ListLayersInput) (struct{}, api.Access, error) {
	return struct{}{}, everything(r), nil
}

// listLayers shows each layer with its newest version of those asked for. Layers without
// one are left out.
func listLayers(r *api.Request, in *lambdaapi.ListLayersInput, _ struct{}) (*lambdaapi.ListLayersOutput, error) {
	want := compatible{in.CompatibleRuntime, in.CompatibleArchitecture}
	p, err := newPage(r, in.MaxItems, in.Marker, want.filter())
	if err != nil {
		return nil, err
	}
	out := &lambdaapi.ListLayersOutput{Layers: []lambdaapi.LayersListItem{}}
	last, looked := "", 0
	for e, err := range Layers.ScanIndex(r.Tx, byLive, p.Rows(table.K(r.Account, r.Region))) {
		if err != nil {
			return nil, err
		}
		// Between layers only, so that every page gets further.
		if len(out.Layers) == p.Limit || looked >= maxLooked {
			out.NextMarker = p.Next(last)
			break
		}
		last = e.Key.Parts()[2]
		for v, err := range newest(r.Tx, table.Range{Prefix: e.Record}) {
			if err != nil {
				return nil, err
			}
			looked++
			if want.matches(v) {
				item := v.listed()
				out.Layers = append(out.Layers, lambdaapi.LayersListItem{LayerName: new(last), LayerArn: new(v.reference().arn()), LatestMatchingVersion: &item})
				break
			}
		}
	}
	return out, nil
}

func resolveAddLayerVersionPermission(r *api.Request, in *lambdaapi.AddLayerVersionPermissionInput) (*layerTarget, api.Access, error) {
	return onLayerVersion(r, *in.LayerName, *in.VersionNumber)
}

func addLayerVersionPermission(r *api.Request, in *lambdaapi.AddLayerVersionPermissionInput, t *layerTarget) (*lambdaapi.AddLayerVersionPermissionOutput, error) {
	old, err := t.governed(*in.VersionNumber)
	if err != nil {
		return nil, err
	}
	if err := old.unrevised(in.RevisionId); err != nil {
		return nil, err
	}
	if indexOf(old.Statements, *in.StatementId) >= 0 {
		return nil, lambdaapi.ResourceConflictException(fmt.Sprintf(textSID, *in.StatementId))
	}
	p := &permission{sid: *in.StatementId, principal: *in.Principal, action: *in.Action, resource: t.versionARN()}
	if in.OrganizationId != nil {
		if *in.Principal != "*" {
			return nil, lambdaapi.InvalidParameterValueException(textLayerEverybody)
		}
		p.conditions = []condition{{"StringEquals", "aws:PrincipalOrgID", *in.OrganizationId}}
	}
	added, shown, err := p.statement(r)
	if errors.Is(err, errPrincipal) || errors.Is(err, errStatement) {
		return nil, lambdaapi.InvalidParameterValueException(textPrincipal).Because(err)
	}
	if err != nil {
		return nil, err
	}
	v, err := old.govern(r, append(slices.Clone(old.Statements), added))
	if err != nil {
		return nil, err
	}
	return &lambdaapi.AddLayerVersionPermissionOutput{Statement: &shown, RevisionId: &v.Revision}, nil
}

func resolveRemoveLayerVersionPermission(r *api.Request, in *lambdaapi.RemoveLayerVersionPermissionInput) (*layerTarget, api.Access, error) {
	return onLayerVersion(r, *in.LayerName, *in.VersionNumber)
}

func removeLayerVersionPermission(r *api.Request, in *lambdaapi.RemoveLayerVersionPermissionInput, t *layerTarget) (*lambdaapi.RemoveLayerVersionPermissionOutput, error) {
	old, err := t.governed(*in.VersionNumber)
	if err != nil {
		return nil, err
	}
	if len(old.Statements) == 0 {
		return nil, lambdaapi.ResourceNotFoundException(textLayerPolicy)
	}
	at := indexOf(old.Statements, *in.StatementId)
	if at < 0 {
		return nil, lambdaapi.ResourceNotFoundException(fmt.Sprintf(textNoStatement, *in.StatementId))
	}
	if err := old.unrevised(in.RevisionId); err != nil {
		return nil, err
	}
	_, err = old.govern(r, slices.Delete(slices.Clone(old.Statements), at, at+1))
	return &lambdaapi.RemoveLayerVersionPermissionOutput{}, err
}

func (v *LayerVersion) unrevised(revision *string) error {
	if revision != nil && *revision != v.Revision {
		return lambdaapi.PreconditionFailedException(textLayerRevised)
	}
	return nil
}

// govern gives the version another policy. The record that it makes has not been
// compiled, as this one may have been.
func (v *LayerVersion) govern(r *api.Request, statements []Statement) (*LayerVersion, error) {
	if err := fits(statements); err != nil {
		return nil, err
	}
	n, err := LayerVersions.Load(r.Tx, LayerVersions.Key(v))
	if err != nil {
		return nil, err
	}
	n.Statements, n.Revision = statements, api.NewID()
	return n, LayerVersions.Put(r.Tx, n)
}

func resolveGetLayerVersionPolicy(r *api.Request, in *lambdaapi.GetLayerVersionPolicyInput) (*layerTarget, api.Access, error) {
	return onLayerVersion(r, *in.LayerName, *in.VersionNumber)
}

func getLayerVersionPolicy(r *api.Request, in *lambdaapi.GetLayerVersionPolicyInput, t *layerTarget) (*lambdaapi.GetLayerVersionPolicyOutput, error) {
	v, err := t.governed(*in.VersionNumber)
	if err != nil {
		return nil, err
	}
	if len(v.Statements) == 0 {
		return nil, lambdaapi.ResourceNotFoundException(textLayerPolicy)
	}
	text, err := r.ShowPolicy(r.Tx, document(v.Statements), nil)
	if err != nil {
		return nil, err
	}
	return &lambdaapi.GetLayerVersionPolicyOutput{Policy: &text, RevisionId: &v.Revision}, nil
}

// layerAccess is what the caller must be allowed to do to have a function use layers: to
// get each of them ("lambda:GetLayerVersion"). It does not tell whether they exist.
func layerAccess(r *api.Request, arns []string) (needs []api.Access, err error) {
	for _, name := range arns {
		ref, _ := parseLayer(name)
		_, a, err := findLayer(r, ref)
		if err != nil {
			return nil, err
		}
		a.Action, a.Resource, a.Named = lambdaapi.GetLayerVersion.Action(), name, name
		needs = append(needs, a)
	}
	return needs, nil
}

// layerUses are the versions of layers that a function of the request's region is to
// use. The caller has been allowed to get them.
func layerUses(r *api.Request, arns []string) (uses []LayerUse, err error) {
	seen := make(map[string]string)
	for _, name := range arns {
		ref, ok := parseLayer(name)
		if ok && ref.region != r.Region {
			return nil, lambdaapi.InvalidParameterValueException(fmt.Sprintf(textLayerRegion, r.Region))
		}
		if other := seen[ref.arn()]; other != "" {
			return nil, lambdaapi.InvalidParameterValueException(fmt.Sprintf(textLayerTwice, other, name))
		}
		seen[ref.arn()] = name
		v, err := ref.version(r.Tx)
		if err != nil {
			return nil, err
		}
		if v == nil {
			return nil, lambdaapi.InvalidParameterValueException(fmt.Sprintf(textNoLayer, name))
		}
		uses = append(uses, LayerUse{ARN: name, Code: v.Code})
	}
	return uses, nil
}

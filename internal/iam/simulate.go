package iam

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/arn"
	"coffer/internal/fault"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// What simulations may cost. A decision takes at most as many steps as its
// policies have bytes, times the length of the longest text that they are compared with.
const (
	maxSimulatedText = 131072  // bytes of the policies that a request brings, together
	maxPageSteps     = 1 << 27 // after which a page ends
	maxSteps         = 1 << 29 // of one decision
)

func (s *Service) simulationOperations() []api.Bound {
	return []api.Bound{
		api.Bind(iamapi.SimulateCustomPolicy, onNothing[iamapi.SimulateCustomPolicyInput], simulateCustomPolicy),
		api.Bind(iamapi.SimulatePrincipalPolicy, resolveSimulatePrincipalPolicy, s.simulatePrincipalPolicy),
	}
}

// sourceTarget is whose policies an operation looks at: a user, group or role.
type sourceTarget struct {
	user  *userTarget
	group *groupTarget
	role  *roleTarget
}

// locateSource finds the user, group or role with an ARN.
func locateSource(r *api.Request, text string) (t sourceTarget, access api.Access, err error) {
	a, err := arn.Parse(text)
	if err != nil {
		return t, access, api.ValidationException("Invalid ARN:  Could not be parsed!")
	}
	kind, path, name := splitResource(a.Resource)
	if a.Service != "iam" || a.Region != "" || !IsAccountID(a.Account) || name == "" || !slices.Contains([]string{"user", "group", "role"}, kind) {
		return t, access, iamapi.InvalidInputException("Invalid Entity Arn: " + text + " does not clearly define entity type and name.")
	}
	access = named(r, text, a, nil)
	if a.Account != r.Account {
		return t, access, nil // the decision refuses
	}
	switch kind {
	case "user":
		if t.user, err = locateUser(r, name); err == nil && (t.user.path != path || t.user.name != name) {
			t.user.user = nil
		}
	case "group":
		if t.group, err = locateGroup(r, name); err == nil && (t.group.path != path || t.group.name != name) {
			t.group.group = nil
		}
	case "role":
		if t.role, err = locateRole(r, name); err == nil && (t.role.path != path || t.role.name != name) {
			t.role.role = nil
		}
	}
	if err != nil {
		return t, access, err
	}
	if t.user != nil && t.user.user != nil {
		access.Tags = t.user.tags
	}
	if t.role != nil && t.role.role != nil {
		access.Tags = t.role.tags
	}
	return t, access, nil
}

// standing is what applies to the user, group or role, loaded as for a call of
// its own, and the principal that it would call as; a group calls as nobody.
func (s *Service) standing(r *api.Request, t *sourceTarget) (*Standing, *api.Principal, error) {
	switch {
	case t.user != nil:
		u, err := t.user.found()
		if err != nil {
			return nil, nil, err
		}
		p := userPrincipal(r, u)
		st, err := s.directory.Load(r.Tx, p)
		return st, p, err
	case t.role != nil:
		role, err := t.role.found()
		if err != nil {
			return nil, nil, err
		}
		p := &api.Principal{Name: role.Name, Caller: policy.Caller{
			Type: policy.AssumedRole, Account: role.Account, Entity: role.ARN(r.Partition()), ID: role.ID,
			ARN: "arn:" + r.Partition() + ":sts::" + role.Account + ":assumed-role/" + role.Name + "/simulation",
		}}
		st, err := s.directory.Load(r.Tx, p)
		return st, p, err
	}
	g, err := t.group.found()
	if err != nil {
		return nil, nil, err
	}
	var l loader
	l.owner(r.Tx, g.ID, "group/"+g.Name, g.Attached)
	return &Standing{policies: policy.NewSet(l.found...), place: &place{}}, nil, l.err
}

func userPrincipal(r *api.Request, u *User) *api.Principal {
	a := u.ARN(r.Partition())
	return &api.Principal{Name: u.Name, Caller: policy.Caller{Type: policy.IAMUser, ARN: a, Account: u.Account, Entity: a, ID: u.ID}}
}

// scenario is what both simulations are asked.
type scenario struct {
	policies, boundaries []string
	actions, resources   []string
	resourcePolicy       *string
	owner, caller        *string // ARNs
	handling             *string
	entries              []iamapi.ContextEntry
	marker               *string
	items                *int64
}

// simulation decides what the scenario asks.
type simulation struct {
	facts    facts // about the principal
	known    bool  // who the principal is
	identity *policy.Set
	boundary *policy.Set
	controls []*policy.Set
	org      bool // the account is in an organisation
	resource [3]*policy.Set
	owner    string // account of resources that do not say
	entries  map[string][]string
	written  map[string]string // condition keys as the policies spell them
	steps    int               // of one decision, without the resource's share
	longest  int               // text in the context, in bytes

	exhausted bool // a decision took too many steps
}

func simulateCustomPolicy(r *api.Request, in *iamapi.SimulateCustomPolicyInput, _ struct{}) (*iamapi.SimulateCustomPolicyOutput, error) {
	results, next, err := simulate(r, &scenario{
		in.PolicyInputList, in.PermissionsBoundaryPolicyInputList, in.ActionNames, in.ResourceArns, in.ResourcePolicy,
		in.ResourceOwner, in.CallerArn, in.ResourceHandlingOption, in.ContextEntries, in.Marker, in.MaxItems,
	}, &Standing{policies: noPolicies, place: &place{}}, nil)
	return &iamapi.SimulateCustomPolicyOutput{EvaluationResults: results, Marker: next, IsTruncated: new(next != nil)}, err
}

func resolveSimulatePrincipalPolicy(r *api.Request, in *iamapi.SimulatePrincipalPolicyInput) (sourceTarget, api.Access, error) {
	return locateSource(r, *in.PolicySourceArn)
}

func (s *Service) simulatePrincipalPolicy(r *api.Request, in *iamapi.SimulatePrincipalPolicyInput, t sourceTarget) (*iamapi.SimulatePrincipalPolicyOutput, error) {
	standing, principal, err := s.standing(r, &t)
	if err != nil {
		return nil, err
	}
	results, next, err := simulate(r, &scenario{
		in.PolicyInputList, in.PermissionsBoundaryPolicyInputList, in.ActionNames, in.ResourceArns, in.ResourcePolicy,
		in.ResourceOwner, in.CallerArn, in.ResourceHandlingOption, in.ContextEntries, in.Marker, in.MaxItems,
	}, standing, principal)
	return &iamapi.SimulatePrincipalPolicyOutput{EvaluationResults: results, Marker: next, IsTruncated: new(next != nil)}, err
}

// simulate decides one page of the scenario: each action on each resource.
func simulate(r *api.Request, sc *scenario, standing *Standing, p *api.Principal) ([]iamapi.EvaluationResult, *string, error) {
	pg, err := newPage(sc.marker, sc.items)
	if err != nil {
		return nil, nil, err
	}
	sim, err := newSimulation(r, sc, standing, p)
	if err != nil {
		return nil, nil, err
	}
	resources := sc.resources
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	each := [][]string{resources} // what is one result
	if sc.handling == nil {
		each = slices.Collect(slices.Chunk(resources, 1))
	}
	at := 0
	if pg.after != "" {
		if at, err = strconv.Atoi(pg.after.Parts()[0]); err != nil || at < 0 {
			return nil, nil, api.ValidationException("Invalid Marker.")
		}
	}
	results := []iamapi.EvaluationResult{}
	for spent := 0; at < len(sc.actions)*len(each); at++ {
		if len(results) == pg.limit || spent > maxPageSteps {
			return results, marker(table.K(strconv.Itoa(at))), nil
		}
		if err := r.Context.Err(); err != nil {
			return nil, nil, err
		}
		on := each[at%len(each)]
		steps := sim.cost(on)
		if steps > maxSteps {
			return nil, nil, tooLongToSimulate()
		}
		spent += steps
		results = append(results, sim.result(sc.actions[at/len(each)], on))
		if sim.exhausted {
			return nil, nil, tooLongToSimulate()
		}
	}
	return results, nil, nil
}

func tooLongToSimulate() error {
	return iamapi.InvalidInputException("The policies, resources and context values are too long to be simulated together.")
}

// newSimulation checks the scenario and makes its simulation.
func newSimulation(r *api.Request, sc *scenario, standing *Standing, p *api.Principal) (*simulation, error) {
	sim := &simulation{known: p != nil}
	if err := sim.givePolicies(sc, standing); err != nil {
		return nil, err
	}
	if p == nil {
		p = &api.Principal{Caller: nobody(r.Partition(), r.Account)}
	}
	if sc.caller != nil {
		var err error
		if p, standing, err = simulatedCaller(r, *sc.caller, standing); err != nil {
			return nil, err
		}
		sim.known = true
	}
	if own := standing.place; own.organization != "" && !own.management && !standing.linked {
		sim.org = true
		for _, s := range own.service {
			sim.controls = append(sim.controls, policy.NewSet(s.Attachments()...))
		}
	}
	sim.facts = facts{r: &api.Request{Principal: *p}, a: &api.Access{}, standing: standing, owner: &place{}}
	sim.owner = p.Account
	if sc.owner != nil {
		a, err := arn.Parse(*sc.owner)
		if err != nil || a.Service != "iam" || !IsAccountID(a.Account) {
			return nil, iamapi.InvalidInputException("Invalid resource owner: " + *sc.owner)
		}
		sim.owner = a.Account
	}
	if err := sc.check(); err != nil {
		return nil, err
	}
	if err := sim.giveResourcePolicy(sc); err != nil {
		return nil, err
	}
	return sim, sim.giveContext(sc.entries)
}

// nobody is who calls when the scenario does not say: nothing names this caller, and it has
// no condition keys.
func nobody(partition, account string) policy.Caller {
	a := arnOf(partition, account, "user", "/", "simulated")
	return policy.Caller{Type: policy.IAMUser, ARN: a, Account: account, Entity: a, ID: a}
}

// check looks at what the decisions are to be about.
func (sc *scenario) check() error {
	for _, action := range sc.actions {
		if service, name, _ := strings.Cut(action, ":"); service == "" || name == "" || strings.Contains(name, ":") || strings.ContainsAny(action, "*? ") {
			return iamapi.InvalidInputException("Invalid Entity Action: " + action)
		}
	}
	for _, text := range sc.resources {
		a, err := arn.Parse(text)
		if text != "*" && (err != nil || a.Account != "" && a.Account != "aws" && !IsAccountID(a.Account)) {
			return iamapi.InvalidInputException("Invalid resource ARN: " + text)
		}
	}
	return sc.checkHandling()
}

// simulatedCaller is the user that the simulation calls as, with the policies of
// another: "the result is that you simulate calling the API operations as Bob, as
// if Bob had David's policies".
func simulatedCaller(r *api.Request, text string, policies *Standing) (*api.Principal, *Standing, error) {
	a, err := arn.Parse(text)
	kind, path, name := splitResource(a.Resource)
	if err != nil || a.Service != "iam" || a.Region != "" || !IsAccountID(a.Account) || kind != "user" || name == "" {
		return nil, nil, iamapi.InvalidInputException("Invalid caller ARN: " + text + " is not an IAM user.")
	}
	p := &api.Principal{Name: name, Caller: policy.Caller{Type: policy.IAMUser, ARN: text, Account: a.Account, Entity: text, ID: text}}
	standing := *policies
	standing.tags = nil
	if a.Account != r.Account { // what other accounts have is not told
		return p, &standing, nil
	}
	u, err := findUser(r.Tx, a.Account, name)
	switch {
	case errors.Is(err, table.ErrNotFound) || err == nil && (u.Path != path || u.Name != name):
		return p, &standing, nil
	case err != nil:
		return nil, nil, err
	}
	p.ID, standing.tags = u.ID, u.Tags
	return p, &standing, nil
}

// givePolicies gives the simulation what the principal has and what the request
// brings. Sets are made anew: a set remembers the actions it is asked about, and those of a
// simulation would crowd out those of calls.
func (sim *simulation) givePolicies(sc *scenario, standing *Standing) error {
	length := 0
	read := func(list []string, name string) (as []policy.Attachment, err error) {
		for i, text := range list {
			if length += len(text); length > maxSimulatedText {
				return nil, iamapi.InvalidInputException(fmt.Sprintf("The policies are longer than %d bytes together.", maxSimulatedText))
			}
			source := name + "." + strconv.Itoa(i+1)
			d, err := parseInput(text, policy.Identity, source)
			if err != nil {
				return nil, err
			}
			as = append(as, policy.Attachment{Document: d, Source: source})
		}
		return as, nil
	}
	more, err := read(sc.policies, "PolicyInputList")
	if err != nil {
		return err
	}
	sim.identity = policy.NewSet(slices.Concat(standing.policies.Attachments(), more)...)
	if len(sc.boundaries) > 1 {
		return iamapi.InvalidInputException("Only one permissions boundary policy can be simulated.")
	}
	bound, err := read(sc.boundaries, "PermissionsBoundaryPolicyInputList")
	switch {
	case err != nil:
		return err
	case len(bound) > 0:
		sim.boundary = policy.NewSet(bound...)
	case standing.boundary != nil:
		sim.boundary = policy.NewSet(standing.boundary.Attachments()...)
	}
	return nil
}

// parseInput reads a policy that a request brings to be looked at.
func parseInput(text string, kind policy.Kind, source string) (*policy.Document, error) {
	d, err := parseDocument(text, kind)
	var fe *fault.Error
	if errors.As(err, &fe) {
		return nil, iamapi.InvalidInputException("Invalid policy " + source + ": " + fe.Message).Because(err)
	}
	return d, err
}

// kindFor is the kind of resource policy that is about an action, and governs whether
// it alone gives access: so it is with keys and roles.
func kindFor(action string) (kind policy.Kind, governs bool) {
	service, name, _ := strings.Cut(fold(action), ":")
	switch {
	case service == "kms":
		return policy.Key, true
	case service == "sts" && (strings.HasPrefix(name, "assumerole") || name == "tagsession" || name == "setsourceidentity"):
		return policy.Trust, true
	}
	return policy.Resource, false
}

// giveResourcePolicy reads the resource policy, as each kind that the actions need.
func (sim *simulation) giveResourcePolicy(sc *scenario) error {
	if sc.resourcePolicy == nil {
		return nil
	}
	if !sim.known {
		return iamapi.InvalidInputException("CallerArn is required when a resource policy is simulated.")
	}
	for _, action := range sc.actions {
		kind, _ := kindFor(action)
		if sim.resource[kind-policy.Resource] != nil {
			continue
		}
		d, err := parseInput(*sc.resourcePolicy, kind, "ResourcePolicy")
		if err != nil {
			return err
		}
		sim.resource[kind-policy.Resource] = policy.NewSet(policy.Attachment{Document: d, Source: "ResourcePolicy"})
	}
	return nil
}

// handlings are the ways to launch an instance, with the types of resources that each needs
// (SimulateCustomPolicy, ResourceHandlingOption).
var handlings = map[string][]string{
	"EC2-Classic-InstanceStore":    {"instance", "image", "security-group"},
	"EC2-Classic-EBS":              {"instance", "image", "security-group", "volume"},
	"EC2-VPC-InstanceStore":        {"instance", "image", "security-group", "network-interface"},
	"EC2-VPC-InstanceStore-Subnet": {"instance", "image", "security-group", "network-interface", "subnet"},
	"EC2-VPC-EBS":                  {"instance", "image", "security-group", "network-interface", "volume"},
	"EC2-VPC-EBS-Subnet":           {"instance", "image", "security-group", "network-interface", "subnet", "volume"},
}

func (sc *scenario) checkHandling() error {
	if sc.handling == nil {
		return nil
	}
	needs, ok := handlings[*sc.handling]
	if !ok {
		return iamapi.InvalidInputException("Invalid resource handling option: " + *sc.handling)
	}
	for _, kind := range needs {
		if !slices.ContainsFunc(sc.resources, func(text string) bool {
			a, err := arn.Parse(text)
			return err == nil && a.Service == "ec2" && strings.HasPrefix(a.Resource, kind+"/")
		}) {
			return iamapi.InvalidInputException(*sc.handling + " needs a resource of type " + kind + ".")
		}
	}
	return nil
}

// families are the types of context values. Those not listed are texts.
var families = map[string]policy.Family{
	"numeric": policy.NumericFamily, "boolean": policy.BoolFamily, "ip": policy.IPFamily, "binary": policy.BinaryFamily, "date": policy.DateFamily,
}

// giveContext reads the condition keys that the request gives.
func (sim *simulation) giveContext(entries []iamapi.ContextEntry) error {
	sim.entries = make(map[string][]string, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.ContextKeyName == nil {
			return iamapi.InvalidInputException("A context entry has no key name.")
		}
		name := *e.ContextKeyName
		kind, list := strings.CutSuffix(api.Value(e.ContextKeyType), "List")
		if !list && e.ContextKeyType != nil && len(e.ContextKeyValues) != 1 {
			return iamapi.InvalidInputException("Context key " + name + " of type " + kind + " needs one value.")
		}
		size := 0
		for _, v := range e.ContextKeyValues {
			if !policy.Comparable(families[kind], v) {
				return iamapi.InvalidInputException("Context key " + name + " has a value that is not of type " + kind + ".")
			}
			size += len(v)
		}
		if _, twice := sim.entries[fold(name)]; twice {
			return iamapi.InvalidInputException("Context key " + name + " is given twice.")
		}
		sim.entries[fold(name)] = e.ContextKeyValues
		sim.longest = max(sim.longest, size)
	}
	sim.weigh()
	return nil
}

// weigh adds up the policies, and notes how they spell condition keys.
func (sim *simulation) weigh() {
	sim.written = map[string]string{}
	for _, s := range slices.Concat([]*policy.Set{sim.identity, sim.boundary}, sim.controls, sim.resource[:]) {
		for _, a := range s.Attachments() {
			sim.steps += len(a.Document.Text)
			for _, key := range a.Document.ContextKeys() {
				if _, ok := sim.written[fold(key)]; !ok {
					sim.written[fold(key)] = key
				}
			}
		}
	}
}

// cost estimates the steps of deciding about resources.
func (sim *simulation) cost(resources []string) (steps int) {
	for _, resource := range resources {
		steps += (sim.steps + 256) * max(sim.longest, len(resource), 32)
	}
	return steps
}

// verdict is one decision of a simulation.
type verdict struct {
	decision string
	matched  []iamapi.Statement // that determine it
	missing  []string
	bounded  *bool             // what the boundary says; nil: there is none
	allowed  *bool             // what the organisation says; nil: there is none
	details  map[string]string // of decisions across accounts, by type of policy
}

const (
	evalAllowed  = "allowed"
	evalExplicit = "explicitDeny"
	evalImplicit = "implicitDeny"
)

// result is the answer on an action: on one resource, or on several that are needed together.
func (sim *simulation) result(action string, resources []string) iamapi.EvaluationResult {
	out := iamapi.EvaluationResult{EvalActionName: &action, EvalResourceName: new("*"), MatchedStatements: []iamapi.Statement{}, MissingContextValues: []string{}}
	if len(resources) == 1 {
		out.EvalResourceName = &resources[0]
	}
	total := ""
	for i := range resources {
		v := sim.decide(action, resources[i])
		if total == "" || v.decision == evalExplicit || v.decision == evalImplicit && total == evalAllowed {
			total = v.decision // all must be allowed
		}
		out.MatchedStatements = append(out.MatchedStatements, v.matched...)
		if v.allowed != nil && (out.OrganizationsDecisionDetail == nil || !*v.allowed) {
			out.OrganizationsDecisionDetail = &iamapi.OrganizationsDecisionDetail{AllowedByOrganizations: v.allowed}
		}
		if v.bounded != nil && (out.PermissionsBoundaryDecisionDetail == nil || !*v.bounded) {
			out.PermissionsBoundaryDecisionDetail = &iamapi.PermissionsBoundaryDecisionDetail{AllowedByPermissionsBoundary: v.bounded}
		}
		if resources[i] == "*" {
			out.MissingContextValues = append(out.MissingContextValues, v.missing...)
			continue
		}
		if out.EvalDecisionDetails = v.details; v.details == nil {
			out.EvalDecisionDetails = map[string]string{}
		}
		specific := iamapi.ResourceSpecificResult{
			EvalResourceName: &resources[i], EvalResourceDecision: &v.decision, MatchedStatements: v.matched, MissingContextValues: v.missing,
			EvalDecisionDetails: out.EvalDecisionDetails,
		}
		if v.bounded != nil {
			specific.PermissionsBoundaryDecisionDetail = &iamapi.PermissionsBoundaryDecisionDetail{AllowedByPermissionsBoundary: v.bounded}
		}
		out.ResourceSpecificResults = append(out.ResourceSpecificResults, specific)
	}
	out.EvalDecision = &total
	return out
}

// decide is the decision that a call would get.
func (sim *simulation) decide(action, resource string) verdict {
	v := verdict{decision: evalImplicit, matched: []iamapi.Statement{}, missing: []string{}}
	req := sim.request(action, resource)
	ctx := req.Context.(*simulatedContext)
	var matched []policy.Matched
	req.Trace = func(m policy.Matched) { matched = append(matched, m) }
	kind, governs := kindFor(action)
	p := policy.Policies{Identity: sim.identity, Boundary: sim.boundary, ServiceControl: sim.controls, Resource: sim.resource[kind-policy.Resource]}
	p.Governs = governs && p.Resource != nil
	d := policy.Evaluate(&req, &p)
	sim.exhausted = sim.exhausted || d.Exhausted
	switch {
	case d.Allowed.Valid():
		v.decision = evalAllowed
	case d.Explicit:
		v.decision = evalExplicit
	}
	said := map[policy.Type]string{} // what each type of policy says by itself
	for _, m := range matched {
		if m.Type == policy.TrustPolicy {
			m.Type = policy.ResourcePolicy
		}
		if m.Effect == policy.Deny {
			said[m.Type] = evalExplicit
		} else if said[m.Type] == "" {
			said[m.Type] = evalAllowed
		}
		if determines(&m, v.decision) {
			v.matched = append(v.matched, shownStatement(&m))
		}
	}
	if sim.boundary != nil {
		v.bounded = new(said[policy.BoundaryPolicy] == evalAllowed)
	}
	if sim.org {
		// Whatever else applies: control policies are asked first.
		req.Trace = nil
		alone := policy.Evaluate(&req, &policy.Policies{Identity: policy.NewSet(fullAccessSet.Attachments()...), ServiceControl: sim.controls})
		sim.exhausted = sim.exhausted || alone.Exhausted
		v.allowed = new(alone.Type != policy.ServiceControlPolicy)
	}
	if req.ResourceAccount != req.Caller.Account {
		v.details = map[string]string{}
		for name, t := range map[string]policy.Type{"IAM Policy": policy.IdentityPolicy, "Resource Policy": policy.ResourcePolicy} {
			if v.details[name] = said[t]; said[t] == "" {
				v.details[name] = evalImplicit
			}
		}
	}
	for _, key := range ctx.missing {
		v.missing = append(v.missing, sim.written[key])
	}
	return v
}

// determines reports whether a statement is one that AWS shows with a decision: of a denial the
// Denies, else what allows.
func determines(m *policy.Matched, decision string) bool {
	switch m.Type {
	case policy.IdentityPolicy, policy.ResourcePolicy:
		return decision == evalAllowed && m.Effect == policy.Allow || decision == evalExplicit && m.Effect == policy.Deny
	case policy.BoundaryPolicy:
		return decision == evalExplicit && m.Effect == policy.Deny
	}
	return false
}

// request is a call of the simulated principal.
func (sim *simulation) request(action, resource string) policy.Request {
	r := policy.Request{Caller: sim.facts.r.Principal.Caller, Action: action, Resource: resource, ResourceAccount: sim.owner}
	if a, err := arn.Parse(resource); err == nil {
		if IsAccountID(a.Account) { // otherwise the owner's, as of a bucket
			r.ResourceAccount = a.Account
		}
		if !sim.known { // then it is of the resource's account
			r.Caller = nobody(a.Partition, r.ResourceAccount)
		}
	}
	r.Context = &simulatedContext{sim: sim, account: r.ResourceAccount}
	return r
}

// simulatedContext answers for condition keys: those that the request gives, and
// those that follow from the principal. What else is asked for is missing.
type simulatedContext struct {
	sim     *simulation
	account string // that owns the resource
	missing []string
}

// Values implements policy.Context.
func (c *simulatedContext) Values(dst []string, key string) ([]string, bool) {
	if vs, ok := c.sim.entries[key]; ok {
		return append(dst, vs...), len(vs) > 0
	}
	if c.sim.known && c.follows(key) {
		if vs, ok := c.sim.facts.Values(dst, key); ok {
			return vs, true
		}
	}
	if key == "aws:resourceaccount" {
		return append(dst, c.account), true
	}
	if !slices.Contains(c.missing, key) {
		c.missing = append(c.missing, key)
	}
	return dst, false
}

// follows reports whether a condition key follows from who the principal is.
func (c *simulatedContext) follows(key string) bool {
	switch key {
	case "aws:principalarn", "aws:principalaccount", "aws:principaltype", "aws:username", "aws:principalorgid", "aws:principalorgpaths":
		return true
	case "aws:userid":
		p := &c.sim.facts.r.Principal
		return p.Type == policy.IAMUser && p.ID != p.ARN
	}
	return strings.HasPrefix(key, "aws:principaltag/")
}

// shownStatement is a statement as simulations show it: by policy and place.
func shownStatement(m *policy.Matched) iamapi.Statement {
	kind := "IAM Policy"
	if m.Type == policy.ResourcePolicy {
		kind = "Resource Policy"
	}
	start := m.Statement.Start
	for start > 0 && strings.IndexByte(" \t\r\n", m.Document.Text[start-1]) >= 0 {
		start-- // a statement begins where what is before it ends
	}
	return iamapi.Statement{
		SourcePolicyId: new(sourceID(m.Source)), SourcePolicyType: &kind,
		StartPosition: position(m.Document.Text, start), EndPosition: position(m.Document.Text, m.Statement.End),
	}
}

// sourceID names a policy as simulations do: managed policies by their name,
// inline ones with their owner, "role_deploy_read-secrets".
func sourceID(source string) string {
	if arn.Is(source) {
		return source[strings.LastIndexByte(source, '/')+1:]
	}
	if kind, rest, ok := strings.Cut(source, "/"); ok {
		return kind + "_" + strings.Replace(rest, ":", "_", 1)
	}
	return source
}

// position is a place in a text; lines and columns count from one.
func position(text string, at int) *iamapi.Position {
	before := text[:at]
	line := strings.LastIndexByte(before, '\n') + 1
	return &iamapi.Position{Line: new(int64(1 + strings.Count(before, "\n"))), Column: new(int64(1 + utf8.RuneCountInString(before[line:])))}
}

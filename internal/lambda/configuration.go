package lambda

import (
	"fmt"
	"strings"
	"unicode"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
)

// What a function has if nobody says, and the quotas ("Lambda quotas").
const (
	usualTimeout = 3   // seconds
	maxTimeout   = 900 // seconds
	usualMemory  = 128 // MiB
	maxMemory    = 10240
	minStorage   = 512 // MiB of /tmp; also the usual
	maxLayers    = 5
)

const (
	textNoImages  = "Coffer does not run container images: send the code as a .zip file in ZipFile."
	textMandatory = "Runtime and Handler are mandatory parameters for functions created with deployment packages."
	textMemory    = "'MemorySize' value failed to satisfy constraint: Member must have value less than or equal to %d"
	textLayers    = "You cannot reference more than 5 layers."
	textRuntime   = "The runtime parameter of %s is not one that Coffer runs. It runs python3.x, nodejs and provided.al2 or later."
	textLogLevels = "Log levels can only be set for the log format JSON."
	textNotHere   = "Coffer does not have %s of functions: leave out %s."
)

func logGroup(name string) string { return "/aws/lambda/" + name }

// settings are what CreateFunction and UpdateFunctionConfiguration say alike about a
// function. nil: it is not said.
type settings struct {
	runtime, handler, role, description, kmsKey *string
	timeout, memory                             *int64
	environment                                 *lambdaapi.Environment
	layers                                      []string
	network                                     *lambdaapi.VpcConfig
	tracing                                     *lambdaapi.TracingConfig
	storage                                     *lambdaapi.EphemeralStorage
	snapStart                                   *lambdaapi.SnapStart
	logging                                     *lambdaapi.LoggingConfig

	// What there is not.
	deadLetters *lambdaapi.DeadLetterConfig
	files       []lambdaapi.FileSystemConfig
	image       *lambdaapi.ImageConfig
	capacity    *lambdaapi.CapacityProviderConfig
	durable     *lambdaapi.DurableConfig
}

func created(in *lambdaapi.CreateFunctionInput) *settings {
	return &settings{
		in.Runtime, in.Handler, in.Role, in.Description, in.KMSKeyArn, in.Timeout, in.MemorySize, in.Environment, in.Layers, in.VpcConfig,
		in.TracingConfig, in.EphemeralStorage, in.SnapStart, in.LoggingConfig,
		in.DeadLetterConfig, in.FileSystemConfigs, in.ImageConfig, in.CapacityProviderConfig, in.DurableConfig,
	}
}

func updated(in *lambdaapi.UpdateFunctionConfigurationInput) *settings {
	return &settings{
		in.Runtime, in.Handler, in.Role, in.Description, in.KMSKeyArn, in.Timeout, in.MemorySize, in.Environment, in.Layers, in.VpcConfig,
		in.TracingConfig, in.EphemeralStorage, in.SnapStart, in.LoggingConfig,
		in.DeadLetterConfig, in.FileSystemConfigs, in.ImageConfig, in.CapacityProviderConfig, in.DurableConfig,
	}
}

// checkCreate checks what only CreateFunction says.
func checkCreate(in *lambdaapi.CreateFunctionInput) error {
	switch {
	case api.Value(in.PackageType) == lambdaapi.PackageTypeImage:
		return lambdaapi.InvalidParameterValueException(textNoImages)
	case api.Value(in.Runtime) == "" || api.Value(in.Handler) == "":
		return lambdaapi.InvalidParameterValueException(textMandatory)
	case api.Value(in.CodeSigningConfigArn) != "":
		return notHere("code signing", "CodeSigningConfigArn")
	case in.TenancyConfig != nil:
		return notHere("tenants", "TenancyConfig")
	case in.PublishTo != nil:
		return notHere("capacity providers", "PublishTo")
	}
	if err := checkTags(in.Tags); err != nil {
		return err
	}
	return created(in).check()
}

func notHere(what, member string) error {
	return lambdaapi.InvalidParameterValueException(fmt.Sprintf(textNotHere, what, member))
}

// check checks everything that can be known without looking anything up.
func (c *settings) check() error {
	switch {
	case c.deadLetters != nil && api.Value(c.deadLetters.TargetArn) != "":
		return notHere("dead-letter queues", "DeadLetterConfig")
	case len(c.files) > 0:
		return notHere("file systems", "FileSystemConfigs")
	case c.image != nil && (len(c.image.Command) > 0 || len(c.image.EntryPoint) > 0 || c.image.WorkingDirectory != nil):
		return lambdaapi.InvalidParameterValueException(textNoImages)
	case c.capacity != nil:
		return notHere("capacity providers", "CapacityProviderConfig")
	case c.durable != nil:
		return notHere("durable executions", "DurableConfig")
	case c.runtime != nil && !runs(*c.runtime):
		return lambdaapi.InvalidParameterValueException(fmt.Sprintf(textRuntime, *c.runtime))
	case c.handler != nil && strings.ContainsFunc(*c.handler, unicode.IsControl):
		// It becomes a variable of the process, and with bubblewrap part of a list that zero
		// bytes separate.
		return noSuchHandler(*c.handler)
	case c.timeout != nil && *c.timeout > maxTimeout:
		return tooMuch("timeout", *c.timeout, maxTimeout)
	case c.memory != nil && *c.memory > maxMemory:
		return lambdaapi.InvalidParameterValueException(fmt.Sprintf(textMemory, maxMemory))
	case len(c.layers) > maxLayers:
		return lambdaapi.InvalidParameterValueException(textLayers)
	case c.logging != nil && api.Value(c.logging.LogFormat) != lambdaapi.LogFormatJson && (c.logging.ApplicationLogLevel != nil || c.logging.SystemLogLevel != nil):
		return lambdaapi.InvalidParameterValueException(textLogLevels)
	}
	return checkVariables(c.environment)
}

func noSuchHandler(s string) error {
	return api.ValidationException(fmt.Sprintf("1 validation error detected: Value %q at 'handler' failed to satisfy constraint: Member must satisfy regular expression pattern: [^\\s]+", s))
}

// runs reports whether functions of a runtime can be run here: which versions of
// Python and Node there are, the machine decides when they are.
func runs(runtime string) bool {
	if minor, ok := strings.CutPrefix(runtime, "python3."); ok {
		return digits(minor)
	}
	if major, ok := strings.CutPrefix(runtime, "nodejs"); ok {
		major, ok = strings.CutSuffix(major, ".x")
		return ok && digits(major)
	}
	return runtime == lambdaapi.RuntimeProvidedAl2 || runtime == lambdaapi.RuntimeProvidedAl2023
}

// digits reports whether s is one or two of them.
func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) == 1 || len(s) == 2
}

// into changes what is said, but for the variables and layers.
func (c *settings) into(v *Version) {
	set(&v.Runtime, c.runtime)
	set(&v.Handler, c.handler)
	set(&v.Role, c.role)
	set(&v.Description, c.description)
	set(&v.KMSKey, c.kmsKey)
	setNumber(&v.Timeout, c.timeout)
	setNumber(&v.Memory, c.memory)
	if c.storage != nil {
		setNumber(&v.Storage, c.storage.Size)
	}
	if c.tracing != nil {
		set(&v.Tracing, c.tracing.Mode)
	}
	if c.snapStart != nil {
		set(&v.SnapStart, c.snapStart.ApplyOn)
	}
	if n := c.network; n != nil {
		v.VPC = nil
		if len(n.SubnetIds)+len(n.SecurityGroupIds) > 0 {
			v.VPC = &Network{Subnets: n.SubnetIds, SecurityGroups: n.SecurityGroupIds, IPv6: api.Value(n.Ipv6AllowedForDualStack)}
		}
	}
	if l := c.logging; l != nil {
		v.Logging = Logging{Format: lambdaapi.LogFormatText, Group: v.Logging.Group}
		set(&v.Logging.Format, l.LogFormat)
		set(&v.Logging.Group, l.LogGroup)
		if v.Logging.Format == lambdaapi.LogFormatJson {
			v.Logging.Application, v.Logging.System = lambdaapi.ApplicationLogLevelInfo, lambdaapi.SystemLogLevelInfo
			set(&v.Logging.Application, l.ApplicationLogLevel)
			set(&v.Logging.System, l.SystemLogLevel)
		}
	}
}

func set(to *string, p *string) {
	if p != nil {
		*to = *p
	}
}

func setNumber(to *int, p *int64) {
	if p != nil {
		*to = int(*p)
	}
}

// usual is a version with what it has if nobody says.
func usual(name string) Version {
	return Version{
		Timeout: usualTimeout, Memory: usualMemory, Storage: minStorage, Architecture: lambdaapi.ArchitectureX8664,
		Tracing: lambdaapi.TracingModePassThrough, SnapStart: lambdaapi.SnapStartApplyOnNone,
		Logging: Logging{Format: lambdaapi.LogFormatText, Group: logGroup(name)},
	}
}

// described is a version as answers show it, by the name that it was asked for.
func (s *Service) described(r *api.Request, ref reference, v *Version) (*lambdaapi.FunctionConfiguration, error) {
	out := &lambdaapi.FunctionConfiguration{
		FunctionName: new(ref.name), FunctionArn: new(ref.arn()), Runtime: api.Optional(v.Runtime), Role: new(v.Role), Handler: new(v.Handler),
		CodeSize: new(v.Code.Size), CodeSha256: v.Code.sha256(), Description: new(v.Description),
		Timeout: new(int64(v.Timeout)), MemorySize: new(int64(v.Memory)), LastModified: new(v.Modified.Time().UTC().Format("2006-01-02T15:04:05.000-0700")),
		Version: new(v.name()), KMSKeyArn: api.Optional(v.KMSKey), TracingConfig: &lambdaapi.TracingConfigResponse{Mode: new(v.Tracing)},
		RevisionId: new(v.Revision), State: new(lambdaapi.StateActive), LastUpdateStatus: new(lambdaapi.LastUpdateStatusSuccessful),
		PackageType: new(lambdaapi.PackageTypeZip), Architectures: []string{v.Architecture},
		EphemeralStorage: &lambdaapi.EphemeralStorage{Size: new(int64(v.Storage))},
		SnapStart:        &lambdaapi.SnapStartResponse{ApplyOn: new(v.SnapStart), OptimizationStatus: new(lambdaapi.SnapStartOptimizationStatusOff)},
		LoggingConfig: &lambdaapi.LoggingConfig{
			LogFormat: new(v.Logging.Format), LogGroup: new(v.Logging.Group),
			ApplicationLogLevel: api.Optional(v.Logging.Application), SystemLogLevel: api.Optional(v.Logging.System),
		},
	}
	if n := v.VPC; n != nil {
		out.VpcConfig = &lambdaapi.VpcConfigResponse{SubnetIds: n.Subnets, SecurityGroupIds: n.SecurityGroups, Ipv6AllowedForDualStack: &n.IPv6, VpcId: new("")}
	}
	for i := range v.Layers {
		out.Layers = append(out.Layers, lambdaapi.Layer{Arn: &v.Layers[i].ARN, CodeSize: &v.Layers[i].Code.Size})
	}
	var err error
	out.Environment, err = shownVariables(r, v, ref.function())
	return out, err
}

package runner

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"coffer/internal/lambda"
)

// places are the directories of a function as it sees them.
type places struct {
	task    string // its code: LAMBDA_TASK_ROOT
	opt     string // its layers; "" without
	runtime string // our clients: LAMBDA_RUNTIME_DIR
	temp    string // it may write here
}

// reserved are the variables that a function's configuration cannot set ("Defined
// runtime environment variables"); CreateFunction refuses them.
var reserved = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV",
	"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION",
	"AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
	"AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

// environment is a function's whole environment, sorted: AWS's variables, those that
// lead SDKs to this server, and its own on top.
func environment(cfg *Config, f *lambda.Executable, c *command, p places, with *birth, address, stream string) []string {
	env := map[string]string{
		"_HANDLER":                        f.Handler,
		"AWS_ACCESS_KEY_ID":               with.credentials.AccessKeyID,
		"AWS_DEFAULT_REGION":              f.Region,
		"AWS_EC2_METADATA_DISABLED":       "true", // there is none: SDKs would wait for it
		"AWS_EXECUTION_ENV":               "AWS_Lambda_" + f.Runtime,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(f.Memory),
		"AWS_LAMBDA_FUNCTION_NAME":        f.Name,
		"AWS_LAMBDA_FUNCTION_VERSION":     f.Version,
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       f.LogGroup,
		"AWS_LAMBDA_LOG_STREAM_NAME":      stream,
		"AWS_LAMBDA_RUNTIME_API":          address,
		"AWS_REGION":                      f.Region,
		"AWS_SECRET_ACCESS_KEY":           string(with.credentials.SecretAccessKey),
		"AWS_SESSION_TOKEN":               string(with.credentials.SessionToken),
		"HOME":                            p.temp, // the user has no entry in passwd, and the SDK for JavaScript looks for one
		"LAMBDA_RUNTIME_DIR":              p.runtime,
		"LAMBDA_TASK_ROOT":                p.task,
		"LANG":                            "en_US.UTF-8",
		"LD_LIBRARY_PATH":                 join(p.runtime, filepath.Join(p.runtime, "lib"), p.task, filepath.Join(p.task, "lib"), p.layer("lib")),
		"PATH":                            join(c.bin, "/usr/local/bin", "/usr/bin", "/bin", p.layer("bin")),
		"TZ":                              ":UTC",
	}
	if p.temp != "/tmp" {
		env["TMPDIR"] = p.temp
	}
	for name, value := range c.env {
		env[name] = value
	}
	if cfg.Endpoint != "" {
		env["AWS_ENDPOINT_URL"] = cfg.Endpoint
		env["SECRETS_MANAGER_ENDPOINT"] = cfg.Endpoint // what AWS's rotation templates read
	}
	if len(cfg.CA) > 0 {
		bundle := filepath.Join(p.runtime, bundleFile)
		env["AWS_CA_BUNDLE"] = bundle
		env["REQUESTS_CA_BUNDLE"] = bundle
		env["NODE_EXTRA_CA_CERTS"] = filepath.Join(p.runtime, caFile)
	}
	for name, value := range with.environment {
		if !slices.Contains(reserved, name) && name != "" && !strings.ContainsAny(name, "=\x00") && !strings.ContainsRune(string(value), 0) {
			env[name] = string(value)
		}
	}
	list := make([]string, 0, len(env))
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

// layer is a directory of the layers, "" without layers.
func (p places) layer(name ...string) string {
	if p.opt == "" {
		return ""
	}
	return filepath.Join(append([]string{p.opt}, name...)...)
}

// join makes a search path of what is not empty.
func join(dirs ...string) string {
	return strings.Join(slices.DeleteFunc(dirs, func(d string) bool { return d == "" }), ":")
}

// Files of the runtime directory.
const (
	caFile     = "ca.pem"     // Config.CA
	bundleFile = "bundle.pem" // the system's authorities too
)

// bundle is ca with the system's authorities: a function also calls others than us.
func bundle(ca []byte) []byte {
	for _, file := range []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian, Alpine
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem", // SUSE
		"/etc/ssl/cert.pem",      // macOS, BSD
	} {
		if system, err := os.ReadFile(file); err == nil {
			return append(append(slices.Clip(ca), '\n'), system...)
		}
	}
	return ca
}

// failure is an error object that Lambda itself makes.
type failure struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

// payloadOf is an error object that names the event.
func (f *failure) payloadOf(event lambda.Event) []byte {
	return (&failure{f.Type, "RequestId: " + event.RequestID + " Error: " + f.Message}).payload()
}

func (f *failure) payload() []byte {
	b, _ := json.Marshal(f) // two strings always marshal
	return b
}

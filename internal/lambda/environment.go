package lambda

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/fault"
)

// maxVariables is how long the variables may be as a JSON object, in bytes. It is also
// the most that KMS encrypts.
const maxVariables = 4096

const (
	defaultKey = "alias/aws/lambda"

	textVariables = "Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit."
	textReserved  = "Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: "
	textSeal      = "Lambda was unable to configure access to your environment variables because the KMS key is invalid or cannot be used. Please check your KMS key settings. KMS Exception: %s KMS Message: %s"
	textOpen      = "Lambda was unable to decrypt your environment variables because the KMS access was denied. Please check your KMS permissions. KMS Exception: %s KMS Message: %s"
	textRunOpen   = "Lambda was unable to decrypt the environment variables because KMS access was denied. Please check the function's KMS key settings. KMS Exception: %s KMS Message: %s"
)

// reservedVariables are set by Lambda itself ("Defined runtime environment variables").
var reservedVariables = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME",
	"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME",
	"AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

func checkVariables(in *lambdaapi.Environment) error {
	if in == nil {
		return nil
	}
	var reserved []string
	for name := range in.Variables {
		if slices.Contains(reservedVariables, name) {
			reserved = append(reserved, name)
		}
	}
	if len(reserved) > 0 {
		slices.Sort(reserved)
		return lambdaapi.InvalidParameterValueException(textReserved + strings.Join(reserved, ", "))
	}
	b, err := marshalVariables(in.Variables)
	clear(b)
	if err == nil && len(b) > maxVariables {
		return lambdaapi.InvalidParameterValueException(textVariables)
	}
	return err
}

// marshalVariables is the variables as a JSON object, ordered by name.
func marshalVariables(in map[string]api.Sensitive) ([]byte, error) {
	plain := make(map[string]string, len(in))
	for name, value := range in {
		plain[name] = string(value)
	}
	return json.Marshal(plain)
}

func sealingContext(functionARN string) map[string]string {
	return map[string]string{"aws:lambda:FunctionArn": functionARN}
}

// seal encrypts variables as the caller, under the key of the version; nil for none.
func (s *Service) seal(r *api.Request, functionARN string, in map[string]api.Sensitive, key string) (*Variables, error) {
	if len(in) == 0 {
		return nil, nil
	}
	b, err := marshalVariables(in)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	if key == "" {
		key = defaultKey
	}
	out, err := api.Call(r, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: &key, Plaintext: b, EncryptionContext: sealingContext(functionARN)})
	if err != nil {
		if f, ok := refusal(err); ok {
			return nil, lambdaapi.InvalidParameterValueException(sealText(f)).Because(err)
		}
		return nil, err
	}
	return &Variables{Sealed: out.CiphertextBlob, Key: api.Value(out.KeyId), Mark: s.mark(functionARN, b)}, nil
}

func sealText(f *fault.Error) string { return fmt.Sprintf(textSeal, f.Code, f.Message) }

// mark tells whether two sets of variables are the same to who has the service's key.
func (s *Service) mark(functionARN string, variables []byte) []byte {
	h := hmac.New(sha256.New, s.markKey)
	h.Write([]byte(functionARN))
	h.Write([]byte{0})
	h.Write(variables)
	return h.Sum(nil)[:16]
}

func (v *Variables) decryptInput(functionARN string) *kmsapi.DecryptInput {
	return &kmsapi.DecryptInput{CiphertextBlob: v.Sealed, KeyId: &v.Key, EncryptionContext: sealingContext(functionARN)}
}

// open decrypts variables as the caller.
func (v *Variables) open(r *api.Request, functionARN string) (map[string]api.Sensitive, error) {
	out, err := api.Call(r, kmsapi.Decrypt, v.decryptInput(functionARN))
	if err != nil {
		return nil, err
	}
	return unmarshalVariables(out.Plaintext)
}

func unmarshalVariables(b []byte) (map[string]api.Sensitive, error) {
	defer clear(b)
	var plain map[string]string
	if err := json.Unmarshal(b, &plain); err != nil {
		return nil, fmt.Errorf("lambda: the stored environment variables are no JSON object of strings") // the cause could quote them
	}
	out := make(map[string]api.Sensitive, len(plain))
	for name, value := range plain {
		out[name] = api.Sensitive(value)
	}
	return out, nil
}

// shownVariables are the variables of a version as the caller may see them.
func shownVariables(r *api.Request, v *Version, functionARN string) (*lambdaapi.EnvironmentResponse, error) {
	if v.Environment == nil {
		return nil, nil
	}
	variables, err := v.Environment.open(r, functionARN)
	if f, ok := refusal(err); ok {
		return &lambdaapi.EnvironmentResponse{Error: &lambdaapi.EnvironmentError{
			ErrorCode: new("AccessDeniedException"), Message: api.Sensitive(fmt.Sprintf(textOpen, f.Code, f.Message)),
		}}, nil
	}
	if err != nil {
		return nil, err
	}
	return &lambdaapi.EnvironmentResponse{Variables: variables}, nil
}

// refusal is an error of another service that is about the request, not a fault of ours.
func refusal(err error) (*fault.Error, bool) {
	f, ok := fault.As(err)
	if !ok {
		return nil, false
	}
	switch f.Kind {
	case fault.Internal, fault.Unavailable, fault.Throttled, fault.Unsupported:
		return nil, false
	}
	return f, true
}

// notOpened puts KMS's refusal of a function's role into Lambda's words.
func notOpened(err error) error {
	f, ok := refusal(err)
	if !ok {
		return err
	}
	text := fmt.Sprintf(textRunOpen, f.Code, f.Message)
	switch f.Code {
	case "NotFoundException":
		return lambdaapi.KMSNotFoundException(text).Because(err)
	case "DisabledException":
		return lambdaapi.KMSDisabledException(text).Because(err)
	case "KMSInvalidStateException":
		return lambdaapi.KMSInvalidStateException(text).Because(err)
	}
	return lambdaapi.KMSAccessDeniedException(text).Because(err)
}

package rotator

import "encoding/json"

// The steps of a rotation, in their order.
const (
	CreateSecret = "createSecret"
	SetSecret    = "setSecret"
	TestSecret   = "testSecret"
	FinishSecret = "finishSecret"
)

// Event is what Secrets Manager invokes a rotation function with, once for each step.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
type Event struct {
	Step               string
	SecretId           string // ARN; other identifiers work as well
	ClientRequestToken string // id of the version that the rotation makes
	RotationToken      string // proves that a caller belongs to the rotation; may be absent
}

// parseEvent reads an event. Unknown members are passed over.
func parseEvent(event []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(event, &e); err != nil {
		return Event{}, ValueErrorf("The event is not that of a rotation: not a JSON object of strings")
	}
	for _, member := range []struct{ name, value string }{
		{"SecretId", e.SecretId}, {"ClientRequestToken", e.ClientRequestToken}, {"Step", e.Step},
	} {
		if member.value == "" {
			return Event{}, KeyErrorf("%s is missing from the event", member.name)
		}
	}
	return e, nil
}

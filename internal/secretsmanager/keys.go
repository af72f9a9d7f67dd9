package secretsmanager

import (
	"slices"
	"strings"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/arn"
)

// requestKeys are the condition keys that stand for members of an operation's
// input, by their names without the prefix (spec §12; "Actions, resources, and
// condition keys for AWS Secrets Manager" in the service authorization
// reference). A key of another operation is not in its request.
var requestKeys = map[*api.Operation][]string{
	smapi.CreateSecret.Operation:             {"name", "description", "kmskeyid", "kmskeyarn", "addreplicaregions", "forceoverwritereplicasecret", "type"},
	smapi.DeleteSecret.Operation:             {"forcedeletewithoutrecovery", "recoverywindowindays"},
	smapi.GetSecretValue.Operation:           {"versionid", "versionstage"},
	smapi.PutResourcePolicy.Operation:        {"blockpublicpolicy"},
	smapi.ReplicateSecretToRegions.Operation: {"addreplicaregions", "forceoverwritereplicasecret"},
	smapi.RotateSecret.Operation:             {"rotationlambdaarn", "modifyrotationrules", "rotateimmediately", "externalsecretrotationrolearn"},
	smapi.UpdateSecret.Operation:             {"description", "kmskeyid", "kmskeyarn", "type"},
	smapi.UpdateSecretVersionStage.Operation: {"versionstage"},
}

// Values implements policy.Context. A key whose member is not in the request is
// absent.
func (t *target) Values(dst []string, key string) ([]string, bool) {
	name, ok := strings.CutPrefix(key, "secretsmanager:")
	if !ok {
		return dst, false
	}
	if name == "secretid" && t.r.Op != smapi.CreateSecret.Operation {
		return append(dst, t.arn), true // whatever form the caller sent
	}
	if !slices.Contains(requestKeys[t.r.Op], name) {
		return dst, false
	}
	switch name {
	case "kmskeyarn":
		return t.keyARN(dst)
	case "modifyrotationrules":
		in, ok := t.r.Input.(*smapi.RotateSecretInput)
		if !ok || in.RotationRules == nil {
			return dst, false
		}
		return append(dst, "true"), true
	case "addreplicaregions":
		return t.regions(dst)
	}
	v, ok := api.MemberText(t.r.Input, name)
	if !ok {
		return dst, false
	}
	return append(dst, v), true
}

// regions are those that the request wants replicas in.
func (t *target) regions(dst []string) ([]string, bool) {
	var regions []smapi.ReplicaRegionType
	switch in := t.r.Input.(type) {
	case *smapi.CreateSecretInput:
		regions = in.AddReplicaRegions
	case *smapi.ReplicateSecretToRegionsInput:
		regions = in.AddReplicaRegions
	}
	for i := range regions {
		dst = append(dst, api.Value(regions[i].Region))
	}
	return dst, len(regions) > 0
}

// keyARN is the key that the request's KmsKeyId stands for, whatever form the
// caller sent. An alias that does not exist stands for none.
func (t *target) keyARN(dst []string) ([]string, bool) {
	var id string
	switch in := t.r.Input.(type) {
	case *smapi.CreateSecretInput:
		id = api.Value(in.KmsKeyId)
	case *smapi.UpdateSecretInput:
		id = api.Value(in.KmsKeyId)
	}
	if id == "" {
		return dst, false
	}
	of := &Secret{Account: t.account, Region: t.r.Region, KMSKeyID: id}
	id = of.keyID()
	a, err := arn.Parse(id)
	if err != nil {
		return append(dst, id), true
	}
	if strings.HasPrefix(a.Resource, "alias/") {
		if id, t.failed = t.r.Directory.KeyARN(t.r.Tx, a.Account, a.Region, a.Resource); id == "" {
			return dst, false
		}
	}
	return append(dst, id), true
}

// Err implements api.Keys.
func (t *target) Err() error { return t.failed }

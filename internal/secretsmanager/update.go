package secretsmanager

import (
	"fmt"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
)

func resolveUpdateSecret(r *api.Request, in *smapi.UpdateSecretInput) (*target, api.Access, error) {
	if err := checkSize(in.SecretString, in.SecretBinary); err != nil {
		return nil, api.Access{}, err
	}
	t, access, err := write(r, in.SecretId)
	if err == nil && in.ClientRequestToken == nil && (in.SecretString != nil || in.SecretBinary != nil) {
		err = smapi.InvalidRequestException(textNoToken)
	}
	return t, access, err
}

func updateSecret(r *api.Request, in *smapi.UpdateSecretInput, t *target) (*smapi.UpdateSecretOutput, error) {
	s, err := t.live()
	if err != nil {
		return nil, err
	}
	val, err := valueOf(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	if api.Value(in.Type) != "" {
		return nil, smapi.InvalidParameterException(textNoTypes)
	}
	changed := false
	if in.Description != nil {
		s.Description, changed = *in.Description, true
	}
	if in.KmsKeyId != nil {
		if err := s.changeKey(r, *in.KmsKeyId); err != nil {
			return nil, err
		}
		changed = true
	}
	out := &smapi.UpdateSecretOutput{ARN: new(s.arn()), Name: new(s.Name)}
	if val.kind != noValue {
		if r.Principal.Account != s.Account && s.KMSKeyID == "" {
			return nil, smapi.InvalidRequestException(textForeignKey)
		}
		v, added, err := addVersion(r, s, *in.ClientRequestToken, val, nil)
		if err != nil {
			return nil, err
		}
		out.VersionId = new(v.ID)
		changed = changed || added
	}
	if !changed {
		return out, nil
	}
	return out, save(r, s)
}

// changeKey puts the secret under another key. The versions that applications
// and rotations use move with it; the others keep their key, as documented for
// UpdateSecret.
func (s *Secret) changeKey(r *api.Request, id string) error {
	s.setKey(id)
	if r.Principal.Account != s.Account && s.KMSKeyID == "" {
		return smapi.InvalidRequestException(textForeignKey)
	}
	shown, err := probeKey(r, s)
	if err != nil {
		return err
	}
	for i := range s.Versions {
		v := &s.Versions[i]
		if v.has(current) || v.has(pending) || v.has(previous) {
			if err := rewrap(r, s, v, shown); err != nil {
				return err
			}
		}
	}
	return nil
}

func resolveUpdateSecretVersionStage(r *api.Request, in *smapi.UpdateSecretVersionStageInput) (*target, api.Access, error) {
	return write(r, in.SecretId)
}

const (
	textMustRemove  = "The parameter RemoveFromVersionId can't be empty. Staging label %s is currently attached to version %s, so you must explicitly reference that version in RemoveFromVersionId."
	textNotAttached = "The parameter RemoveFromVersionId isn't valid. Staging label %s isn't attached to version %s."
	textNoMove      = "You must provide MoveToVersionId, RemoveFromVersionId, or both."
	textKeepCurrent = "You can only move staging label AWSCURRENT to a different secret version. It can\u2019t be completely removed."
	textEmptyTarget = "You can't move staging label AWSCURRENT to version %s because it has no secret value."
)

// updateSecretVersionStage moves one label: the table of spec §5.7, row by row.
func updateSecretVersionStage(r *api.Request, in *smapi.UpdateSecretVersionStageInput, t *target) (*smapi.UpdateSecretVersionStageOutput, error) {
	s, err := t.live()
	if err != nil {
		return nil, err
	}
	label := *in.VersionStage
	for _, id := range []*string{in.MoveToVersionId, in.RemoveFromVersionId} {
		if id == nil {
			continue
		}
		if v, err := s.version(r.Tx, *id); err != nil {
			return nil, err
		} else if v == nil {
			return nil, smapi.ResourceNotFoundException(textNoValueOfID + *id)
		}
	}
	out := &smapi.UpdateSecretVersionStageOutput{ARN: new(s.arn()), Name: new(s.Name)}
	from := s.holder(label)
	switch to, remove := in.MoveToVersionId, in.RemoveFromVersionId; {
	case to == nil && remove == nil:
		return nil, smapi.InvalidParameterException(textNoMove)
	case remove != nil && (from == nil || from.ID != *remove):
		return nil, smapi.InvalidParameterException(fmt.Sprintf(textNotAttached, label, *remove))
	case to == nil && label == current:
		return nil, smapi.InvalidParameterException(textKeepCurrent)
	case to == nil:
		from.detach(label)
		if err := s.overtaken(r, s.currentID()); err != nil {
			return nil, err
		}
		return out, save(r, s)
	case from != nil && from.ID == *to:
		return out, nil
	case from != nil && remove == nil:
		return nil, smapi.InvalidParameterException(fmt.Sprintf(textMustRemove, label, from.ID))
	}
	v, err := revive(r.Tx, s, *in.MoveToVersionId)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, fmt.Errorf("secretsmanager: version %s of %s vanished in its transaction", *in.MoveToVersionId, s.arn())
	}
	before := s.currentID()
	if label != current {
		s.attach(v, label)
	} else if v.Kind == noValue {
		return nil, smapi.InvalidRequestException(fmt.Sprintf(textEmptyTarget, v.ID))
	} else {
		// AWSPENDING stays on v: rotation functions take it off themselves.
		s.moveCurrent(v)
	}
	if s.labels() > maxLabels {
		return nil, smapi.LimitExceededException(textLabels)
	}
	if err := s.overtaken(r, before); err != nil {
		return nil, err
	}
	if s.currentID() != before {
		if err := s.rotated(r.Time); err != nil {
			return nil, err
		}
	}
	return out, save(r, s)
}

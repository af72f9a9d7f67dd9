package secretsmanager

import (
	"crypto/subtle"
	"errors"
	"time"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/table"
)

const textStageMismatch = "You provided a VersionStage that is not associated to the provided VersionId."

func resolveGetSecretValue(r *api.Request, in *smapi.GetSecretValueInput) (*target, api.Access, error) {
	return read(r, in.SecretId)
}

// getSecretValue is the hot path: one cached row, one call of KMS, one opening.
func (s *Service) getSecretValue(r *api.Request, in *smapi.GetSecretValueInput, t *target) (*smapi.GetSecretValueOutput, error) {
	sec, err := t.live()
	if err != nil {
		return nil, err
	}
	v, err := pick(r, sec, in.VersionId, in.VersionStage)
	if err != nil {
		return nil, err
	}
	if r.Principal.Account != sec.Account && v.defaultKey() {
		return nil, smapi.InvalidRequestException(textForeignKey)
	}
	plain, err := load(r, sec, t.arn, v)
	if err != nil {
		return nil, err
	}
	s.noteAccess(r, sec, v)
	// One allocation for the answer and what it points to. Pointers into the
	// shared record are fine: answers are only read.
	a := &struct {
		out     smapi.GetSecretValueOutput
		arn     string
		created time.Time
	}{arn: t.arn, created: v.Created.Time()}
	a.out = smapi.GetSecretValueOutput{
		ARN:           &a.arn,
		Name:          &sec.Name,
		VersionId:     &v.ID,
		VersionStages: v.Stages,
	}
	if v.Created != 0 {
		a.out.CreatedDate = &a.created
	}
	if v.Kind == binaryValue {
		a.out.SecretBinary = plain
	} else {
		a.out.SecretString = plain
	}
	return &a.out, nil
}

// pick finds the version that a read is about (spec §5.3). Rotation functions
// probe with both an id and a stage and count on ResourceNotFoundException
// as long as there is no such version.
func pick(r *api.Request, s *Secret, id, stage *string) (*Version, error) {
	if id == nil {
		label := current
		if stage != nil {
			label = *stage
		}
		v := s.holder(label)
		if v == nil || v.Kind == noValue {
			return nil, smapi.ResourceNotFoundException(textNoValueOfStage + label)
		}
		return v, nil
	}
	v, err := s.version(r.Tx, *id)
	switch {
	case err != nil:
		return nil, err
	case v == nil || v.Kind == noValue:
		return nil, smapi.ResourceNotFoundException(textNoValueOfID + *id)
	case stage != nil && !v.has(*stage):
		return nil, smapi.InvalidRequestException(textStageMismatch)
	}
	return v, nil
}

func resolvePutSecretValue(r *api.Request, in *smapi.PutSecretValueInput) (*target, api.Access, error) {
	if err := checkSize(in.SecretString, in.SecretBinary); err != nil {
		return nil, api.Access{}, err
	}
	t, access, err := write(r, in.SecretId)
	if err == nil && in.ClientRequestToken == nil {
		err = smapi.InvalidRequestException(textNoToken)
	}
	return t, access, err
}

func putSecretValue(r *api.Request, in *smapi.PutSecretValueInput, t *target) (*smapi.PutSecretValueOutput, error) {
	s, err := t.live()
	if err != nil {
		return nil, err
	}
	val, err := valueOf(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	if val.kind == noValue {
		return nil, smapi.InvalidRequestException(textNoValue)
	}
	if r.Principal.Account != s.Account && s.KMSKeyID == "" {
		return nil, smapi.InvalidRequestException(textForeignKey)
	}
	if err := checkRotationToken(r, s, in.RotationToken); err != nil {
		return nil, err
	}
	v, added, err := addVersion(r, s, *in.ClientRequestToken, val, in.VersionStages)
	if err != nil {
		return nil, err
	}
	out := &smapi.PutSecretValueOutput{ARN: new(s.arn()), Name: new(s.Name), VersionId: new(v.ID), VersionStages: v.Stages}
	if added {
		err = save(r, s)
	}
	return out, err
}

// checkRotationToken compares a RotationToken with that of the rotation under way.
// Functions written before there was one do not send it.
func checkRotationToken(r *api.Request, s *Secret, token api.Sensitive) error {
	if token == nil {
		return nil
	}
	u, err := Runs.Get(r.Tx, s.part())
	if errors.Is(err, table.ErrNotFound) {
		return smapi.InvalidRequestException(textBadRotation)
	}
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(token, []byte(u.Token)) != 1 {
		return smapi.InvalidRequestException(textBadRotation)
	}
	return nil
}

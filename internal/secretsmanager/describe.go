package secretsmanager

import (
	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
)

func resolveDescribeSecret(r *api.Request, in *smapi.DescribeSecretInput) (*target, api.Access, error) {
	return read(r, in.SecretId)
}

// describeSecret works on secrets marked for deletion, too (spec §5.2).
func (svc *Service) describeSecret(r *api.Request, _ *smapi.DescribeSecretInput, t *target) (*smapi.DescribeSecretOutput, error) {
	s, err := t.existing()
	if err != nil {
		return nil, err
	}
	rot := s.shownRotation()
	return &smapi.DescribeSecretOutput{
		ARN:                new(s.arn()),
		Name:               new(s.Name),
		Description:        api.Optional(s.Description),
		KmsKeyId:           api.Optional(s.KMSKeyID),
		CreatedDate:        s.Created.Ptr(),
		LastChangedDate:    s.Changed.Ptr(),
		LastAccessedDate:   svc.accessed(s, nil).Ptr(),
		DeletedDate:        s.Deleted.Ptr(),
		Tags:               s.tags(),
		VersionIdsToStages: s.stages(),
		RotationEnabled:    rot.enabled,
		RotationLambdaARN:  rot.function,
		RotationRules:      rot.rules,
		LastRotatedDate:    rot.last,
		NextRotationDate:   rot.next,
	}, nil
}

// entry is the secret as ListSecrets shows it.
func (s *Secret) entry() smapi.SecretListEntry {
	rot := s.shownRotation()
	return smapi.SecretListEntry{
		ARN:                    new(s.arn()),
		Name:                   new(s.Name),
		Description:            api.Optional(s.Description),
		KmsKeyId:               api.Optional(s.KMSKeyID),
		CreatedDate:            s.Created.Ptr(),
		LastChangedDate:        s.Changed.Ptr(),
		LastAccessedDate:       s.Accessed.Ptr(),
		DeletedDate:            s.Deleted.Ptr(),
		Tags:                   s.tags(),
		SecretVersionsToStages: s.stages(),
		RotationEnabled:        rot.enabled,
		RotationLambdaARN:      rot.function,
		RotationRules:          rot.rules,
		LastRotatedDate:        rot.last,
		NextRotationDate:       rot.next,
	}
}

// stages maps version ids to labels; nil, hence absent, without labels.
func (s *Secret) stages() map[string][]string {
	if len(s.Versions) == 0 {
		return nil
	}
	m := make(map[string][]string, len(s.Versions))
	for i := range s.Versions {
		m[s.Versions[i].ID] = s.Versions[i].Stages
	}
	return m
}

// tags is nil, hence absent, for a secret that never had any, and empty after
// the last one was removed: recorded, spec §2.
func (s *Secret) tags() []smapi.Tag {
	if !s.Tagged {
		return nil
	}
	out := make([]smapi.Tag, len(s.Tags))
	for i := range s.Tags {
		out[i] = smapi.Tag{Key: new(s.Tags[i].Key), Value: new(s.Tags[i].Value)}
	}
	return out
}

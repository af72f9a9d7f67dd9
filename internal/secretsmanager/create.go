package secretsmanager

import (
	"crypto/rand"
	"errors"
	"fmt"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/table"
)

const (
	textNoReplicas = "Replicating secrets to other Regions isn't supported here."
	textNoTypes    = "Managed external secrets aren't supported here."
)

// resolveCreateSecret draws the ARN that the secret will have: policies of the
// form secret:prefix-* and secret:name-?????? are about it.
func resolveCreateSecret(r *api.Request, in *smapi.CreateSecretInput) (suffix string, access api.Access, err error) {
	if err := checkSize(in.SecretString, in.SecretBinary); err != nil {
		return "", access, err
	}
	name := api.Value(in.Name)
	if !validName(name, false) {
		return "", access, api.ValidationException(textInvalidName)
	}
	if in.ClientRequestToken == nil && (in.SecretString != nil || in.SecretBinary != nil) {
		return "", access, smapi.InvalidRequestException(textNoToken)
	}
	if err := checkTags(len(in.Tags), textTooManyTags); err != nil {
		return "", access, err
	}
	suffix = randomText(suffixLength)
	t := &target{reference: reference{sent: name, account: r.Account, name: name, suffix: suffix}, r: r}
	t.arn = arnPrefix(r.Partition(), r.Region, r.Account) + name + "-" + suffix
	access = api.Access{Resource: t.arn, Account: r.Account, Named: name, RequestTags: requestTags(in.Tags), Keys: t}
	also := func(op *api.Operation) {
		a := access
		a.Action, a.Also = op.Action(), nil
		access.Also = append(access.Also, a)
	}
	if len(in.Tags) > 0 {
		also(smapi.TagResource.Operation)
	}
	if len(in.AddReplicaRegions) > 0 {
		also(smapi.ReplicateSecretToRegions.Operation)
	}
	return suffix, access, nil
}

func createSecret(r *api.Request, in *smapi.CreateSecretInput, suffix string) (*smapi.CreateSecretOutput, error) {
	val, err := valueOf(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	// Refused rather than ignored: a secret that is thought to be in two
	// regions, or rotated by its partner, and is not, is found out too late.
	if len(in.AddReplicaRegions) > 0 {
		return nil, smapi.InvalidParameterException(textNoReplicas)
	}
	if api.Value(in.Type) != "" {
		return nil, smapi.InvalidParameterException(textNoTypes)
	}
	s := &Secret{
		Account:     r.Account,
		Region:      r.Region,
		Name:        *in.Name,
		Suffix:      suffix,
		UID:         randomText(22), // 130 bits
		Description: api.Value(in.Description),
		Created:     table.At(r.Time),
	}
	s.setKey(api.Value(in.KmsKeyId))
	old, err := Secrets.Get(r.Tx, s.key())
	switch {
	case err == nil:
		return createAgain(r, in, old, val)
	case !errors.Is(err, table.ErrNotFound):
		return nil, err
	}
	if err := s.addTags(in.Tags); err != nil {
		return nil, err
	}
	if s.KMSKeyID != "" {
		if _, err := probeKey(r, s); err != nil {
			return nil, err
		}
	}
	out := &smapi.CreateSecretOutput{ARN: new(s.arn()), Name: &s.Name}
	if val.kind != noValue {
		v, _, err := addVersion(r, s, *in.ClientRequestToken, val, nil)
		if err != nil {
			return nil, err
		}
		out.VersionId = new(v.ID)
	}
	return out, save(r, s)
}

// createAgain answers for a name that is taken. Repeating the call that made
// the secret, or one of its versions, succeeds and changes nothing.
func createAgain(r *api.Request, in *smapi.CreateSecretInput, s *Secret, val plainValue) (*smapi.CreateSecretOutput, error) {
	if s.Deleted != 0 {
		return nil, smapi.InvalidRequestException(textNameScheduled)
	}
	var v *Version
	if in.ClientRequestToken != nil && val.kind != noValue {
		var err error
		if v, err = s.version(r.Tx, *in.ClientRequestToken); err != nil {
			return nil, err
		}
	}
	if v == nil || v.Kind == noValue {
		return nil, smapi.ResourceExistsException(fmt.Sprintf(textNameTaken, s.Name))
	}
	same, err := equalValue(r, s, v, val)
	if err != nil {
		return nil, err
	}
	if !same {
		return nil, smapi.ResourceExistsException(fmt.Sprintf(textTokenTaken, v.ID, s.arn()))
	}
	return &smapi.CreateSecretOutput{ARN: new(s.arn()), Name: new(s.Name), VersionId: new(v.ID)}, nil
}

// setKey takes a key identifier as given. All names of the AWS managed key mean
// the default, which DescribeSecret does not show.
func (s *Secret) setKey(id string) {
	if id == defaultKeyAlias || id == s.kmsARN(defaultKeyAlias) {
		id = ""
	}
	s.KMSKeyID = id
}

// randomText draws n characters of A-Z, a-z and 0-9, without bias.
func randomText(n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	out := make([]byte, 0, n)
	var buf [32]byte
	for len(out) < n {
		rand.Read(buf[:]) // never fails (Go 1.24)
		for _, b := range buf {
			if int(b) < 4*len(alphabet) && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}

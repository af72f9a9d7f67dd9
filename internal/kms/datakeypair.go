package kms

import (
	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/material"
)

// keyPair is a pair for use outside. Whoever is done with it clears private;
// when the request is refused before that, the collector has it.
type keyPair struct {
	private api.Sensitive // PKCS #8
	public  []byte        // SubjectPublicKeyInfo
}

// pairRequest is what the two operations have in common.
type pairRequest struct {
	keyID, spec *string
	context     map[string]string
	dryRun      *bool
}

// preparePair makes pairs that take long to make.
func (s *Service) preparePair(r *api.Request, spec string) error {
	if !material.Slow(spec) {
		return nil
	}
	p, err := s.newPair(r, spec)
	r.Prepared = p
	return err
}

func (s *Service) newPair(r *api.Request, spec string) (*keyPair, error) {
	private, public, err := s.material.GeneratePair(r.Context, spec)
	return &keyPair{private, public}, err
}

func resolvePair(r *api.Request, in *pairRequest) (target, api.Access, error) {
	if !material.Known(*in.spec) {
		return target{}, api.Access{}, kmsapi.UnsupportedOperationException("Key pairs of spec " + *in.spec + " are available in China Regions only.")
	}
	if err := checkContext(in.context, "encryptionContext"); err != nil {
		return target{}, api.Access{}, err
	}
	t, err := locateForUse(r, *in.keyID)
	return t, t.access(""), err
}

func ofPair(in *kmsapi.GenerateDataKeyPairInput) *pairRequest {
	return &pairRequest{in.KeyId, in.KeyPairSpec, in.EncryptionContext, in.DryRun}
}

func ofPairWithoutPlaintext(in *kmsapi.GenerateDataKeyPairWithoutPlaintextInput) *pairRequest {
	return &pairRequest{in.KeyId, in.KeyPairSpec, in.EncryptionContext, in.DryRun}
}

func resolveGenerateDataKeyPair(r *api.Request, in *kmsapi.GenerateDataKeyPairInput) (target, api.Access, error) {
	if err := noEnclaves(in.Recipient); err != nil {
		return target{}, api.Access{}, err
	}
	return resolvePair(r, ofPair(in))
}

func resolveGenerateDataKeyPairWithoutPlaintext(r *api.Request, in *kmsapi.GenerateDataKeyPairWithoutPlaintextInput) (target, api.Access, error) {
	return resolvePair(r, ofPairWithoutPlaintext(in))
}

func (s *Service) generateDataKeyPair(r *api.Request, in *kmsapi.GenerateDataKeyPairInput, t target) (*kmsapi.GenerateDataKeyPairOutput, error) {
	k, p, blob, err := s.pair(r, &t, ofPair(in))
	if err != nil {
		return nil, err
	}
	return &kmsapi.GenerateDataKeyPairOutput{
		KeyId:                    new(k.ARN),
		KeyMaterialId:            new(k.current().ID),
		KeyPairSpec:              in.KeyPairSpec,
		PublicKey:                p.public,
		PrivateKeyPlaintext:      p.private,
		PrivateKeyCiphertextBlob: blob,
	}, nil
}

func (s *Service) generateDataKeyPairWithoutPlaintext(r *api.Request, in *kmsapi.GenerateDataKeyPairWithoutPlaintextInput, t target) (*kmsapi.GenerateDataKeyPairWithoutPlaintextOutput, error) {
	k, p, blob, err := s.pair(r, &t, ofPairWithoutPlaintext(in))
	if err != nil {
		return nil, err
	}
	r.After(func() { clear(p.private) }) // not yet: this may run again
	return &kmsapi.GenerateDataKeyPairWithoutPlaintextOutput{
		KeyId:                    new(k.ARN),
		KeyMaterialId:            new(k.current().ID),
		KeyPairSpec:              in.KeyPairSpec,
		PublicKey:                p.public,
		PrivateKeyCiphertextBlob: blob,
	}, nil
}

// pair returns a pair and its private key encrypted under the key. The longest,
// of RSA_4096, has 2,376 bytes of the 4,096 that a key encrypts.
func (s *Service) pair(r *api.Request, t *target, in *pairRequest) (*Key, *keyPair, []byte, error) {
	u, err := s.forUse(r, t, r.Op.Action(), nil)
	if err != nil {
		return nil, nil, nil, err
	}
	p, prepared := r.Prepared.(*keyPair)
	if !prepared {
		if p, err = s.newPair(r, *in.spec); err != nil {
			return nil, nil, nil, err
		}
	}
	u.allowed = r.Allowed
	blob, err := s.seal(r, u, p.private, in.context, "encryptionContext")
	if err == nil && dryRun(in.dryRun) {
		err = wouldHaveSucceeded()
	}
	if err != nil && !prepared {
		clear(p.private)
	}
	return u.key, p, blob, err
}

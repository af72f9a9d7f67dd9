package kms

import (
	"errors"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/material"
)

func (s *Service) generateMac(r *api.Request, in *kmsapi.GenerateMacInput, t target) (*kmsapi.GenerateMacOutput, error) {
	k, err := t.forAlgorithm(r, kmsapi.KeyUsageTypeGenerateVerifyMac, *in.MacAlgorithm)
	if err != nil {
		return nil, err
	}
	mac, err := s.material.MAC(r.Context, r.Allowed, k.ID, k.current().wrapped(), *in.MacAlgorithm, in.Message)
	if err != nil {
		return nil, err
	}
	if dryRun(in.DryRun) {
		return nil, wouldHaveSucceeded()
	}
	return &kmsapi.GenerateMacOutput{KeyId: new(k.ARN), Mac: mac, MacAlgorithm: in.MacAlgorithm}, nil
}

func (s *Service) verifyMac(r *api.Request, in *kmsapi.VerifyMacInput, t target) (*kmsapi.VerifyMacOutput, error) {
	k, err := t.forAlgorithm(r, kmsapi.KeyUsageTypeGenerateVerifyMac, *in.MacAlgorithm)
	if err != nil {
		return nil, err
	}
	err = s.material.VerifyMAC(r.Context, r.Allowed, k.ID, k.current().wrapped(), *in.MacAlgorithm, in.Message, in.Mac)
	if errors.Is(err, material.ErrInvalidMAC) {
		return nil, kmsapi.KMSInvalidMacException("")
	}
	if err != nil {
		return nil, err
	}
	if dryRun(in.DryRun) {
		return nil, wouldHaveSucceeded()
	}
	return &kmsapi.VerifyMacOutput{KeyId: new(k.ARN), MacValid: new(true), MacAlgorithm: in.MacAlgorithm}, nil
}

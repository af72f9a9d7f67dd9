package sts

import (
	"errors"

	"coffer/internal/api"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/iam"
	"coffer/internal/table"
)

func resolveGetAccessKeyInfo(r *api.Request, _ *stsapi.GetAccessKeyInfoInput) (struct{}, api.Access, error) {
	return struct{}{}, api.Access{Account: r.Account}, nil
}

// getAccessKeyInfo tells the account of a long-term key, of whatever account: AWS
// reads it from the key id, and we look it up. Temporary credentials are stored nowhere, so that
// only the caller's own can be told of.
func getAccessKeyInfo(r *api.Request, in *stsapi.GetAccessKeyInfoInput, _ struct{}) (*stsapi.GetAccessKeyInfoOutput, error) {
	if *in.AccessKeyId == r.Principal.AccessKeyID {
		return &stsapi.GetAccessKeyInfoOutput{Account: &r.Principal.Account}, nil
	}
	k, err := iam.AccessKeys.Get(r.Tx, table.K(*in.AccessKeyId))
	if errors.Is(err, table.ErrNotFound) {
		return nil, api.ValidationException("The access key ID is not one of a long-term access key of this deployment.")
	}
	if err != nil {
		return nil, err
	}
	return &stsapi.GetAccessKeyInfoOutput{Account: &k.Account}, nil
}

func resolveDecodeAuthorizationMessage(r *api.Request, _ *stsapi.DecodeAuthorizationMessageInput) (struct{}, api.Access, error) {
	return struct{}{}, api.Access{Account: r.Account}, nil
}

// decodeAuthorizationMessage: no service here encodes its denials, so that every
// message is one that nobody has issued.
func decodeAuthorizationMessage(*api.Request, *stsapi.DecodeAuthorizationMessageInput, struct{}) (*stsapi.DecodeAuthorizationMessageOutput, error) {
	return nil, stsapi.InvalidAuthorizationMessageException("Message is not valid")
}

package secretsmanager

import (
	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/fault"
)

const (
	maxBatch = 20

	textListOrFilters = "Either 'SecretIdList' or 'Filters' must be provided, but not both."
)

// resolveBatchGetSecretValue authorizes the call as such. Each secret is
// authorized by the gate when its value is asked for.
func resolveBatchGetSecretValue(r *api.Request, in *smapi.BatchGetSecretValueInput) (struct{}, api.Access, error) {
	access := everything(r)
	if len(in.Filters) > 0 {
		list := everything(r)
		list.Action = smapi.ListSecrets.Action()
		access.Also = []api.Access{list}
	}
	return struct{}{}, access, nil
}

func (s *Service) batchGetSecretValue(r *api.Request, in *smapi.BatchGetSecretValueInput, _ struct{}) (*smapi.BatchGetSecretValueOutput, error) {
	ids := in.SecretIdList
	out := &smapi.BatchGetSecretValueOutput{SecretValues: []smapi.SecretValueEntry{}, Errors: []smapi.APIErrorType{}}
	switch {
	case len(ids) > 0 && len(in.Filters) > 0, len(ids) == 0 && len(in.Filters) == 0 && in.MaxResults == nil:
		return nil, smapi.InvalidParameterException(textListOrFilters)
	case len(in.Filters) == 0 && in.MaxResults != nil:
		return nil, smapi.InvalidParameterException("'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided.")
	case len(in.Filters) == 0 && in.NextToken != nil:
		return nil, smapi.InvalidParameterException("'Filters' not specified. 'Filters' must also be specified when 'NextToken' is provided.")
	case len(in.Filters) > 0:
		var err error
		if ids, out.NextToken, err = s.batchPage(r, in); err != nil {
			return nil, err
		}
	}
	for _, id := range ids {
		// Through the gate: it decides on the secret and writes the record of
		// a GetSecretValue, as AWS does for each one of a batch.
		v, err := api.Call(r, smapi.GetSecretValue, &smapi.GetSecretValueInput{SecretId: &id})
		if err != nil {
			f, ok := fault.As(err)
			if !ok || ours(f) {
				return nil, err
			}
			out.Errors = append(out.Errors, smapi.APIErrorType{SecretId: &id, ErrorCode: &f.Code, Message: &f.Message})
			continue
		}
		out.SecretValues = append(out.SecretValues, smapi.SecretValueEntry(*v))
	}
	return out, nil
}

// batchPage finds the secrets of a page by filters, in order of creation.
func (s *Service) batchPage(r *api.Request, in *smapi.BatchGetSecretValueInput) (arns []string, next *string, err error) {
	l := listing{account: r.Account, region: r.Region, by: smapi.SortByTypeCreatedDate, limit: maxBatch, limits: pageLimits}
	if in.MaxResults != nil {
		l.limit = int(*in.MaxResults)
	}
	p := l.purpose("BatchGetSecretValue", in.Filters)
	if l.match, err = compile(in.Filters); err != nil {
		return nil, nil, err
	}
	if l.from, err = s.openToken(p, in.NextToken); err != nil {
		return nil, nil, err
	}
	found, at, err := l.page(r.Context, r.Tx)
	if err != nil {
		return nil, nil, err
	}
	for _, sec := range found {
		arns = append(arns, sec.arn())
	}
	if at != nil {
		next = s.token(p, *at)
	}
	return arns, next, nil
}

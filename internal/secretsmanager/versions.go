package secretsmanager

import (
	"fmt"
	"slices"
	"strings"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/table"
)

func resolveListSecretVersionIds(r *api.Request, in *smapi.ListSecretVersionIdsInput) (*target, api.Access, error) {
	return read(r, in.SecretId)
}

// listSecretVersionIds lists the oldest version first. A secret has too few
// versions for an index to pay off: they are sorted here.
func (s *Service) listSecretVersionIds(r *api.Request, in *smapi.ListSecretVersionIdsInput, t *target) (*smapi.ListSecretVersionIdsOutput, error) {
	sec, err := t.existing()
	if err != nil {
		return nil, err
	}
	p := purpose{"ListSecretVersionIds", sec.Account, sec.Region, sec.UID, fmt.Sprint(api.Value(in.IncludeDeprecated))}
	from, err := s.openToken(p, in.NextToken)
	if err != nil {
		return nil, err
	}
	limit := maxPage
	if in.MaxResults != nil {
		limit = int(*in.MaxResults)
	}
	all := make([]*Version, 0, len(sec.Versions)+sec.Deprecated)
	for i := range sec.Versions {
		all = append(all, &sec.Versions[i])
	}
	if api.Value(in.IncludeDeprecated) && sec.Deprecated > 0 {
		for e, err := range DeprecatedVersions.Scan(r.Tx, table.Range{Prefix: sec.part()}) {
			if err != nil {
				return nil, err
			}
			all = append(all, &e.Value.Version)
		}
	}
	compare := func(v *Version, part, id string) int {
		if c := strings.Compare(v.Created.Part(), part); c != 0 {
			return c
		}
		return strings.Compare(v.ID, id)
	}
	slices.SortFunc(all, func(a, b *Version) int { return compare(a, b.Created.Part(), b.ID) })
	if from != nil {
		all = slices.DeleteFunc(all, func(v *Version) bool { return compare(v, from.part, from.name) <= 0 })
	}
	out := &smapi.ListSecretVersionIdsOutput{ARN: new(sec.arn()), Name: new(sec.Name), Versions: []smapi.SecretVersionsListEntry{}}
	for i, v := range all {
		if i == limit {
			last := all[i-1]
			out.NextToken = s.token(p, position{last.Created.Part(), last.ID})
			break
		}
		out.Versions = append(out.Versions, smapi.SecretVersionsListEntry{
			VersionId:        &v.ID,
			VersionStages:    v.Stages,
			CreatedDate:      v.Created.Ptr(),
			LastAccessedDate: s.accessed(sec, v).Ptr(),
			KmsKeyIds:        v.Keys,
		})
	}
	return out, nil
}

package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"coffer/internal/coffertest/check"
)

// listAll follows the tokens to the end.
func listAll(t testing.TB, sm *secretsmanager.Client, in secretsmanager.ListSecretsInput, between func()) (names []string) {
	t.Helper()
	for pages := 0; ; pages++ {
		out := must(sm.ListSecrets(ctx, &in))(t)
		for _, s := range out.SecretList {
			names = append(names, *s.Name)
		}
		if out.NextToken == nil {
			return names
		}
		if pages > 10_000 {
			t.Fatal("the pages do not end")
		}
		in.NextToken = out.NextToken
		between()
	}
}

// TestPagination: what is there during the whole listing is listed exactly
// once, whatever comes and goes between its pages.
func TestPagination(t *testing.T) {
	eachDriver(t, func(t *testing.T, h *host) {
		sm := h.sm("eu-west-1")
		const stay = 40
		var want []string
		for i := range stay {
			name := fmt.Sprintf("stay-%02d", i)
			want = append(want, name)
			must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name}))(t)
			must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new(fmt.Sprintf("go-%02d", i))}))(t)
		}
		n := 0
		for _, by := range types.SortByType("").Values() {
			for _, order := range types.SortOrderType("").Values() {
				got := listAll(t, sm, secretsmanager.ListSecretsInput{MaxResults: new(int32(7)), SortBy: by, SortOrder: order}, func() {
					// One that was listed or would be, and one anywhere, in front of the page or behind.
					must(sm.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: new(fmt.Sprintf("go-%02d", n%stay)), ForceDeleteWithoutRecovery: new(true)}))(t)
					must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new(fmt.Sprintf("come-%c-%d", 'a'+n%26, n))}))(t)
					n++
				})
				count := make(map[string]int)
				for _, name := range got {
					count[name]++
				}
				for _, name := range want {
					if count[name] != 1 {
						t.Errorf("%s %s: %s was listed %d times", by, order, name, count[name])
					}
				}
				if by == types.SortByTypeName {
					sorted := slices.Sorted(slices.Values(got))
					if order == types.SortOrderTypeDesc {
						slices.Reverse(sorted)
					}
					check.Equal(t, "by name "+string(order), slices.Equal(got, sorted), true)
				}
			}
		}
		call := func(in secretsmanager.ListSecretsInput) error {
			_, err := sm.ListSecrets(ctx, &in)
			return err
		}
		first := must(sm.ListSecrets(ctx, &secretsmanager.ListSecretsInput{MaxResults: new(int32(1))}))(t)
		refuses(t, []rule{
			{"a page of 100", call(secretsmanager.ListSecretsInput{MaxResults: new(int32(100))}), "", ""},
			{"a page of 101", call(secretsmanager.ListSecretsInput{MaxResults: new(int32(101))}), "ValidationException",
				"1 validation error detected: Value '101' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 100"},
			{"a page of 0", call(secretsmanager.ListSecretsInput{MaxResults: new(int32(0))}), "ValidationException",
				"1 validation error detected: Value '0' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal to 1"},
			{"a made-up token", call(secretsmanager.ListSecretsInput{NextToken: new("AAAA")}), "InvalidNextTokenException", "*"},
			{"another question's token", call(secretsmanager.ListSecretsInput{NextToken: first.NextToken, SortBy: types.SortByTypeName}), "InvalidNextTokenException", "*"},
			{"another sort key", call(secretsmanager.ListSecretsInput{SortBy: "colour"}), "ValidationException", "1 validation error detected: Value 'colour' at 'sortBy' failed to satisfy constraint: Member must satisfy enum value set: *"},
		})
	})
}

// TestPaginationUnderWriters: the same with writers at work all the time.
func TestPaginationUnderWriters(t *testing.T) {
	h := start(t)
	sm := h.sm("eu-west-1")
	for i := range 30 {
		must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new(fmt.Sprintf("stay-%02d", i))}))(t)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("%c-%d-%d", 'a'+i%26, w, i)
				if _, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name}); err != nil {
					t.Error(err)
					return
				}
				if _, err := sm.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &name, ForceDeleteWithoutRecovery: new(true)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 10 {
		n := 0
		for _, name := range listAll(t, sm, secretsmanager.ListSecretsInput{MaxResults: new(int32(5))}, func() {}) {
			if strings.HasPrefix(name, "stay-") {
				n++
			}
		}
		check.Equal(t, "secrets that stayed", n, 30)
	}
	close(stop)
	wg.Wait()
}

// TestFilters: spec §5.9.
func TestFilters(t *testing.T) {
	eachDriver(t, func(t *testing.T, h *host) {
		sm := h.sm("eu-west-1")
		for _, s := range []struct{ name, description, key, value string }{
			{"prod/AppBeta", "Main database of billing", "env", "prod"},
			{"prod/other", "", "env", "production"},
			{"test/AppBeta", "main queue", "Env", "test"},
			{"/slash", "", "", ""},
		} {
			in := &secretsmanager.CreateSecretInput{Name: &s.name, Description: &s.description}
			if s.key != "" {
				in.Tags = []types.Tag{{Key: &s.key, Value: &s.value}}
			}
			must(sm.CreateSecret(ctx, in))(t)
		}
		f := func(kv ...string) (fs []types.Filter) {
			for i := 0; i < len(kv); i += 2 {
				fs = append(fs, types.Filter{Key: types.FilterNameStringType(kv[i]), Values: strings.Split(kv[i+1], "|")})
			}
			return fs
		}
		for _, tc := range []struct {
			filters []types.Filter
			want    string
		}{
			{nil, "/slash prod/AppBeta prod/other test/AppBeta"},
			{f("name", "prod/"), "prod/AppBeta prod/other"},
			{f("name", "Prod/"), ""},
			{f("name", "prod/o|test"), "prod/other test/AppBeta"},
			{f("name", "!/"), "prod/AppBeta prod/other test/AppBeta"},
			{f("name", "prod/", "name", "prod/A"), "prod/AppBeta"},
			{f("description", "main"), "prod/AppBeta test/AppBeta"},
			{f("description", "MAIN data"), "prod/AppBeta"},
			{f("description", "atabase"), ""},
			{f("tag-key", "env"), "prod/AppBeta prod/other"},
			{f("tag-value", "prod"), "prod/AppBeta prod/other"},
			{f("tag-key", "env", "tag-value", "!production"), "prod/AppBeta"},
			{f("all", "beta"), "prod/AppBeta test/AppBeta"},
			{f("all", "queue"), "test/AppBeta"},
			{f("name", "nothing"), ""},
		} {
			got := listAll(t, sm, secretsmanager.ListSecretsInput{Filters: tc.filters, MaxResults: new(int32(1)), SortBy: types.SortByTypeName}, func() {})
			if strings.Join(got, " ") != tc.want {
				t.Errorf("%v: got %q, want %q", tc.filters, strings.Join(got, " "), tc.want)
			}
		}
	})
}

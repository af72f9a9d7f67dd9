package page_test

import (
	"strings"
	"testing"

	"coffer/internal/api"
	"coffer/internal/page"
	"coffer/internal/table"
)

func request(operation, account, region string) *api.Request {
	return &api.Request{Op: &api.Operation{Name: operation}, Account: account, Region: region}
}

func TestMarkers(t *testing.T) {
	r := request("ListKeys", "111122223333", "us-east-1")
	first, ok := page.New(r, 10, nil, "a", "b")
	if !ok || first.After != "" || first.Limit != 10 {
		t.Fatalf("the first page: %+v, %v", first, ok)
	}
	marker := *first.Next("some/place")
	if p, ok := page.New(r, 10, &marker, "a", "b"); !ok || p.After != "some/place" {
		t.Fatalf("the next page: %+v, %v", p, ok)
	}
	for name, c := range map[string]struct {
		r        *api.Request
		marker   string
		narrowed []string
	}{
		"another operation":      {request("ListAliases", "111122223333", "us-east-1"), marker, []string{"a", "b"}},
		"another account":        {request("ListKeys", "444455556666", "us-east-1"), marker, []string{"a", "b"}},
		"another region":         {request("ListKeys", "111122223333", "eu-west-1"), marker, []string{"a", "b"}},
		"another filter":         {r, marker, []string{"a", "c"}},
		"filters run together":   {r, marker, []string{"ab", ""}},
		"fewer filters":          {r, marker, []string{"a"}},
		"another place":          {r, page.Seal(r, []string{"a", "b"}, "some/place")[:12] + "AAAAAAAAAAAA", []string{"a", "b"}},
		"cut short":              {r, marker[:len(marker)-3], []string{"a", "b"}},
		"no place":               {r, page.Seal(r, []string{"a", "b"}, ""), []string{"a", "b"}},
		"empty":                  {r, "", []string{"a", "b"}},
		"a line end":             {r, marker[:4] + "\n" + marker[4:], []string{"a", "b"}},
		"another alphabet":       {r, strings.Repeat("+", 24), []string{"a", "b"}},
		"of a version to come":   {r, "Ag" + marker[2:], []string{"a", "b"}},
		"bits that mean nothing": {r, marker[:len(marker)-1] + string(marker[len(marker)-1]+1), []string{"a", "b"}},
	} {
		if p, ok := page.New(c.r, 10, &c.marker, c.narrowed...); ok {
			t.Errorf("%s: taken, as %q", name, p.After)
		}
	}
}

func TestRows(t *testing.T) {
	r := request("ListKeys", "111122223333", "us-east-1")
	p, _ := page.New(r, 10, nil)
	if rows := p.Rows(table.K("a")); rows.Prefix != table.K("a") || rows.After != "" {
		t.Errorf("rows of the first page: %+v", rows)
	}
	p, _ = page.New(r, 10, p.Next("b"))
	if rows := p.Rows(table.K("a")); rows.After != table.K("a")+table.K("b") {
		t.Errorf("rows behind b: %+v", rows)
	}
}

// FuzzOpen: no marker makes a panic, and what is taken is what was sealed.
func FuzzOpen(f *testing.F) {
	r := request("ListKeys", "111122223333", "us-east-1")
	f.Add(page.Seal(r, nil, "place"))
	f.Add("")
	f.Fuzz(func(t *testing.T, marker string) {
		if position, ok := page.Open(r, nil, marker); ok && page.Seal(r, nil, position) != marker {
			t.Errorf("%q is taken as %q, which is sealed otherwise", marker, position)
		}
	})
}

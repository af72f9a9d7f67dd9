package httpapikey

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"strings"

	"coffer/internal/rotator"
)

// config is a version of the secret.
type config struct {
	job                  *rotator.Job
	secret               *rotator.Secret
	key, id              string
	plain                bool // http: is as good as https:
	create, test, revoke *request
}

// request is a request as the secret has it, with {placeholders}.
type request struct {
	method, url, origin string
	headers, form       map[string]string
	body                json.RawMessage
	key, id             string // JSON pointers into the answer
}

// read reads a version of the job's secret. What it complains of is told by key, never
// by value.
func read(ctx context.Context, j *rotator.Job, label string) (*config, bool, error) {
	value, ok, err := j.Value(ctx, label)
	if err != nil || !ok {
		return nil, false, err
	}
	s, err := rotator.ParseSecret(j.SecretId, string(value))
	if err != nil {
		return nil, false, err
	}
	c := &config{job: j, secret: s}
	if c.key, err = s.Required("apiKey"); err != nil {
		return nil, false, err
	}
	if c.id, _, err = s.Text("apiKeyId"); err != nil {
		return nil, false, err
	}
	for _, k := range s.Keys() {
		if text, ok, err := s.Text(k); ok && err == nil && k != "apiKeyId" {
			j.Conceal(rotator.Password(text)) // any of them may be another credential
		}
	}
	c.plain = string(s.Raw("ssl")) == "false"
	for name, into := range map[string]**request{"create": &c.create, "test": &c.test, "revoke": &c.revoke} {
		if *into, err = c.request(name); err != nil {
			return nil, false, err
		}
	}
	if c.create == nil {
		return nil, false, rotator.KeyErrorf("create key is missing from secret JSON")
	}
	if c.create.key == "" {
		return nil, false, rotator.KeyErrorf("create.apiKey key is missing from secret JSON")
	}
	return c, true, nil
}

// request reads one request; nil if there is none of that name.
func (c *config) request(name string) (*request, error) {
	raw := c.secret.Raw(name)
	if raw == nil || string(raw) == "null" {
		return nil, nil
	}
	var in struct {
		Method   string            `json:"method"`
		URL      string            `json:"url"`
		Headers  map[string]string `json:"headers"`
		Form     map[string]string `json:"form"`
		Body     json.RawMessage   `json:"body"`
		APIKey   string            `json:"apiKey"`
		APIKeyID string            `json:"apiKeyId"`
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields() // a misspelt "headers" would send requests without
	if d.Decode(&in) != nil {
		return nil, rotator.ValueErrorf("%s must be an object of method, url, headers, body or form, apiKey and apiKeyId in secret JSON", name)
	}
	r := &request{method: in.Method, url: in.URL, headers: in.Headers, form: in.Form, body: in.Body, key: in.APIKey, id: in.APIKeyID}
	if r.body != nil && r.form != nil {
		return nil, rotator.ValueErrorf("%s must not have both body and form in secret JSON", name)
	}
	if r.method == "" {
		r.method = map[string]string{"create": "POST", "test": "GET", "revoke": "DELETE"}[name]
	}
	for _, pointer := range []string{r.key, r.id} {
		if pointer != "" && !strings.HasPrefix(pointer, "/") {
			return nil, rotator.ValueErrorf("%s: apiKey and apiKeyId must be JSON pointers such as /data/key in secret JSON", name)
		}
	}
	var err error
	r.origin, err = c.origin(name, r.url)
	return r, err
}

// origin is the fixed part of a URL: where it goes. A host cannot be a placeholder.
func (c *config) origin(name, template string) (string, error) {
	scheme, rest, ok := strings.Cut(template, "://")
	switch {
	case template == "":
		return "", rotator.KeyErrorf("%s.url key is missing from secret JSON", name)
	case !ok || scheme != "https" && scheme != "http":
		return "", rotator.ValueErrorf("%s.url must begin with https:// in secret JSON", name)
	case scheme == "http" && !c.plain:
		return "", rotator.ValueErrorf(`%s.url must begin with https:// in secret JSON, unless it says "ssl": false`, name)
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	u, err := url.Parse(scheme + "://" + rest)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.ContainsAny(rest, `{}@\`) {
		return "", rotator.ValueErrorf("%s.url must name a host, without user and placeholders, in secret JSON", name)
	}
	return strings.ToLower(scheme + "://" + u.Host), nil
}

// reaches tells whether the version sends its own key to an origin.
func (c *config) reaches(origin string) bool {
	for _, r := range []*request{c.create, c.test, c.revoke} {
		if r != nil && r.origin == origin {
			return true
		}
	}
	return false
}

// values is what placeholders stand for: every string of the secret, and versionId, the id
// of the version that the rotation makes: the same whenever a step is repeated, so it
// serves as an idempotency key.
func (c *config) values() map[string]string {
	values := map[string]string{"versionId": c.job.ClientRequestToken}
	for _, k := range c.secret.Keys() {
		if text, ok, err := c.secret.Text(k); ok && err == nil {
			values[k] = text
		}
	}
	return values
}

package lambda

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/envelope"
	"coffer/internal/table"
)

// location is what the URL of a package stands for. AWS answers a presigned URL of S3, "valid
// for 10 minutes" (GetFunction); here all of it is in the URL, sealed. Whoever has that has the
// package, as there.
//
//	 0        1            17         29
//	+--------+------------+----------+------------------+
//	| 1      | run id (16)| nonce(12)| ciphertext, tag  |   base64, URL alphabet, no padding
//	+--------+------------+----------+------------------+
//
// sealed as package envelope describes under locationLabel; the plaintext is JSON.
type location struct {
	Account  string `json:"a"` // of the package
	Region   string `json:"r"`
	Digest   string `json:"d"`
	Size     int64  `json:"s"`
	Resource string `json:"n"` // ARN of the version of the function or layer
	Request  string `json:"q"` // that it was answered to
	Endpoint string `json:"e"` // that came through
	Expires  int64  `json:"t"` // seconds since 1970
}

const (
	locationVersion = 1
	locationLabel   = "coffer/lambda/v1/code location"
	locationLife    = 10 * time.Minute
	locationRuns    = 4
	maxLocation     = 4 << 10 // characters of a token

	textNoLocation = "The link is not valid, or its time is over: ask for another one."
)

func locationKeys(key envelope.Key) *envelope.RunKeys {
	keys, err := envelope.NewRunKeys(key, locationLabel, locationRuns)
	if err != nil {
		return nil // there is no key
	}
	return keys
}

// location is where the caller gets code from, that of a version of a function or layer; nil if
// it is not known under which address the caller sees this server.
func (s *Service) location(r *api.Request, code *Code, resource string) (*string, error) {
	if s.locations == nil || r.Host == "" {
		return nil, nil
	}
	l := location{
		Account: code.Account, Region: r.Region, Digest: code.Digest, Size: code.Size,
		Resource: resource, Request: r.ID, Endpoint: endpointID(r), Expires: r.Time.Add(locationLife).Unix(),
	}
	plain, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	sealed, err := s.locations.Seal(nil, []byte{locationVersion}, plain, nil)
	if err != nil {
		return nil, fmt.Errorf("lambda: location: %w", err)
	}
	scheme := "http://"
	if r.Secure {
		scheme = "https://"
	}
	return new(scheme + r.Host + api.DownloadPath + base64.RawURLEncoding.EncodeToString(sealed)), nil
}

func endpointID(r *api.Request) string {
	if r.Endpoint == nil {
		return ""
	}
	return r.Endpoint.ID
}

// Download is api.Downloads: the package that the token of a location stands for.
func (s *Service) Download(r *api.Request, token string) (*api.Download, error) {
	l, err := s.openLocation(token)
	if err != nil {
		return nil, err
	}
	if r.Time.Unix() >= l.Expires || endpointID(r) != l.Endpoint {
		return nil, noLocation(nil)
	}
	code := Code{Account: l.Account, Digest: l.Digest, Size: l.Size}
	err = r.Read(func(tx *table.Tx) error {
		p, err := Packages.Get(tx, code.key(l.Region))
		if errors.Is(err, table.ErrNotFound) || err == nil && (!p.Whole || p.Size != l.Size) {
			return lambdaapi.ResourceNotFoundException(textNoResource)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	p, err := code.packaged(l.Region, r.Read, func() error { return nil })
	if err != nil {
		return nil, err
	}
	return &api.Download{Service: lambdaapi.Service, Account: l.Account, Region: l.Region, Resource: l.Resource, Request: l.Request, Size: p.Size, Open: p.Open}, nil
}

func (s *Service) openLocation(token string) (*location, error) {
	if s.locations == nil || len(token) > maxLocation {
		return nil, noLocation(nil)
	}
	blob, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(blob) == 0 || blob[0] != locationVersion {
		return nil, noLocation(err)
	}
	plain, err := s.locations.Open(nil, blob, 1, nil)
	if errors.Is(err, envelope.ErrCorrupt) {
		return nil, noLocation(err)
	}
	if err != nil {
		return nil, fmt.Errorf("lambda: location: %w", err)
	}
	l := new(location)
	if err := json.Unmarshal(plain, l); err != nil {
		return nil, fmt.Errorf("lambda: location: %w", err) // only Seal makes them
	}
	return l, nil
}

func noLocation(why error) error {
	return api.AccessDeniedException(textNoLocation).Because(why)
}

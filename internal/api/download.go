package api

import (
	"context"
	"io"
)

// DownloadPath is where the URLs are that answers give away to get something large from.
// What follows in the path is a token.
const DownloadPath = "/coffer/download/"

// Download is what such a token stands for. Who has the token may have it: nobody is asked.
type Download struct {
	Service  *Service
	Account  string // whose trail its record belongs to
	Region   string
	Resource string // ARN
	Request  string // id of the request whose answer had the token
	Size     int64  // bytes
	Open     func(context.Context) (io.ReadCloser, error)
}

// Downloads opens a token, for a request that is nobody's. Whatever is not a token, is
// no longer one, or was given away at another endpoint is a fault.Denied.
type Downloads func(r *Request, token string) (*Download, error)

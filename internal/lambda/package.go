package lambda

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/fault"
	"coffer/internal/table"
)

// Stored is a deployment package: once for all functions and layers of an account and
// region that have it. Its bytes are in Chunks.
//
// It is stored before the transaction that refers to it, in transactions of its own:
//
//	begin     the row, not whole; Touched is now
//	each      one chunk, while the row is there
//	finish    the row, whole; Touched is now
//	refer     Uses is one more
//
// What nobody refers to is removed some time after it was last touched, row and
// chunks in one transaction: whoever has begun has that time, and if it is not enough
// finds the row gone and fails. So there are never chunks without a row.
type Stored struct {
	Account string       `cbor:"1,keyasint"`
	Region  string       `cbor:"2,keyasint"`
	Digest  string       `cbor:"3,keyasint"` // SHA-256 in hexadecimal
	Size    int64        `cbor:"4,keyasint"` // bytes
	Whole   bool         `cbor:"5,keyasint,omitempty"`
	Uses    int          `cbor:"6,keyasint,omitempty"` // by versions of functions and layers
	Touched table.Millis `cbor:"7,keyasint"`
}

// Chunk is a part of a package.
type Chunk struct {
	Account string `cbor:"1,keyasint"`
	Region  string `cbor:"2,keyasint"`
	Digest  string `cbor:"3,keyasint"`
	Number  int    `cbor:"4,keyasint"` // from 0
	Bytes   []byte `cbor:"5,keyasint"`
}

const unused = "lambda.package.unused"

// The collections of packages.
var (
	Packages = table.Collection[Stored]{
		Name: "lambda.package",
		Key:  func(p *Stored) table.Key { return table.K(p.Account, p.Region, p.Digest) },
		Indexes: []table.Index[Stored]{{Name: unused, Keys: func(p *Stored) []table.Key {
			if p.Uses > 0 {
				return nil
			}
			return []table.Key{table.K(p.Touched.Part(), p.Account, p.Region, p.Digest)}
		}}},
	}
	Chunks = table.Collection[Chunk]{
		Name:    "lambda.chunk",
		NoCache: true,
		Key: func(c *Chunk) table.Key {
			return table.K(c.Account, c.Region, c.Digest, chunkPart(c.Number))
		},
	}
)

const (
	// maxPackage is the largest package, in bytes ("Lambda quotas": 50 MB, zipped, for
	// direct upload), and maxUpload the request that it comes in, as AWS has it.
	maxPackage = 50 << 20
	maxUpload  = 69905067

	// chunkSize leaves room in a row for its keys and the seal.
	chunkSize = 960 << 10

	// grace is how long a package is kept that nobody refers to. An upload takes
	// minutes at most; a function that was deleted may still be running.
	grace = time.Hour

	textTooBig  = "Request must be smaller than %d bytes for the %s operation"
	textStorage = "Code storage limit exceeded."
)

func chunkPart(n int) string { return fmt.Sprintf("%04x", n) }

// chunks is how many the package has.
func (p *Stored) chunks() int { return int((p.Size + chunkSize - 1) / chunkSize) }

func (c *Code) key(region string) table.Key { return table.K(c.Account, region, c.Digest) }

// sha256 is the digest as answers show it.
func (c *Code) sha256() *string {
	b, err := hex.DecodeString(c.Digest)
	if err != nil {
		return new("") // a built-in function has none
	}
	return new(base64.StdEncoding.EncodeToString(b))
}

// upload is the code that a request brings.
type upload struct {
	zip                []byte
	bucket, key, image *string
}

// source checks where the code is to come from.
func (u *upload) source() error {
	other := u.bucket != nil || u.key != nil || u.image != nil
	switch {
	case u.zip != nil && other:
		return lambdaapi.InvalidParameterValueException("Please do not provide other FunctionCode parameters when providing a ZipFile.")
	case u.zip != nil:
		return nil
	case u.image != nil:
		return lambdaapi.InvalidParameterValueException(textNoImages)
	case other:
		return lambdaapi.InvalidParameterValueException("Coffer has no S3 to take code from: send the deployment package in ZipFile, which takes up to 50 MB.")
	}
	return lambdaapi.InvalidParameterValueException("Please provide a source for function code.")
}

// stage checks a package and stores it, for the transaction that will refer to it.
// It reads the clock as the request does, once: so the grace time begins with the request.
func (s *Service) stage(r *api.Request, account string, u upload) error {
	if err := u.source(); err != nil {
		return err
	}
	unpacked, err := checkArchive(u.zip)
	if err != nil {
		return err
	}
	if len(u.zip) > maxPackage {
		return tooLarge(r.Op)
	}
	sum := sha256.Sum256(u.zip)
	code := &Code{Account: account, Digest: hex.EncodeToString(sum[:]), Size: int64(len(u.zip)), Unpacked: unpacked}
	if err := s.store(r, code, u.zip); err != nil {
		return err
	}
	r.Prepared = code
	return nil
}

// staged is what stage has stored.
func staged(r *api.Request) (*Code, error) {
	code, ok := r.Prepared.(*Code)
	if !ok {
		return nil, fmt.Errorf("lambda: %s without its first step", r.Op.Name)
	}
	return code, nil
}

func (s *Service) store(r *api.Request, code *Code, b []byte) error {
	whole, err := s.begin(r, code)
	if err != nil || whole {
		return err
	}
	for n := 0; n*chunkSize < len(b); n++ {
		c := &Chunk{Account: code.Account, Region: r.Region, Digest: code.Digest, Number: n, Bytes: b[n*chunkSize : min((n+1)*chunkSize, len(b))]}
		err := r.Write(func(tx *table.Tx) error {
			if _, err := Packages.Get(tx, code.key(r.Region)); err != nil {
				return gone(err)
			}
			return Chunks.Put(tx, c)
		})
		if err != nil {
			return err
		}
	}
	return r.Write(func(tx *table.Tx) error {
		p, err := Packages.Load(tx, code.key(r.Region))
		if err != nil {
			return gone(err)
		}
		p.Whole, p.Touched = true, max(p.Touched, table.At(r.Time))
		return Packages.Put(tx, p)
	})
}

// begin makes the row of a package, if there is none, and reports whether all of it is
// there already.
func (s *Service) begin(r *api.Request, code *Code) (whole bool, err error) {
	err = r.Write(func(tx *table.Tx) error {
		whole = false
		p, err := Packages.Load(tx, code.key(r.Region))
		switch {
		case err == nil:
			whole = p.Whole
			p.Touched = max(p.Touched, table.At(r.Time))
			return Packages.Put(tx, p)
		case !errors.Is(err, table.ErrNotFound):
			return err
		}
		a, err := account(tx, code.Account, r.Region)
		if err != nil {
			return err
		}
		if a.Held += code.Size; a.Held > s.maxCode {
			return lambdaapi.CodeStorageExceededException(textStorage)
		}
		if err := Accounts.Put(tx, a); err != nil {
			return err
		}
		return Packages.Insert(tx, &Stored{Account: code.Account, Region: r.Region, Digest: code.Digest, Size: code.Size, Touched: table.At(r.Time)})
	})
	return whole, err
}

// gone is the error about a package that took longer to store than it may rest unused.
func gone(err error) error {
	if errors.Is(err, table.ErrNotFound) {
		return lambdaapi.ServiceException("The deployment package took too long to store. Please try again.").Because(err)
	}
	return err
}

// account is what an account has, to be changed.
func account(tx *table.Tx, id, region string) (*Account, error) {
	a, err := Accounts.Load(tx, table.K(id, region))
	if errors.Is(err, table.ErrNotFound) {
		return &Account{Account: id, Region: region}, nil
	}
	return a, err
}

// refer adds a use of a package.
func refer(r *api.Request, code Code) error {
	p, err := Packages.Load(r.Tx, code.key(r.Region))
	if err != nil {
		return gone(err)
	}
	if !p.Whole {
		return gone(table.ErrNotFound)
	}
	p.Uses++
	return Packages.Put(r.Tx, p)
}

// release takes a use of a package away.
func release(r *api.Request, code Code) error {
	p, err := Packages.Load(r.Tx, code.key(r.Region))
	if err != nil {
		return fmt.Errorf("lambda: package %s of %s: %w", code.Digest, code.Account, err)
	}
	p.Uses--
	p.Touched = max(p.Touched, table.At(r.Time))
	return Packages.Put(r.Tx, p)
}

// take has the version's packages used once more, and counts its code. The account is
// the caller's to put.
func (s *Service) take(r *api.Request, a *Account, v *Version) error {
	for _, code := range v.uses() {
		if err := refer(r, code); err != nil {
			return err
		}
	}
	return s.count(a, v.Code.Size)
}

// drop is the opposite of take.
func drop(r *api.Request, a *Account, v *Version) error {
	a.Code -= v.Code.Size
	for _, code := range v.uses() {
		if err := release(r, code); err != nil {
			return err
		}
	}
	return nil
}

// count adds code to what the account has, as AWS counts it: each version's, though
// two may have the same.
func (s *Service) count(a *Account, size int64) error {
	if a.Code += size; a.Code > s.maxCode && size > 0 {
		return lambdaapi.CodeStorageExceededException(textStorage)
	}
	return nil
}

// cleanPackages removes packages that nobody has referred to for some time.
func (s *Service) cleanPackages(r *api.Request) (more bool, err error) {
	before := table.At(r.Time.Add(-grace)).Part()
	for e, err := range Packages.ScanIndex(r.Tx, unused, table.Range{}) {
		if err != nil {
			return false, err
		}
		if e.Key.Parts()[0] >= before {
			break
		}
		return true, removePackage(r, e.Record)
	}
	return false, nil
}

// removePackage removes a package whole: its chunks are at most 55.
func removePackage(r *api.Request, key table.Key) error {
	p, err := Packages.Load(r.Tx, key)
	if err != nil {
		return fmt.Errorf("index %s: %w", unused, err)
	}
	a, err := account(r.Tx, p.Account, p.Region)
	if err != nil {
		return err
	}
	a.Held -= p.Size
	if err := Accounts.Put(r.Tx, a); err != nil {
		return err
	}
	for n := range p.chunks() {
		if err := Chunks.Delete(r.Tx, table.K(p.Account, p.Region, p.Digest, chunkPart(n))); err != nil {
			return err
		}
	}
	return Packages.Delete(r.Tx, key)
}

// packaged is the package for the runner, good while open says so.
func (c *Code) packaged(region string, view func(func(*table.Tx) error) error, open func() error) (*Package, error) {
	p := &Package{Size: c.Size}
	if n, err := hex.Decode(p.Digest[:], []byte(c.Digest)); err != nil || n != len(p.Digest) {
		return nil, fmt.Errorf("lambda: %q is no digest", c.Digest)
	}
	code := *c
	p.Open = func(ctx context.Context) (io.ReadCloser, error) {
		if err := open(); err != nil {
			return nil, err
		}
		return &unpacker{ctx: ctx, code: code, region: region, view: view, open: open}, nil
	}
	return p, nil
}

// unpacker reads a package chunk by chunk.
type unpacker struct {
	ctx    context.Context
	code   Code
	region string
	view   func(func(*table.Tx) error) error
	open   func() error
	next   int
	left   []byte
}

// Read implements io.Reader.
func (u *unpacker) Read(b []byte) (int, error) {
	if len(u.left) == 0 {
		if int64(u.next)*chunkSize >= u.code.Size {
			return 0, io.EOF
		}
		if err := errors.Join(u.ctx.Err(), u.open()); err != nil {
			return 0, err
		}
		err := u.view(func(tx *table.Tx) error {
			c, err := Chunks.Load(tx, table.K(u.code.Account, u.region, u.code.Digest, chunkPart(u.next)))
			if err == nil {
				u.left = c.Bytes
			}
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("lambda: package %s: %w", u.code.Digest, err)
		}
		u.next++
	}
	n := copy(b, u.left)
	u.left = u.left[n:]
	return n, nil
}

// Close implements io.Closer.
func (u *unpacker) Close() error {
	u.left = nil
	return nil
}

// tooLarge has the code of AWS's front, which is not in the model.
func tooLarge(op *api.Operation) *fault.Error {
	e := api.RequestEntityTooLargeException()
	e.Message = fmt.Sprintf(textTooBig, maxUpload, op.Name)
	return e
}

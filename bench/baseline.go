package main

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"coffer/internal/sigv4"
)

const (
	// kindBare reads the body and answers: what net/http alone costs.
	kindBare = "bare"
	// kindCeiling also verifies the signature, opens two ciphertexts and
	// buffers an audit line: what no honest Secrets Manager can do without.
	kindCeiling = "ceiling"
)

// baselineConfig is what such a server is told on its first line.
type baselineConfig struct {
	TLS         bool
	Credentials credentials
	Answer      []byte // the body of every answer
	AuditLine   int    // bytes of an audit line
	Value       int    // bytes of a secret value
	Dir         string // for the audit file
}

// baselineReady is its answer.
type baselineReady struct {
	Addr string
	Cert []byte // PEM; empty without TLS
}

func serveBaseline(kind string, in *bufio.Reader, out io.Writer) error {
	var cfg baselineConfig
	if err := readLine(in, &cfg); err != nil {
		return err
	}
	b := &baseline{answer: cfg.Answer, length: []string{strconv.Itoa(len(cfg.Answer))}}
	if kind == kindCeiling {
		w, err := newWork(cfg)
		if err != nil {
			return err
		}
		b.work = w
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ready := baselineReady{Addr: l.Addr().String()}
	if cfg.TLS {
		cert, err := newCertificate()
		if err != nil {
			return err
		}
		ready.Cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
		l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}})
	}
	if err := json.NewEncoder(out).Encode(ready); err != nil {
		return err
	}
	// The limits of Coffer's own server: they cost a little on each request.
	srv := &http.Server{Handler: b, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 5 * time.Minute}
	go func() {
		io.Copy(io.Discard, in)
		srv.Close()
	}()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type baseline struct {
	answer []byte
	length []string
	work   *work // nil: none
}

var (
	answerType = []string{jsonType}
	answerID   = []string{"01234567-89ab-4def-8123-456789abcdef"}
	bodies     = sync.Pool{New: func() any { return new([64 << 10]byte) }}
)

func (b *baseline) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	buf := bodies.Get().(*[64 << 10]byte)
	defer bodies.Put(buf)
	n, err := io.ReadFull(r.Body, buf[:])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if b.work != nil {
		if err := b.work.do(r, buf[:n]); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
	}
	h := w.Header()
	h["Content-Type"], h["X-Amzn-Requestid"], h["Content-Length"] = answerType, answerID, b.length
	w.WriteHeader(http.StatusOK)
	w.Write(b.answer) // a client that went away is not our error
}

// work is what the honest ceiling does for each request.
type work struct {
	verifier *sigv4.Verifier
	key      sigv4.Key
	keyID    string
	root     cipher.AEAD // opens data keys; long-lived, as KMS key material is
	dataKey  []byte      // sealed, with its nonce in front
	value    []byte      // sealed under the data key, with its nonce in front
	line     []byte

	mu    sync.Mutex
	audit *bufio.Writer
}

func newWork(cfg baselineConfig) (*work, error) {
	w := &work{
		verifier: sigv4.New(sigv4.Config{}),
		key:      sigv4.Key{SecretAccessKey: sigv4.Secret(cfg.Credentials.SecretAccessKey)},
		keyID:    cfg.Credentials.AccessKeyID,
		line:     make([]byte, cfg.AuditLine),
	}
	rootKey, dataKey := make([]byte, 32), make([]byte, 32)
	rand.Read(rootKey)
	rand.Read(dataKey)
	var err error
	if w.root, err = newGCM(rootKey); err != nil {
		return nil, err
	}
	inner, err := newGCM(dataKey)
	if err != nil {
		return nil, err
	}
	w.dataKey = sealed(w.root, dataKey)
	w.value = sealed(inner, make([]byte, cfg.Value))
	for i := range w.line {
		w.line[i] = '.'
	}
	w.line[len(w.line)-1] = '\n'
	f, err := os.Create(filepath.Join(cfg.Dir, "audit"))
	if err != nil {
		return nil, err
	}
	w.audit = bufio.NewWriterSize(f, 64<<10)
	return w, nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func sealed(a cipher.AEAD, plain []byte) []byte {
	nonce := make([]byte, a.NonceSize())
	rand.Read(nonce)
	return a.Seal(nonce, nonce, plain, nil)
}

func opened(a cipher.AEAD, blob []byte) ([]byte, error) {
	n := a.NonceSize()
	return a.Open(nil, blob[:n], blob[n:], nil)
}

func (w *work) do(r *http.Request, body []byte) error {
	claim, err := sigv4.Parse(r)
	if err != nil {
		return err
	}
	if claim.AccessKeyID != w.keyID {
		return errors.New("unknown access key")
	}
	if err := w.verifier.Verify(r, body, &claim, &w.key, time.Now(), "secretsmanager", nil); err != nil {
		return err
	}
	key, err := opened(w.root, w.dataKey)
	if err != nil {
		return err
	}
	inner, err := newGCM(key)
	if err != nil {
		return err
	}
	if _, err := opened(inner, w.value); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err = w.audit.Write(w.line)
	return err
}

// newCertificate makes a self-signed certificate of the kind Coffer makes.
func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

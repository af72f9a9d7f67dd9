package server

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	caLife     = 10 * 365 * 24 * time.Hour
	certLife   = 397 * 24 * time.Hour // what browsers and Apple's platforms accept at most
	renewFirst = 30 * 24 * time.Hour  // renew our own certificate this long before its end
	certCheck  = 10 * time.Second     // look for changed files at most this often
)

// tlsConfig allows TLS 1.2 and 1.3 with forward secrecy and AEAD only. TLS 1.3
// has nothing else; the list is for 1.2.
func tlsConfig(get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: get,
	}
}

// certificate serves a certificate from files and takes up changed ones
// without a restart. A change that cannot be read is logged and the old one stays.
type certificate struct {
	certFile, keyFile string
	renew             func() error // our own: makes a new one before the old one ends
	warn              func(msg string, args ...any)

	mu      sync.Mutex
	cert    *tls.Certificate
	checked time.Time
	stamp   [2]time.Time
}

// load reads the files now.
func (c *certificate) load() error {
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.cert = &cert
	c.stamp = c.stamps()
	return nil
}

func (c *certificate) stamps() (s [2]time.Time) {
	for i, f := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(f); err == nil {
			s[i] = info.ModTime()
		}
	}
	return s
}

// get is tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) > certCheck {
		c.checked = now
		if c.renew != nil && time.Until(c.cert.Leaf.NotAfter) < renewFirst {
			if err := c.renew(); err != nil {
				c.warn("the server certificate cannot be renewed", "file", c.certFile, "ends", c.cert.Leaf.NotAfter, "error", err)
			}
		}
		if c.stamps() != c.stamp {
			if err := c.load(); err != nil {
				c.warn("a changed certificate cannot be used; the old one stays", "error", err)
			}
		}
	}
	return c.cert, nil
}

// ownCertificate makes the CA and the server certificate in dir where they are
// missing, about to end, or do not name all hosts.
func ownCertificate(d Dir, hosts []string) (*certificate, error) {
	if err := os.MkdirAll(d.TLS(), 0o700); err != nil {
		return nil, err
	}
	c := &certificate{certFile: d.path("tls", "server.pem"), keyFile: d.path("tls", "server.key")}
	c.renew = func() error { return issue(d, hosts) }
	err := c.load()
	if err != nil || time.Until(c.cert.Leaf.NotAfter) < renewFirst || !names(c.cert.Leaf, hosts) {
		if err := issue(d, hosts); err != nil {
			return nil, fmt.Errorf("server certificate in %s: %w", d.TLS(), err)
		}
		if err := c.load(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func names(cert *x509.Certificate, hosts []string) bool {
	return !slices.ContainsFunc(hosts, func(h string) bool { return cert.VerifyHostname(h) != nil })
}

// issue signs a new server certificate, with a new CA if there is none.
func issue(d Dir, hosts []string) error {
	ca, caKey, err := authority(d)
	if err != nil {
		return err
	}
	der, key, err := newServerCertificate(ca, caKey, hosts, certLife)
	if err != nil {
		return err
	}
	return writePair(d.path("tls", "server.pem"), d.path("tls", "server.key"), der, key)
}

func newServerCertificate(ca *x509.Certificate, caKey crypto.Signer, hosts []string, life time.Duration) ([]byte, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	cert := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: "Coffer server"},
		NotBefore:    now.Add(-5 * time.Minute), // clients' clocks are not all right
		NotAfter:     now.Add(life),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			cert.IPAddresses = append(cert.IPAddresses, ip)
		} else {
			cert.DNSNames = append(cert.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, ca, key.Public(), caKey)
	return der, key, err
}

// authority reads the CA, or makes it on first start.
func authority(d Dir) (*x509.Certificate, crypto.Signer, error) {
	keyFile := d.path("tls", "ca.key")
	if pair, err := tls.LoadX509KeyPair(d.CA(), keyFile); err == nil && time.Until(pair.Leaf.NotAfter) > certLife {
		return pair.Leaf, pair.PrivateKey.(crypto.Signer), nil
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("CA %s: %w", d.CA(), err)
	}
	ca, key, err := newAuthority("Coffer CA " + time.Now().UTC().Format("2006-01-02"))
	if err != nil {
		return nil, nil, err
	}
	return ca, key, writePair(d.CA(), keyFile, ca.Raw, key)
}

func newAuthority(name string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-5 * time.Minute),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	ca, err = x509.ParseCertificate(der)
	return ca, key, err
}

func writePair(certFile, keyFile string, der []byte, key *ecdsa.PrivateKey) error {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	defer clear(pkcs8)
	// The key first: a certificate without its key is what load reports and
	// issue mends; a key without certificate likewise.
	if err := writeFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})); err != nil {
		return err
	}
	return writeFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// memoryCertificate is a certificate for one host that is in no file, and its CA in PEM: for
// clients that this process starts itself. Both are good for as long as it may run.
func memoryCertificate(host string) (*tls.Certificate, []byte, error) {
	ca, caKey, err := newAuthority("Coffer functions")
	if err != nil {
		return nil, nil, err
	}
	der, key, err := newServerCertificate(ca, caKey, []string{host}, caLife)
	if err != nil {
		return nil, nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}), nil
}

func serial() *big.Int {
	n, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // never fails
	return n.Add(n, big.NewInt(1))
}

// serverHosts are the names our own certificate is for.
func serverHosts(listen ...string) []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	add := func(h string) {
		if h != "" && !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	if h, err := os.Hostname(); err == nil {
		add(h)
	}
	for _, addr := range listen {
		if h, _, err := net.SplitHostPort(addr); err == nil && !unspecified(h) {
			add(h)
		}
	}
	return hosts
}

func unspecified(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsUnspecified()
}

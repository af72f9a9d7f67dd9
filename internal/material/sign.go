package material

import (
	"context"
	"crypto"
	_ "crypto/sha256" // for crypto.SHA256
	_ "crypto/sha512" // for crypto.SHA384 and SHA512

	"coffer/internal/policy"
)

// The values of KMS's MessageType.
const (
	messageRaw        = "RAW"
	messageDigest     = "DIGEST"
	messageExternalMu = "EXTERNAL_MU"
)

// digest returns what of a message is signed.
func digest(h crypto.Hash, messageType string, message []byte) ([]byte, error) {
	switch messageType {
	case messageRaw:
		d := h.New()
		d.Write(message)
		return d.Sum(nil), nil
	case messageDigest:
		if len(message) != h.Size() {
			return nil, ErrDigestSize
		}
		return message, nil
	}
	return nil, ErrMessageType
}

// Sign signs message under w, which is of a key with a signing spec: else
// ErrKind. algorithm and messageType are those of KMS Sign: ErrAlgorithm and
// ErrMessageType if they do not fit the key, ErrDigestSize if a message that is
// not raw is not of the length the algorithm wants. Signatures are in KMS's
// formats: DER for ECDSA, raw for others. allowed must be for kms:Sign on this
// key's ARN: else ErrNotAllowed.
func (s *Store) Sign(ctx context.Context, allowed policy.Allowed, keyID string, w Wrapped, algorithm, messageType string, message []byte) (signature []byte, err error) {
	if !allows(allowed, keyID, signActions[:]) {
		return nil, ErrNotAllowed
	}
	err = s.use(ctx, keyID, w, func(e *entry) error {
		k, ok := e.secret.(signer)
		if !ok {
			return ErrKind
		}
		signature, err = k.sign(algorithm, messageType, message)
		return err
	})
	return signature, err
}

// Verify checks a signature: ErrInvalidSignature if it is not what Sign would
// make of message. Other errors as for Sign; ErrUnverifiable for a message type
// whose signatures can only be checked elsewhere. allowed must be for kms:Verify.
func (s *Store) Verify(ctx context.Context, allowed policy.Allowed, keyID string, w Wrapped, algorithm, messageType string, message, signature []byte) error {
	if !allows(allowed, keyID, verifyActions[:]) {
		return ErrNotAllowed
	}
	return s.use(ctx, keyID, w, func(e *entry) error {
		k, ok := e.secret.(signer)
		if !ok {
			return ErrKind
		}
		return k.verify(algorithm, messageType, message, signature)
	})
}

package resume

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"
)

// Key is the secret of a session: 128 random bits.
type Key [16]byte

// NewKey returns a random key.
func NewKey() (k Key) {
	_, _ = rand.Read(k[:]) // never fails
	return k
}

// String hides the key, so that it does not get into a log.
func (Key) String() string { return "[hidden]" }

// Token is what a client comes back with, once. It is bound to one session, and so to its user, and
// to the gate that had it when the token was made.
type Token struct {
	Key     Key
	Turn    uint32 // which of the session's connections it was issued for, from 1
	Session int64
	Gate    string // its name
	Epoch   uint64 // and its run
}

// Signer makes tokens, and reads those that were made with the same secret. Gates that share a
// secret believe each other's tokens. Its methods may be called from any goroutine.
type Signer struct{ secrets atomic.Pointer[[][]byte] } // the newest first: it signs

// maxSecrets is how many secrets a signer remembers.
const maxSecrets = 4

// NewSecret returns a random secret for signers.
func NewSecret() []byte {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	return secret
}

// NewSigner returns a signer. Without a secret it makes one of its own: nobody else can read its
// tokens.
func NewSigner(secret []byte) *Signer {
	if len(secret) == 0 {
		secret = NewSecret()
	}
	s := new(Signer)
	s.secrets.Store(&[][]byte{slices.Clone(secret)})
	return s
}

// Trust has the signer use a secret from now on. Tokens that were made with one before are still
// read.
func (s *Signer) Trust(secret []byte) {
	for {
		old := s.secrets.Load()
		if len(secret) == 0 || hmac.Equal((*old)[0], secret) {
			return
		}
		all := [][]byte{slices.Clone(secret)}
		for _, b := range *old {
			if !hmac.Equal(b, secret) && len(all) < maxSecrets {
				all = append(all, b)
			}
		}
		if s.secrets.CompareAndSwap(old, &all) {
			return
		}
	}
}

// ErrToken is the error of a text that is no token, or one that was made with another secret. It
// does not contain the text.
var ErrToken = errors.New("resume: not a token of this cluster")

const (
	tokenVersion = 1
	macSize      = 16
	maxToken     = 512 // bytes of a text that is looked at
)

// Text returns the token as a client gets it: letters, digits, - and _.
func (s *Signer) Text(t Token) string {
	b := make([]byte, macSize, macSize+1+len(t.Key)+4+8+binary.MaxVarintLen64+len(t.Gate))
	b = append(b, tokenVersion)
	b = append(b, t.Key[:]...)
	b = binary.BigEndian.AppendUint32(b, t.Turn)
	b = binary.BigEndian.AppendUint64(b, t.Epoch)
	b = binary.AppendVarint(b, t.Session)
	b = append(b, t.Gate...)
	copy(b, mac((*s.secrets.Load())[0], b[macSize:]))
	return base64.RawURLEncoding.EncodeToString(b)
}

// Parse reads the text of a token. It returns ErrToken for everything that no signer with this
// secret has made.
func (s *Signer) Parse(text string) (t Token, err error) {
	if len(text) > maxToken {
		return t, ErrToken
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < macSize+1+len(t.Key)+4+8 || !s.made(b) {
		return t, ErrToken
	}
	b = b[macSize:]
	if b[0] != tokenVersion {
		return t, ErrToken
	}
	b = b[1+copy(t.Key[:], b[1:]):]
	t.Turn, b = binary.BigEndian.Uint32(b), b[4:]
	t.Epoch, b = binary.BigEndian.Uint64(b), b[8:]
	id, n := binary.Varint(b)
	if n <= 0 {
		return t, ErrToken
	}
	t.Session, t.Gate = id, string(b[n:])
	return t, nil
}

// made reports whether one of the secrets has signed a token.
func (s *Signer) made(b []byte) bool {
	for _, secret := range *s.secrets.Load() {
		if hmac.Equal(b[:macSize], mac(secret, b[macSize:])) {
			return true
		}
	}
	return false
}

func mac(secret, b []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write(b)
	return h.Sum(nil)[:macSize]
}

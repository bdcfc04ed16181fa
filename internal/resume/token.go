package resume

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
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
// to the gate that has it.
type Token struct {
	Key     Key
	Turn    uint32 // which of the session's connections it was issued for, from 1
	Session int64
	Gate    string // its name
}

// Signer makes tokens, and reads those that were made with the same secret. Gates that share a
// secret believe each other's tokens. Its methods may be called from any goroutine.
type Signer struct{ secret []byte }

// NewSigner returns a signer. Without a secret it makes one of its own: nobody else can read its
// tokens.
func NewSigner(secret []byte) *Signer {
	if len(secret) == 0 {
		secret = make([]byte, 32)
		_, _ = rand.Read(secret) // never fails
	}
	return &Signer{secret: append([]byte(nil), secret...)}
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
	b := make([]byte, macSize, macSize+1+len(t.Key)+4+binary.MaxVarintLen64+len(t.Gate))
	b = append(b, tokenVersion)
	b = append(b, t.Key[:]...)
	b = binary.BigEndian.AppendUint32(b, t.Turn)
	b = binary.AppendVarint(b, t.Session)
	b = append(b, t.Gate...)
	copy(b, s.mac(b[macSize:]))
	return base64.RawURLEncoding.EncodeToString(b)
}

// Parse reads the text of a token. It returns ErrToken for everything that no signer with this
// secret has made.
func (s *Signer) Parse(text string) (t Token, err error) {
	if len(text) > maxToken {
		return t, ErrToken
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < macSize+1+len(t.Key)+4 || !hmac.Equal(b[:macSize], s.mac(b[macSize:])) {
		return t, ErrToken
	}
	b = b[macSize:]
	if b[0] != tokenVersion {
		return t, ErrToken
	}
	b = b[1+copy(t.Key[:], b[1:]):]
	t.Turn, b = binary.BigEndian.Uint32(b), b[4:]
	id, n := binary.Varint(b)
	if n <= 0 {
		return t, ErrToken
	}
	t.Session, t.Gate = id, string(b[n:])
	return t, nil
}

func (s *Signer) mac(b []byte) []byte {
	h := hmac.New(sha256.New, s.secret)
	h.Write(b)
	return h.Sum(nil)[:macSize]
}

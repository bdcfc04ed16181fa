package mesh

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"testing"

	"github.com/lonng/nano/internal/resume"
)

// Gates with one cluster token believe each other's sessions, and no others. The way from the token
// to the secret is not one hash: a client could try every word of a dictionary with its own token.
func TestSecretOfAClusterToken(t *testing.T) {
	secret := func(token string) []byte {
		b, err := secretOfToken(token)
		if err != nil || len(b) < 32 {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		return b
	}
	one, other := secret("correct horse"), secret("correct house")
	text := resume.NewSigner(one).Text(resume.Token{Session: 7})
	if _, err := resume.NewSigner(secret("correct horse")).Parse(text); err != nil {
		t.Errorf("a gate with the same cluster token: %v", err)
	}
	if _, err := resume.NewSigner(other).Parse(text); err == nil {
		t.Error("a gate with another cluster token believes it")
	}
	fast := hmac.New(sha256.New, []byte("correct horse"))
	fast.Write([]byte(secretSalt))
	if bytes.Equal(one, fast.Sum(nil)) || secretRounds < 100_000 {
		t.Error("the secret is made too fast")
	}
}

package accounts

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
)

// methods are the signatures that an operator's token may have: none with a shared secret, and none
// without a signature.
var methods = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Operator checks the tokens of an operator's own system. Its methods may be called from any
// goroutine.
type Operator struct {
	source string // a file, or an address
	parser *jwt.Parser
	client *http.Client

	mu   sync.Mutex
	keys []jose.JSONWebKey
	read time.Time // when they were read, or could not be
}

// Times of keys that are had from an address: they are read again when they are old, and sooner for
// a key that is unknown.
const (
	keysAge   = time.Hour
	keysPause = 10 * time.Second
	maxKeys   = 1 << 20 // bytes
)

// NewOperator returns a checker of tokens by the keys at source: a file with PEM public keys or a
// JWKS, or the https address of a JWKS. issuer and audience are checked unless they are empty.
func NewOperator(ctx context.Context, source, issuer, audience string) (*Operator, error) {
	options := []jwt.ParserOption{jwt.WithValidMethods(methods), jwt.WithExpirationRequired(), jwt.WithLeeway(10 * time.Second)}
	if issuer != "" {
		options = append(options, jwt.WithIssuer(issuer))
	}
	if audience != "" {
		options = append(options, jwt.WithAudience(audience))
	}
	o := &Operator{source: source, parser: jwt.NewParser(options...), client: &http.Client{Timeout: 5 * time.Second}}
	keys, err := o.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("accounts: read the operator's keys from %s: %w", source, err)
	}
	o.keys, o.read = keys, time.Now()
	return o, nil
}

// operatorClaims are what the messenger reads of an operator's token.
type operatorClaims struct {
	jwt.RegisteredClaims
	Name              string `json:"name"`
	PreferredUsername string `json:"preferred_username"`
}

// User returns the user of a token, its subject and its name where it has one, and when the token
// expires.
func (o *Operator) User(ctx context.Context, token string) (u store.User, expires time.Time, err error) {
	var c operatorClaims
	if _, err := o.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) { return o.key(ctx, t) }); err != nil {
		return store.User{}, time.Time{}, err
	}
	u, err = userOf(c.Subject, c.Name, c.PreferredUsername)
	return u, c.ExpiresAt.Time, err
}

// userOf makes a user of what a token says.
func userOf(id string, names ...string) (store.User, error) {
	if id == "" || len(id) > protocol.MaxID || !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl) || id[0] == protocol.OperatorID[0] {
		return store.User{}, fmt.Errorf("accounts: the subject must have 1 to %d bytes without control characters, and not begin with @", protocol.MaxID)
	}
	for _, name := range append(names, id) {
		if runes := []rune(name); len(runes) > protocol.MaxName {
			name = string(runes[:protocol.MaxName])
		}
		if name, err := shown(name); err == nil {
			return store.User{ID: id, Name: name}, nil
		}
	}
	return store.User{ID: id, Name: "somebody"}, nil
}

// key returns the keys that a token may be signed with: that of its kid, or all that there are.
func (o *Operator) key(ctx context.Context, t *jwt.Token) (any, error) {
	kid, _ := t.Header["kid"].(string)
	keys := o.matching(kid)
	if len(keys.Keys) == 0 && o.refresh(ctx) {
		keys = o.matching(kid)
	}
	if len(keys.Keys) == 0 {
		return nil, fmt.Errorf("accounts: no key %q", kid)
	}
	return keys, nil
}

func (o *Operator) matching(kid string) jwt.VerificationKeySet {
	o.mu.Lock()
	defer o.mu.Unlock()
	var set jwt.VerificationKeySet
	for _, k := range o.keys {
		if kid == "" || k.KeyID == "" || k.KeyID == kid {
			set.Keys = append(set.Keys, k.Key)
		}
	}
	return set
}

// refresh reads the keys again, unless that was done a moment ago, and reports whether it did.
func (o *Operator) refresh(ctx context.Context) bool {
	o.mu.Lock()
	if time.Since(o.read) < keysPause {
		o.mu.Unlock()
		return false
	}
	o.read = time.Now()
	o.mu.Unlock()
	keys, err := o.load(ctx)
	if err != nil {
		return false
	}
	o.mu.Lock()
	o.keys = keys
	o.mu.Unlock()
	return true
}

// load reads the keys.
func (o *Operator) load(ctx context.Context) ([]jose.JSONWebKey, error) {
	var b []byte
	var err error
	if strings.HasPrefix(o.source, "https://") || strings.HasPrefix(o.source, "http://") {
		b, err = o.fetch(ctx)
	} else {
		b, err = os.ReadFile(o.source)
	}
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(b); block != nil {
		return pemKeys(b)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, fmt.Errorf("neither PEM nor a JWKS: %w", err)
	}
	keys := slices.DeleteFunc(set.Keys, func(k jose.JSONWebKey) bool { return !k.IsPublic() || !k.Valid() || k.Use == "enc" })
	if len(keys) == 0 {
		return nil, errors.New("there is no public key for signatures")
	}
	return keys, nil
}

func (o *Operator) fetch(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.source, nil)
	if err != nil {
		return nil, err
	}
	resp, err := o.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxKeys))
}

// pemKeys returns the public keys, and those of certificates, in PEM.
func pemKeys(b []byte) ([]jose.JSONWebKey, error) {
	var keys []jose.JSONWebKey
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			return keys, nil
		}
		var key crypto.PublicKey
		var err error
		switch block.Type {
		case "PUBLIC KEY":
			key, err = x509.ParsePKIXPublicKey(block.Bytes)
		case "RSA PUBLIC KEY":
			key, err = x509.ParsePKCS1PublicKey(block.Bytes)
		case "CERTIFICATE":
			var c *x509.Certificate
			if c, err = x509.ParseCertificate(block.Bytes); err == nil {
				key = c.PublicKey
			}
		default:
			err = fmt.Errorf("a %s is no public key", block.Type)
		}
		if err != nil {
			return nil, err
		}
		keys = append(keys, jose.JSONWebKey{Key: key})
	}
}

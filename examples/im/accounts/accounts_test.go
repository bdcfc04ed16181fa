package accounts

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/lonng/nano/examples/im/store"
)

// rsaKey is a key of the tests.
func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// publicPEM writes a public key to a file.
func publicPEM(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func signed(t *testing.T, method jwt.SigningMethod, key any, claims jwt.MapClaims, kid string) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func later() int64 { return time.Now().Add(time.Hour).Unix() }

// newAccounts returns accounts that let everybody in who has a token, and note who has come.
func newAccounts(o *Operator, providers map[string]Provider) (a *Accounts, entered *[]store.User) {
	entered = &[]store.User{}
	return New(Config{
		Secret: []byte("0123456789abcdef0123456789abcdef"), Names: true, Operator: o, Providers: providers, Platforms: []string{"web"},
		Enter: func(_ context.Context, u store.User) error {
			*entered = append(*entered, u)
			return nil
		},
		Revocations: &revocations{}, SignedOut: func(store.User, string) {},
	}), entered
}

// revocations are those of a test.
type revocations struct {
	sync.Map
	away error // not nil: the store cannot be asked
}

func (r *revocations) Revoke(_ context.Context, id string, expires time.Time) error {
	if r.away == nil {
		r.Store(id, expires)
	}
	return r.away
}

func (r *revocations) Revoked(_ context.Context, id string) (bool, error) {
	_, ok := r.Load(id)
	return ok, r.away
}

// Tokens of the operator's own system are taken if their keys, times, issuer and audience are
// right, and no others: not without a signature, not signed with the public key as a shared secret,
// not by other keys, not expired.
func TestForgedTokensAreRefused(t *testing.T) {
	key, other := rsaKey(t), rsaKey(t)
	file := publicPEM(t, &key.PublicKey)
	o, err := NewOperator(t.Context(), file, "the-operator", "im")
	if err != nil {
		t.Fatal(err)
	}
	a, _ := newAccounts(o, nil)
	good := jwt.MapClaims{"sub": "u1", "name": "Ann", "iss": "the-operator", "aud": "im", "exp": later()}
	with := func(change ...any) jwt.MapClaims {
		c := jwt.MapClaims{}
		for k, v := range good {
			c[k] = v
		}
		for i := 0; i < len(change); i += 2 {
			if change[i+1] == nil {
				delete(c, change[i].(string))
			} else {
				c[change[i].(string)] = change[i+1]
			}
		}
		return c
	}
	public, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	own, err := a.Token(store.User{ID: "u2", Name: "Bob"})
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{"good": signed(t, jwt.SigningMethodRS256, key, good, ""), "with a key id": signed(t, jwt.SigningMethodPS512, key, good, "any"), "own": own} {
		if u, err := a.ByToken(t.Context(), token); err != nil || u.ID == "" || u.Name == "" {
			t.Errorf("%s: %+v %v", name, u, err)
		}
	}
	_, rest, _ := strings.Cut(signed(t, jwt.SigningMethodRS256, key, good, ""), ".")
	for name, token := range map[string]string{
		"empty":                    "",
		"nonsense":                 "a.b.c",
		"alg none":                 signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good, ""),
		"alg none, own audience":   signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, with("aud", audience), ""),
		"other header":             "eyJhbGciOiJub25lIn0." + rest,
		"signature cut off":        signed(t, jwt.SigningMethodRS256, key, good, "")[:300],
		"another key":              signed(t, jwt.SigningMethodRS256, other, good, ""),
		"public key as a secret":   signed(t, jwt.SigningMethodHS256, public, good, ""),
		"public key, own aud":      signed(t, jwt.SigningMethodHS256, public, with("aud", audience), ""),
		"own kind, other secret":   signed(t, jwt.SigningMethodHS256, []byte("another secret"), with("aud", audience), ""),
		"own kind, operator's key": signed(t, jwt.SigningMethodRS256, key, with("aud", audience), ""),
		"expired":                  signed(t, jwt.SigningMethodRS256, key, with("exp", time.Now().Add(-time.Minute).Unix()), ""),
		"without an end":           signed(t, jwt.SigningMethodRS256, key, with("exp", nil), ""),
		"not yet":                  signed(t, jwt.SigningMethodRS256, key, with("nbf", later()), ""),
		"another issuer":           signed(t, jwt.SigningMethodRS256, key, with("iss", "stranger"), ""),
		"another audience":         signed(t, jwt.SigningMethodRS256, key, with("aud", "shop"), ""),
		"without a subject":        signed(t, jwt.SigningMethodRS256, key, with("sub", nil), ""),
		"a subject that is ours":   signed(t, jwt.SigningMethodRS256, key, with("sub", "@operator"), ""),
		"a subject with U+0000":    signed(t, jwt.SigningMethodRS256, key, with("sub", "ann\x00"), ""),
		"a very long subject":      signed(t, jwt.SigningMethodRS256, key, with("sub", strings.Repeat("x", 129)), ""),
	} {
		if u, err := a.ByToken(t.Context(), token); err == nil {
			t.Errorf("%s: it is taken, for %+v", name, u)
		}
	}
	// What the header says of keys is not looked at: not where they are, and not that one is here.
	for name, header := range map[string]map[string]any{
		"a key of its own":     {"jwk": jose.JSONWebKey{Key: &other.PublicKey}},
		"keys elsewhere":       {"jku": "https://evil.example/keys", "x5u": "https://evil.example/cert"},
		"an id that is a path": {"kid": "../../../../dev/null"},
		"an id that is a list": {"kid": []string{"a", "b"}},
		"an id that is SQL":    {"kid": "x' UNION SELECT 'secret"},
	} {
		for method, k := range map[jwt.SigningMethod]any{jwt.SigningMethodRS256: other, jwt.SigningMethodHS256: []byte{}} {
			token := jwt.NewWithClaims(method, good)
			for field, value := range header {
				token.Header[field] = value
			}
			text, err := token.SignedString(k)
			if err != nil {
				t.Fatal(err)
			}
			if u, err := a.ByToken(t.Context(), text); err == nil {
				t.Errorf("%s, %s: it is taken, for %+v", name, method.Alg(), u)
			}
		}
	}
	// The messenger's own, by its own secret, are no better.
	secret := []byte("0123456789abcdef0123456789abcdef")
	mine := jwt.MapClaims{"sub": "u2", "name": "Bob", "aud": audience, "exp": later()}
	for name, change := range map[string]func(jwt.MapClaims){
		"expired":                func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-2 * leeway).Unix() },
		"without an end":         func(c jwt.MapClaims) { delete(c, "exp") },
		"not yet":                func(c jwt.MapClaims) { c["nbf"] = later() },
		"made in the future":     func(c jwt.MapClaims) { c["iat"] = later() },
		"for another audience":   func(c jwt.MapClaims) { c["aud"] = "im" },
		"without an audience":    func(c jwt.MapClaims) { delete(c, "aud") },
		"without a subject":      func(c jwt.MapClaims) { delete(c, "sub") },
		"a subject of no string": func(c jwt.MapClaims) { c["sub"] = 7 },
	} {
		c := maps.Clone(mine)
		change(c)
		if u, err := a.ByToken(t.Context(), signed(t, jwt.SigningMethodHS256, secret, c, "")); err == nil {
			t.Errorf("own, %s: it is taken, for %+v", name, u)
		}
	}
	if u, err := a.ByToken(t.Context(), signed(t, jwt.SigningMethodHS512, secret, mine, "")); err == nil {
		t.Errorf("own, of another method: it is taken, for %+v", u)
	}
	u, err := a.ByToken(t.Context(), signed(t, jwt.SigningMethodRS256, key, with("name", "<b>"+strings.Repeat("x", 500)), ""))
	if err != nil || len([]rune(u.Name)) > 40 {
		t.Errorf("a very long name becomes %q, %v", u.Name, err)
	}
}

// Keys come from a JWKS by its address as well, and new ones are found without a restart.
func TestKeysOfAJWKS(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &ec.PublicKey, KeyID: "one", Use: "sig"}}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(set) }))
	defer server.Close()
	o, err := NewOperator(t.Context(), server.URL, "", "")
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{"sub": "u1", "exp": later()}
	if u, _, err := o.User(t.Context(), signed(t, jwt.SigningMethodES256, ec, claims, "one")); err != nil || u.Name != "u1" {
		t.Errorf("%+v %v", u, err)
	}
	fresh := signed(t, jwt.SigningMethodEdDSA, private, claims, "two")
	if _, _, err := o.User(t.Context(), fresh); err == nil {
		t.Error("a key that nobody knows is taken")
	}
	set.Keys = append(set.Keys, jose.JSONWebKey{Key: public, KeyID: "two"})
	o.mu.Lock()
	o.read = time.Now().Add(-keysPause) // as if some time had passed
	o.mu.Unlock()
	if _, _, err := o.User(t.Context(), fresh); err != nil {
		t.Errorf("a new key is not found: %v", err)
	}
	for name, file := range map[string]string{"nothing": "", "no keys": `{"keys":[]}`, "a private key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}))} {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := NewOperator(t.Context(), path, "", ""); err == nil {
			t.Errorf("%s: it is taken for keys", name)
		}
	}
}

// issuer is a provider of OpenID Connect, and GitHub beside it, that signs in whoever comes.
type issuer struct {
	*httptest.Server
	key    *rsa.PrivateKey
	nonces map[string]string // by code
	change func(jwt.MapClaims)
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{key: rsaKey(t), nonces: make(map[string]string), change: func(jwt.MapClaims) {}}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"}, "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &i.key.PublicKey, KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
	})
	authorize := func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("code_challenge") == "" || q.Get("client_id") != "client" {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		i.nonces["code"] = q.Get("nonce")
		back := q.Get("redirect_uri") + "?" + url.Values{"code": {"code"}, "state": {q.Get("state")}}.Encode()
		http.Redirect(w, r, back, http.StatusFound)
	}
	mux.HandleFunc("/authorize", authorize)
	mux.HandleFunc("/login/oauth/authorize", authorize)
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("code") != "code" || r.FormValue("code_verifier") == "" {
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		claims := jwt.MapClaims{"iss": i.URL, "aud": "client", "sub": "77", "name": "Ann O.", "nonce": i.nonces["code"], "exp": later(), "iat": time.Now().Unix()}
		i.change(claims)
		answer(w, map[string]any{"access_token": "access", "token_type": "Bearer", "id_token": signed(t, jwt.SigningMethodRS256, i.key, claims, "k")})
	})
	mux.HandleFunc("/login/oauth/access_token", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"access_token": "access", "token_type": "bearer"})
	})
	mux.HandleFunc("/api/v3/user", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer access" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		answer(w, map[string]any{"id": 42, "login": "octocat"})
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

// browser follows redirections and keeps cookies, as browsers do.
func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

// page returns where a browser has come to, and who it is then.
func (s *site) page(t *testing.T, b *http.Client, at string) (path string, who *store.User) {
	t.Helper()
	resp, err := b.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	path = resp.Request.URL.RequestURI()
	resp, err = b.Get(s.URL + "/auth/ways")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var ways WaysReply
	if err := json.NewDecoder(resp.Body).Decode(&ways); err != nil {
		t.Fatal(err)
	}
	return path, ways.Me
}

// site is a messenger's sign-in.
type site struct{ *httptest.Server }

func newSite(t *testing.T, i *issuer) *site {
	t.Helper()
	mux := http.NewServeMux()
	s := &site{httptest.NewServer(mux)}
	t.Cleanup(s.Close)
	p, err := NewOpenID(t.Context(), i.URL, "client", "secret", s.URL+"/auth/oidc/callback")
	if err != nil {
		t.Fatal(err)
	}
	a, _ := newAccounts(nil, map[string]Provider{"oidc": p, "github": NewGitHub(i.URL, "client", "secret", s.URL+"/auth/github/callback")})
	mux.Handle("/auth/", a.Handler())
	mux.HandleFunc("/{$}", func(http.ResponseWriter, *http.Request) {})
	return s
}

// People sign in by OpenID Connect and by GitHub's OAuth.
func TestSignInElsewhere(t *testing.T) {
	s := newSite(t, newIssuer(t))
	for way, want := range map[string]store.User{"oidc": {ID: "oidc:77", Name: "Ann O."}, "github": {ID: "github:42", Name: "octocat"}} {
		path, who := s.page(t, browser(t), s.URL+"/auth/"+way)
		if path != "/" || who == nil || *who != want {
			t.Errorf("%s: at %s as %+v", way, path, who)
		}
	}
}

// A sign-in that began in another browser, or an id token that is not for this client and this
// sign-in, signs nobody in.
func TestForgedSignInsElsewhere(t *testing.T) {
	i := newIssuer(t)
	s := newSite(t, i)
	for _, way := range []string{"oidc", "github"} {
		if path, who := s.page(t, browser(t), s.URL+"/auth/"+way+"/callback?code=code&state=x"); who != nil || !strings.HasPrefix(path, "/?error=") {
			t.Errorf("%s, out of nothing: at %s as %+v", way, path, who)
		}
		b := browser(t)
		b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(r.URL.String(), i.URL) {
				return http.ErrUseLastResponse // it begins, and somebody else's answer comes back
			}
			return nil
		}
		begun, err := b.Get(s.URL + "/auth/" + way)
		if err != nil {
			t.Fatal(err)
		}
		begun.Body.Close()
		if path, who := s.page(t, b, s.URL+"/auth/"+way+"/callback?code=code&state=stranger"); who != nil || !strings.HasPrefix(path, "/?error=") {
			t.Errorf("%s, with another state: at %s as %+v", way, path, who)
		}
	}
	for name, change := range map[string]func(jwt.MapClaims){
		"another nonce":    func(c jwt.MapClaims) { c["nonce"] = "x" },
		"another audience": func(c jwt.MapClaims) { c["aud"] = "shop" },
		"another issuer":   func(c jwt.MapClaims) { c["iss"] = "https://stranger" },
		"expired":          func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Hour).Unix() },
		"no subject":       func(c jwt.MapClaims) { delete(c, "sub") },
	} {
		i.change = change
		if path, who := s.page(t, browser(t), s.URL+"/auth/oidc"); who != nil || !strings.HasPrefix(path, "/?error=") {
			t.Errorf("%s: at %s as %+v", name, path, who)
		}
	}
}

// The page of another site can make nobody sign in or out, and does not get at who somebody is.
func TestOtherSitesPages(t *testing.T) {
	a, entered := newAccounts(nil, nil)
	do := func(method, path, body string, headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://im.example"+path, strings.NewReader(body))
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, r)
		return w
	}
	kind := []string{"Content-Type", "application/json"}
	for name, headers := range map[string][]string{
		"another origin": {"Origin", "https://evil.example"}, "null origin": {"Origin", "null"},
		"another port": {"Origin", "http://im.example:81"}, "cross-site": {"Sec-Fetch-Site", "cross-site"}, "same-site": {"Sec-Fetch-Site", "same-site"},
	} {
		for _, path := range []string{"/auth/name", "/auth/token", "/auth/logout"} {
			if w := do("POST", path, `{"name":"Ann"}`, append(headers, kind...)...); w.Code != http.StatusForbidden || w.Header().Get("Set-Cookie") != "" {
				t.Errorf("%s, %s: %d", name, path, w.Code)
			}
		}
	}
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} { // what forms can send
		if w := do("POST", "/auth/name", `{"name":"Ann"}`, "Content-Type", kind); w.Code != http.StatusUnsupportedMediaType {
			t.Errorf("a body of type %q is answered %d", kind, w.Code)
		}
	}
	if w := do("POST", "/auth/name", `{"name":"`+strings.Repeat("x", 20<<10)+`"}`, kind...); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a very long body is answered %d", w.Code)
	}
	for _, name := range []string{"", "  ", strings.Repeat("x", 41), "a\u202eb", "@operator", "\u2800"} {
		if w := do("POST", "/auth/name", `{"name":"`+name+`"}`, kind...); w.Code != http.StatusBadRequest {
			t.Errorf("the name %q is answered %d", name, w.Code)
		}
	}
	if len(*entered) != 0 {
		t.Fatalf("%v have come in", *entered)
	}
	w := do("POST", "/auth/name", `{"name":"Ann"}`, append([]string{"Origin", "http://im.example"}, kind...)...)
	cookie := w.Header().Get("Set-Cookie")
	if w.Code != http.StatusOK || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") {
		t.Fatalf("sign in: %d, %q", w.Code, cookie)
	}
	value, _, _ := strings.Cut(cookie, ";")
	if w := do("GET", "/auth/ways", "", "Cookie", value); !strings.Contains(w.Body.String(), `"me"`) {
		t.Errorf("the own page is told %s", w.Body)
	}
	if w := do("GET", "/auth/ways", "", "Cookie", value, "Sec-Fetch-Site", "cross-site"); strings.Contains(w.Body.String(), `"me"`) {
		t.Errorf("another site's page is told %s", w.Body)
	}
}

// Nobody passes for another by characters that look the same: they are the same person, or no name.
func TestNamesThatLookLikeOthers(t *testing.T) {
	for name, want := range map[string]string{
		"Jose\u0301": "José", // a letter and an accent
		"Ａｎｎ":        "Ann",
		"𝓐𝓷𝓷":        "Ann",
		"Anna Ö":     "Anna Ö",
		"Кирилл B":   "Кирилл B",
		"Аnn":        "", // the first letter is Cyrillic
		"Bοb":        "", // the second is Greek
		"раypal":     "",
	} {
		if got, err := shown(name); got != want || (err == nil) != (want != "") {
			t.Errorf("%q is shown as %q, %v", name, got, err)
		}
	}
	a, entered := newAccounts(nil, nil)
	for _, name := range []string{"José", "JOSÉ", "Jose\u0301", "  josé "} {
		r := httptest.NewRequest(http.MethodPost, "http://im.example/auth/name", strings.NewReader(`{"name":"`+name+`"}`))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if a.Handler().ServeHTTP(w, r); w.Code != http.StatusOK {
			t.Errorf("%q is answered %d", name, w.Code)
		}
	}
	for _, u := range *entered {
		if u.ID != "josé" {
			t.Errorf("%q is another person than josé", u.ID)
		}
	}
}

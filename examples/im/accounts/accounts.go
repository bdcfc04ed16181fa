// Package accounts signs people in: by name (for development), by a JWT of the operator's own
// system, by OpenID Connect and by GitHub. Whoever is signed in has a token of the messenger's own,
// in a cookie that pages cannot read, or in the hands of a client that is no page.
package accounts

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/examples/rules"
)

// Cookie is the name of the cookie that holds a page's token.
const Cookie = "im"

// lifetime is how long a token of the messenger's own is good.
const lifetime = 30 * 24 * time.Hour

// leeway is how far apart the clocks of gates may be.
const leeway = time.Minute

// audience says that a token is the messenger's own.
const audience = "nano-im"

// ErrSignedOut is the error for who is not signed in, or by a token that is no good.
var ErrSignedOut = errors.New("accounts: not signed in")

// Config says how people sign in.
type Config struct {
	// Secret signs the messenger's own tokens. All gates have the same. Nil: SetSecret follows.
	Secret []byte
	// Names lets people sign in by any name. It is for development.
	Names bool
	// Operator checks tokens of the operator's own system; nil: there are none.
	Operator *Operator
	// Providers are where people sign in with a browser, by name ("oidc", "github").
	Providers map[string]Provider
	// Enter stores a user who signs in.
	Enter func(ctx context.Context, u store.User) error
	// Revocations are the tokens whose users have signed out.
	Revocations Revocations
	// SignedOut is told of a user who has signed out, to end the connections that were made with
	// that token. It must not wait.
	SignedOut func(u store.User, tokenID string)
	// Platforms are those on which a user can be connected.
	Platforms []string
}

// Revocations remember the tokens whose users have signed out, for all nodes.
type Revocations interface {
	// Revoke has the token with that id be good for nothing any more. It may be forgotten when the
	// token would have expired.
	Revoke(ctx context.Context, tokenID string, expires time.Time) error
	// Revoked reports whether a token was revoked.
	Revoked(ctx context.Context, tokenID string) (bool, error)
}

// Accounts signs people in. Its methods may be called from any goroutine.
type Accounts struct {
	conf   Config
	parser *jwt.Parser
	mux    *http.ServeMux
	secret atomic.Pointer[[]byte]
	ready  chan struct{} // closed when the secret is known
	once   sync.Once

	mu     sync.Mutex
	logged map[string]*rules.Seldom // by what is logged
}

// note logs what went wrong, once a second: strangers can have it go wrong as often as they like.
// What is one of few texts, and none of them keeps others out of the log.
func (a *Accounts) note(level slog.Level, what string, args ...any) {
	a.mu.Lock()
	seldom := a.logged[what]
	if seldom == nil {
		seldom = new(rules.Seldom)
		a.logged[what] = seldom
	}
	a.mu.Unlock()
	if seldom.Now() {
		slog.Log(context.Background(), level, what, args...)
	}
}

// New returns accounts by a configuration.
func New(conf Config) *Accounts {
	a := &Accounts{conf: conf, ready: make(chan struct{}), mux: http.NewServeMux(), logged: make(map[string]*rules.Seldom), parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway))}
	if conf.Secret != nil {
		a.SetSecret(conf.Secret)
	}
	a.mux.HandleFunc("GET /auth/ways", a.ways)
	a.mux.HandleFunc("POST /auth/logout", a.logout)
	a.mux.HandleFunc("POST /auth/name", a.byName)
	a.mux.HandleFunc("POST /auth/token", a.byToken)
	for name, p := range conf.Providers {
		a.mux.HandleFunc("GET /auth/"+name, a.begin(name, p))
		a.mux.HandleFunc("GET /auth/"+name+"/callback", a.finish(name, p))
	}
	return a
}

// SetSecret sets the secret that signs the messenger's own tokens. Until then nobody is signed in.
func (a *Accounts) SetSecret(secret []byte) {
	a.secret.Store(&secret)
	a.once.Do(func() { close(a.ready) })
}

// Wait waits until people can sign in: a moment after the start of a gate.
func (a *Accounts) Wait(ctx context.Context) error {
	select {
	case <-a.ready:
		return nil
	case <-ctx.Done():
		return errNotReady
	}
}

// Ready reports whether people can sign in.
func (a *Accounts) Ready() bool { return a.secret.Load() != nil }

// errNotReady is the error while the secret is not known.
var errNotReady = errors.New("accounts: the secret is not known yet")

// Handler serves /auth/.
func (a *Accounts) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.Method == http.MethodPost && !fromHere(r) {
			Fail(w, http.StatusForbidden, "permission_denied", "another site's page may not do that")
			return
		}
		Serve(a.mux, w, r)
	})
}

// claims are what the messenger's own tokens say.
type claims struct {
	jwt.RegisteredClaims
	Name string `json:"name"`
}

// Token returns a token of the messenger's own for a user.
func (a *Accounts) Token(u store.User) (string, error) {
	secret := a.secret.Load()
	if secret == nil {
		return "", errNotReady
	}
	now := time.Now()
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			ID:      rand.Text(), // two that are made in one second are signed out one by one
			Subject: u.ID, Audience: jwt.ClaimStrings{audience}, IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(lifetime)),
		},
		Name: u.Name,
	}).SignedString(*secret)
}

// TokenID returns the id of a token, by which it is revoked. It is made of what is signed, because
// a signature may be written in several ways.
func TokenID(token string) string {
	signed := token[:max(0, strings.LastIndexByte(token, '.'))]
	sum := sha256.Sum256([]byte(signed))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// ByToken returns the user of a token: one of the messenger's own, or of the operator's. Its error
// is ErrSignedOut for a token that is no good. Any other says that this cannot be found out now.
func (a *Accounts) ByToken(ctx context.Context, token string) (store.User, error) {
	u, _, err := a.check(ctx, token)
	if err != nil || u.own {
		return u.User, err
	}
	return u.User, a.enter(ctx, u.User)
}

// holder is whom a token is for.
type holder struct {
	store.User
	own bool // the token is the messenger's
}

// check returns whom a token is for, and when it expires.
func (a *Accounts) check(ctx context.Context, token string) (holder, time.Time, error) {
	secret := a.secret.Load()
	if secret == nil {
		return holder{}, time.Time{}, errNotReady
	}
	h := holder{own: true}
	var expires time.Time
	var c claims
	_, err := a.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return *secret, nil })
	switch {
	case err == nil && c.Subject != "":
		h.User, expires = store.User{ID: c.Subject, Name: c.Name}, c.ExpiresAt.Time
	case a.conf.Operator == nil:
		return holder{}, time.Time{}, ErrSignedOut
	default:
		h.own = false
		if h.User, expires, err = a.conf.Operator.User(ctx, token); err != nil {
			slog.Debug("token refused", "err", err)
			return holder{}, time.Time{}, ErrSignedOut
		}
	}
	revoked, err := a.conf.Revocations.Revoked(ctx, TokenID(token))
	if err == nil && revoked {
		err = ErrSignedOut
	}
	return h, expires, err
}

// enter stores a user who signs in.
func (a *Accounts) enter(ctx context.Context, u store.User) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return a.conf.Enter(ctx, u)
}

// ByRequest returns the user who makes an HTTP request, by the Authorization header or the cookie.
// A request that another site's page makes has no user. Errors are those of ByToken.
func (a *Accounts) ByRequest(r *http.Request) (store.User, error) {
	token := TokenOf(r)
	if token == "" {
		return store.User{}, ErrSignedOut
	}
	return a.ByToken(r.Context(), token)
}

// TokenOf returns the token that an HTTP request has in the Authorization header or the cookie. The
// cookie of a request that another site's page makes does not count.
func TokenOf(r *http.Request) string {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return token
	}
	c, err := r.Cookie(Cookie)
	if err != nil || !fromHere(r) {
		return ""
	}
	return c.Value
}

// fromHere reports whether a request comes from a page of this server, or from no page at all.
// Browsers say which.
func fromHere(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host == r.Host
}

// WaysReply is how people can sign in, and who is.
type WaysReply struct {
	Ways      []string    `json:"ways"`
	Me        *store.User `json:"me,omitempty"`
	Platforms []string    `json:"platforms"`
}

func (a *Accounts) ways(w http.ResponseWriter, r *http.Request) {
	reply := WaysReply{Ways: []string{}, Platforms: a.conf.Platforms}
	if a.conf.Names {
		reply.Ways = append(reply.Ways, "name")
	}
	if a.conf.Operator != nil {
		reply.Ways = append(reply.Ways, "token")
	}
	for _, name := range []string{"oidc", "github"} {
		if a.conf.Providers[name] != nil {
			reply.Ways = append(reply.Ways, name)
		}
	}
	switch u, err := a.ByRequest(r); {
	case err == nil:
		reply.Me = &u
	case !errors.Is(err, ErrSignedOut):
		a.note(slog.LevelWarn, "cannot say who is signed in", "err", err)
		Fail(w, http.StatusServiceUnavailable, "unavailable", "the messenger cannot look who you are right now; try again")
		return
	}
	Answer(w, reply)
}

// signIn is the body of a request to sign in.
type signIn struct {
	Name  string `json:"name"`
	Token string `json:"token"`
	Want  string `json:"want"` // "token": in the answer, instead of a cookie
}

// signedIn is the answer.
type signedIn struct {
	User  store.User `json:"user"`
	Token string     `json:"token,omitempty"`
}

func (a *Accounts) byName(w http.ResponseWriter, r *http.Request) {
	var req signIn
	if !Body(w, r, &req) {
		return
	}
	if !a.conf.Names {
		Fail(w, http.StatusForbidden, "permission_denied", "nobody signs in by name here")
		return
	}
	name, err := shown(req.Name)
	if err != nil {
		Fail(w, http.StatusBadRequest, "invalid_argument", message(err))
		return
	}
	u, err := userOf(rules.Fold(name), name)
	if err != nil {
		Fail(w, http.StatusBadRequest, "invalid_argument", "the name cannot be used")
		return
	}
	a.welcome(w, r, u, req.Want)
}

func (a *Accounts) byToken(w http.ResponseWriter, r *http.Request) {
	var req signIn
	if !Body(w, r, &req) {
		return
	}
	if a.conf.Operator == nil {
		Fail(w, http.StatusForbidden, "permission_denied", "nobody signs in by token here")
		return
	}
	u, _, err := a.check(r.Context(), req.Token)
	switch {
	case errors.Is(err, ErrSignedOut) || err == nil && u.own: // one's own would never end
		Fail(w, http.StatusUnauthorized, "unauthenticated", "the token is no good here")
	case err != nil:
		a.note(slog.LevelWarn, "token not looked at", "err", err)
		Fail(w, http.StatusServiceUnavailable, "unavailable", "signing in does not work right now; try again")
	default:
		a.welcome(w, r, u.User, req.Want)
	}
}

// welcome answers a user who has signed in.
func (a *Accounts) welcome(w http.ResponseWriter, r *http.Request, u store.User, want string) {
	token, err := a.admit(r.Context(), u)
	if err != nil {
		a.note(slog.LevelWarn, "sign in failed", "user", u.ID, "err", err)
		Fail(w, http.StatusInternalServerError, "internal", "signing in does not work right now")
		return
	}
	if want == "token" {
		Answer(w, signedIn{User: u, Token: token})
		return
	}
	a.setCookie(w, r, token, lifetime)
	Answer(w, signedIn{User: u})
}

// admit stores a user, and returns a token for it.
func (a *Accounts) admit(ctx context.Context, u store.User) (string, error) {
	if err := a.enter(ctx, u); err != nil {
		return "", err
	}
	return a.Token(u)
}

// setCookie sets the cookie with a page's token; a lifetime below 0 removes it.
func (a *Accounts) setCookie(w http.ResponseWriter, r *http.Request, token string, lifetime time.Duration) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure is set wherever the request came by TLS
		Name: Cookie, Value: token, Path: "/", MaxAge: int(lifetime / time.Second),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure(r),
	})
}

// secure reports whether a request came by TLS, to this server or to a proxy before it.
func secure(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}

// logout revokes the token of the request, and ends the connections that were made with it. Who has
// none, or one that is no good, is signed out already.
func (a *Accounts) logout(w http.ResponseWriter, r *http.Request) {
	if !Body(w, r, &struct{}{}) {
		return
	}
	token := TokenOf(r)
	if token != "" {
		if err := a.revoke(r.Context(), token); err != nil && !errors.Is(err, ErrSignedOut) {
			a.note(slog.LevelWarn, "sign out failed", "err", err)
			Fail(w, http.StatusServiceUnavailable, "unavailable", "signing out does not work right now; try again")
			return
		}
	}
	a.setCookie(w, r, "", -time.Second)
	Answer(w, struct{}{})
}

// revoke has a token be good for nothing any more.
func (a *Accounts) revoke(ctx context.Context, token string) error {
	u, expires, err := a.check(ctx, token)
	if err != nil {
		return err
	}
	id := TokenID(token)
	if err := a.conf.Revocations.Revoke(ctx, id, expires.Add(2*leeway)); err != nil {
		return err
	}
	a.conf.SignedOut(u.User, id)
	return nil
}

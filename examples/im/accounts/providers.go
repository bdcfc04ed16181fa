package accounts

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/github"

	"github.com/lonng/nano/examples/im/store"
)

// Provider is where people sign in with a browser.
type Provider interface {
	// Begin returns the address to send the browser to.
	Begin(state, nonce, verifier string) string
	// Finish makes a user of the code that the browser has brought back.
	Finish(ctx context.Context, code, nonce, verifier string) (store.User, error)
}

// OpenID is a provider that speaks OpenID Connect.
type OpenID struct {
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
}

// NewOpenID asks an issuer how it works. callback is the address of /auth/oidc/callback, as
// browsers reach it.
func NewOpenID(ctx context.Context, issuer, id, secret, callback string) (*OpenID, error) {
	p, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, fmt.Errorf("accounts: ask the issuer %s: %w", issuer, err)
	}
	return &OpenID{
		oauth: oauth2.Config{
			ClientID: id, ClientSecret: secret, RedirectURL: callback, Endpoint: p.Endpoint(), Scopes: []string{oidc.ScopeOpenID, "profile"},
		},
		verifier: p.Verifier(&oidc.Config{ClientID: id}),
	}, nil
}

// Begin returns the address to send the browser to.
func (p *OpenID) Begin(state, nonce, verifier string) string {
	return p.oauth.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier))
}

// Finish exchanges the code for the user's token, and checks it.
func (p *OpenID) Finish(ctx context.Context, code, nonce, verifier string) (store.User, error) {
	t, err := p.oauth.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		return store.User{}, err
	}
	raw, ok := t.Extra("id_token").(string)
	if !ok {
		return store.User{}, errors.New("accounts: the issuer gave no id_token")
	}
	id, err := p.verifier.Verify(ctx, raw)
	if err != nil {
		return store.User{}, err
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1 {
		return store.User{}, errors.New("accounts: the id_token is of another sign-in")
	}
	var c struct {
		Name     string `json:"name"`
		Username string `json:"preferred_username"`
	}
	if err := id.Claims(&c); err != nil {
		return store.User{}, err
	}
	if id.Subject == "" {
		return store.User{}, errors.New("accounts: the id_token has no subject")
	}
	return userOf("oidc:"+id.Subject, c.Name, c.Username)
}

// GitHub is GitHub's OAuth.
type GitHub struct {
	oauth oauth2.Config
	api   string
}

// NewGitHub returns GitHub as a provider. base is "" for github.com; for a GitHub of one's own it
// is that one's address.
func NewGitHub(base, id, secret, callback string) *GitHub {
	p := &GitHub{oauth: oauth2.Config{ClientID: id, ClientSecret: secret, RedirectURL: callback, Endpoint: github.Endpoint}, api: "https://api.github.com"}
	if base != "" {
		base = strings.TrimSuffix(base, "/")
		p.oauth.Endpoint = oauth2.Endpoint{AuthURL: base + "/login/oauth/authorize", TokenURL: base + "/login/oauth/access_token"}
		p.api = base + "/api/v3"
	}
	return p
}

// Begin returns the address to send the browser to.
func (p *GitHub) Begin(state, _, verifier string) string {
	return p.oauth.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier))
}

// Finish exchanges the code for a token, and asks GitHub whose it is.
func (p *GitHub) Finish(ctx context.Context, code, _, verifier string) (store.User, error) {
	t, err := p.oauth.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		return store.User{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.api+"/user", nil)
	if err != nil {
		return store.User{}, err
	}
	req.Header.Set("Accept", "application/vnd.github+json")
	resp, err := p.oauth.Client(ctx, t).Do(req)
	if err != nil {
		return store.User{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return store.User{}, fmt.Errorf("accounts: GitHub answers %s", resp.Status)
	}
	var who struct {
		ID    int64  `json:"id"`
		Login string `json:"login"`
		Name  string `json:"name"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody*16)).Decode(&who); err != nil {
		return store.User{}, err
	}
	if who.ID == 0 {
		return store.User{}, errors.New("accounts: GitHub names no user")
	}
	return userOf(fmt.Sprintf("github:%d", who.ID), who.Name, who.Login)
}

// flowCookie holds what a sign-in has begun with, until the browser comes back.
const flowCookie = "im-flow"

// flowTime is how long that may take.
const flowTime = 10 * time.Minute

// begin sends the browser to a provider.
func (a *Accounts) begin(name string, p Provider) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
		// Lax, so that the browser sends it when the provider sends the browser back.
		http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure is set wherever the request came by TLS
			Name: flowCookie, Value: strings.Join([]string{name, state, nonce, verifier}, "."), Path: "/auth/",
			MaxAge: int(flowTime / time.Second), HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure(r),
		})
		http.Redirect(w, r, p.Begin(state, nonce, verifier), http.StatusFound)
	}
}

// finish takes the browser back. A browser that has not begun here, with this state, is signed in
// as nobody: otherwise a stranger could have somebody sign in as that stranger.
func (a *Accounts) finish(name string, p Provider) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		fail := func(why string, err error) {
			a.note(slog.LevelInfo, "sign in elsewhere failed", "provider", name, "why", why, "err", err)
			http.Redirect(w, r, "/?error="+url.QueryEscape(why), http.StatusFound)
		}
		c, err := r.Cookie(flowCookie)
		if err != nil {
			fail("the sign-in took too long, or began elsewhere", err)
			return
		}
		http.SetCookie(w, &http.Cookie{ //nolint:gosec // the same
			Name: flowCookie, Path: "/auth/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure(r),
		})
		parts := strings.Split(c.Value, ".")
		if len(parts) != 4 || parts[0] != name || subtle.ConstantTimeCompare([]byte(parts[1]), []byte(r.URL.Query().Get("state"))) != 1 {
			fail("the sign-in began elsewhere", nil)
			return
		}
		if r.URL.Query().Get("code") == "" {
			fail("the provider did not sign you in", nil)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), 15*time.Second)
		defer cancel()
		u, err := p.Finish(ctx, r.URL.Query().Get("code"), parts[2], parts[3])
		if err != nil {
			fail("the provider's word could not be checked", err)
			return
		}
		token, err := a.admit(ctx, u)
		if err != nil {
			fail("signing in does not work right now", err)
			return
		}
		a.setCookie(w, r, token, lifetime)
		http.Redirect(w, r, "/", http.StatusFound)
	}
}

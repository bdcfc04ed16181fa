package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/accounts"
	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/gate"
	"github.com/lonng/nano/examples/im/pictures"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/examples/page"
	"github.com/lonng/nano/session"
)

//go:embed page
var files embed.FS

// tokenSecret is the name of the secret that signs tokens.
const tokenSecret = "tokens"

// routeCodes spares the names of the routes that are sent most: two bytes each on the wire.
var routeCodes = map[string]uint16{protocol.PushMessage: 1, protocol.PushReads: 2, protocol.PushTyping: 3, protocol.PushPresence: 4, "im.send": 5, "im.read": 6}

// accounts signs people in, in the ways that the flags name. emit tells all gates.
func (c *config) accounts(ctx context.Context, secret []byte, b gate.Backend, emit func(*protocol.Event)) (*accounts.Accounts, error) {
	a := accounts.Config{
		Secret: secret, Names: c.names, Platforms: gate.Platforms, Providers: make(map[string]accounts.Provider), Revocations: &revocations{b},
		Enter: func(ctx context.Context, u store.User) error {
			req := &protocol.EnterRequest{}
			req.SetBy(u)
			return b.Call(ctx, u.ID, "enter", req, &protocol.Empty{})
		},
		SignedOut: func(u store.User, token string) {
			emit(&protocol.Event{Users: []string{u.ID}, Token: token, Kick: protocol.KickSignedOut})
		},
	}
	if c.jwtKeys != "" {
		o, err := accounts.NewOperator(ctx, c.jwtKeys, c.jwtIssuer, c.jwtAudience)
		if err != nil {
			return nil, err
		}
		a.Operator = o
	}
	if c.oidcIssuer != "" {
		p, err := accounts.NewOpenID(ctx, c.oidcIssuer, c.oidcID, c.oidcSecret, c.public+"/auth/oidc/callback")
		if err != nil {
			return nil, err
		}
		a.Providers["oidc"] = p
	}
	if c.githubID != "" {
		a.Providers["github"] = accounts.NewGitHub(c.githubURL, c.githubID, c.githubSecret, c.public+"/auth/github/callback")
	}
	return accounts.New(a), nil
}

// web are the options of a node that takes clients: the page, sign-in, pictures and what is for
// operators on one address.
func (c *config) web(l net.Listener, people *accounts.Accounts, g *gate.Gate, b gate.Backend, ops *operators) ([]nano.Option, error) {
	pages, err := page.Handler(files, "page")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for _, path := range forOperators {
		mux.Handle(path, ops)
	}
	mux.Handle("/", pages)
	mux.Handle("/auth/", people.Handler())
	album := pictures.New(people, &albums{b}, func() string { return channels.NewID("i-") })
	mux.Handle("/pictures", album)
	mux.Handle("/pictures/", album)
	options := []nano.Option{
		nano.WithEndpoint(nano.Endpoint{Listener: l, WebSocket: true, Path: "/nano"}),
		nano.WithHTTPHandler(mux),
		nano.WithSameOrigin(),
		nano.WithHandshake(handshake(people, g)),
		nano.WithDictionary(routeCodes),
		nano.WithMaxPacket(maxPacket),
		nano.WithResume(nano.Resume{}),
		nano.WithWriteDelay(c.writeDelay),
	}
	if len(c.proxies) > 0 {
		options = append(options, nano.WithTrustedProxies(c.proxies...))
	}
	return options, nil
}

// maxPacket is how large a client's message may be: the longest text in the longest characters, and
// what is around it.
const maxPacket = 64 << 10

// newServer serves HTTP/1.1, and HTTP/2 without TLS, as gates do.
func newServer(h http.Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: h, Protocols: &protocols, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
}

// handshakeTime bounds what a handshake waits for: the keys of the operator, the store.
const handshakeTime = 5 * time.Second

// handshake signs a session in: by the token in its payload, or by the cookie of the page that
// opens it.
func handshake(people *accounts.Accounts, g *gate.Gate) func(*session.Session, *nano.Handshake) error {
	return func(s *session.Session, h *nano.Handshake) error {
		came := time.Now()
		var hello struct {
			User struct {
				Platform string `json:"platform"`
				Token    string `json:"token"`
			} `json:"user"`
		}
		if err := json.Unmarshal(h.Payload, &hello); err != nil {
			return nano.Refuse(protocol.RefuseCode, "the handshake is no JSON")
		}
		var u store.User
		err := accounts.ErrSignedOut
		ctx, cancel := context.WithTimeout(context.Background(), handshakeTime)
		defer cancel()
		if err := people.Wait(ctx); err != nil {
			return nano.Refuse(protocol.AwayCode, "the messenger has just been started; connect again")
		}
		token := hello.User.Token
		if token == "" && h.Request != nil {
			token = accounts.TokenOf(h.Request)
		}
		if token != "" {
			u, err = people.ByToken(ctx, token)
		}
		switch {
		case errors.Is(err, accounts.ErrSignedOut):
			return nano.Refuse(protocol.RefuseCode, "sign in first")
		case err != nil:
			return nano.Refuse(protocol.AwayCode, "the messenger cannot sign you in right now; connect again")
		}
		platform, err := g.Welcome(s, u, hello.User.Platform, accounts.TokenID(token), came)
		h.User = map[string]string{"id": u.ID, "name": u.Name, "platform": platform}
		return err
	}
}

// revocations are the tokens whose users have signed out, which the backend keeps.
type revocations struct{ backend gate.Backend }

// Revoke has a token be good for nothing any more.
func (r *revocations) Revoke(ctx context.Context, tokenID string, expires time.Time) error {
	return r.backend.Call(ctx, tokenID, "revoke", &protocol.TokenRequest{ID: tokenID, Expires: expires.UnixMilli()}, &protocol.Empty{})
}

// Revoked reports whether a token was revoked.
func (r *revocations) Revoked(ctx context.Context, tokenID string) (bool, error) {
	reply := &protocol.TokenReply{}
	err := r.backend.Call(ctx, tokenID, "revoked", &protocol.TokenRequest{ID: tokenID}, reply)
	return reply.Revoked, err
}

// albums keep pictures where the backend does.
type albums struct{ backend gate.Backend }

// Put stores a picture.
func (a *albums) Put(ctx context.Context, u store.User, channel string, p store.Picture, data, thumb []byte) error {
	req := &protocol.PutPictureRequest{Channel: channel, Picture: p, Data: data, Thumb: thumb}
	req.SetBy(u)
	return inward(a.backend.Call(ctx, channel, "putpicture", req, &protocol.Empty{}))
}

// Get returns a picture.
func (a *albums) Get(ctx context.Context, u store.User, id string, thumb bool) (store.Picture, []byte, error) {
	req := &protocol.GetPictureRequest{ID: id, Thumb: thumb}
	req.SetBy(u)
	reply := &protocol.GetPictureReply{}
	err := inward(a.backend.Call(ctx, u.ID, "getpicture", req, reply))
	return reply.Picture, reply.Data, err
}

// inward returns the store's error for one that clients get.
func inward(err error) error {
	var told *nano.Error
	if errors.As(err, &told) && told.Code == component.CodeNotFound {
		return store.ErrNotFound
	}
	return err
}

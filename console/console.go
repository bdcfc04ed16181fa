// Package console is a page, and the same as JSON, for the people who run nodes: which nodes there
// are and how they are linked, who is on, what is slow, what the log says. It kicks a session,
// sends a push, and drains a node. It shows the whole cluster from any node, because it asks the
// others over the links between nodes; only the node that serves the page needs a console.
//
//	pages := http.NewServeMux()
//	app := nano.New(addr, nano.WithHTTPHandler(pages))
//	pages.Handle("/console/", http.StripPrefix("/console", console.New(app, console.Config{
//		Token: os.Getenv("NANO_CONSOLE_TOKEN"),
//	})))
//
// Nobody gets in without the token: people type it into a form and have a cookie, scripts send it
// as "Authorization: Bearer". Without TLS it can be read on the network, as the cookie can. The
// page asks the nodes once a second while somebody looks at it, and not at all else.
//
// docs/console.md describes the page, each path of the JSON, and what protects it.
package console

import (
	"cmp"
	"log/slog"
	"net/http"
	"sync"

	"github.com/lonng/nano"
)

// MinToken is how long a token has to be, in bytes: nobody can try so many.
const MinToken = 16

// Config says who may use a console.
type Config struct {
	// Token is the secret that people and scripts must know: at least MinToken bytes, such as
	// "openssl rand -hex 16" prints. Nodes whose consoles have the same token take each other's
	// cookies. With a shorter one, or none, the console serves nobody.
	Token string
	// Log gets who came in and who was turned away; nil: slog.Default. What is done to a session or
	// node is in that node's log.
	Log *slog.Logger
}

// Console is an [http.Handler], to be mounted with [http.StripPrefix] under a path of its own. It
// keeps a goroutine only while somebody looks. All methods are safe for concurrent use.
type Console struct {
	log    *slog.Logger
	gate   *gatekeeper // nil: there is no token that would do
	closed string      // why not
	once   sync.Once   // logs that
	mux    *http.ServeMux
	files  map[string]file
	api    *api
}

// New returns the console of an application. The application need not run yet.
func New(app *nano.App, conf Config) *Console {
	c := &Console{log: cmp.Or(conf.Log, slog.Default()), mux: http.NewServeMux(), files: pageFiles()}
	switch {
	case conf.Token == "":
		c.closed = "The console has no token and serves nobody: set console.Config.Token."
	case len(conf.Token) < MinToken:
		c.closed = "The console's token is shorter than 16 bytes, so the console serves nobody: set a longer console.Config.Token."
	default:
		c.gate = newGatekeeper(conf.Token, c.log)
	}
	c.api = &api{app: app, log: c.log, sampler: newSampler(app)}
	for _, e := range c.endpoints(c.api) {
		c.mux.Handle(e.pattern, e.handle)
	}
	return c
}

// endpoint is one path of the console.
type endpoint struct {
	pattern string // of a ServeMux
	handle  http.HandlerFunc
}

// endpoints are all paths behind the token, but for the page's files.
func (c *Console) endpoints(a *api) []endpoint {
	return []endpoint{
		{"POST /logout", c.logout},
		{"GET /api/me", a.me},
		{"GET /api/overview", a.overview},
		{"GET /api/events", a.events},
		{"GET /api/node", a.node},
		{"GET /api/sessions", a.sessions},
		{"GET /api/session", a.session},
		{"GET /api/stack", a.stack},
		{"GET /api/log", a.logLines},
		{"GET /api/describe", a.describe},
		{"POST /api/kick", a.kick},
		{"POST /api/close", a.close},
		{"POST /api/push", a.push},
		{"POST /api/drain", a.drain},
		{"POST /api/encode", a.encode},
		{"POST /api/decode", a.decode},
		{"GET /", c.page},
	}
}

// ServeHTTP serves the page and the JSON to those who may have it, and to others a form for the
// token.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	if c.gate == nil {
		c.once.Do(func() { c.log.Error("console serves nobody: it has no token of 16 bytes or more") })
		http.Error(w, c.closed, http.StatusForbidden)
		return
	}
	if c.outside(w, r) {
		return
	}
	who, ok := c.gate.admit(w, r)
	if !ok {
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && !who.may(r) {
		fail(w, http.StatusForbidden, "permission_denied", "a change needs the header X-CSRF-Token with what api/me says, or the token as a bearer")
		return
	}
	c.mux.ServeHTTP(w, r.WithContext(with(r.Context(), who)))
}

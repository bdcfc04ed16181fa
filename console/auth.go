package console

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	cookieName = "nano_console"
	loginTime  = 12 * time.Hour // after which people type the token again

	triesAtOnce = 5                // wrong tokens of one address, before it has to wait
	tryAgain    = 10 * time.Second // for each after that
	maxTriers   = 1024             // addresses that are told apart
)

// gatekeeper knows the token. Nothing is kept of those who came in: their cookie says it, signed
// with a key that is made of the token. So a cookie holds on every node with the same token and
// through restarts, and a new token ends all of them.
type gatekeeper struct {
	token [sha256.Size]byte // hashes are compared, which have one length
	key   []byte
	log   *slog.Logger

	mu      sync.Mutex
	triers  map[netip.Prefix]time.Time // until when the tries of an address count: see wrong
	logged  time.Time                  // when a wrong token was logged last
	unsaid  int                        // wrong tokens since then
	nowFunc func() time.Time
}

func newGatekeeper(token string, log *slog.Logger) *gatekeeper {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte("nano console cookie"))
	return &gatekeeper{
		token: sha256.Sum256([]byte(token)), key: mac.Sum(nil), log: log,
		triers: make(map[netip.Prefix]time.Time), nowFunc: time.Now,
	}
}

// visitor is somebody who was let in.
type visitor struct {
	cookie string // "": by bearer
	csrf   string
}

type visitorKey struct{}

func with(ctx context.Context, v visitor) context.Context {
	return context.WithValue(ctx, visitorKey{}, v)
}

func visitorOf(r *http.Request) visitor {
	v, _ := r.Context().Value(visitorKey{}).(visitor)
	return v
}

// may tells whether a visitor's request may change something: another page can make a browser send
// the cookie, but not a header that it does not know.
func (v visitor) may(r *http.Request) bool {
	if v.cookie == "" {
		return true
	}
	return subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Csrf-Token")), []byte(v.csrf)) == 1
}

// knows tells whether a token is the right one, in a time that says nothing of it.
func (g *gatekeeper) knows(token string) bool {
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1
}

// admit lets a request in, or answers it.
func (g *gatekeeper) admit(w http.ResponseWriter, r *http.Request) (v visitor, ok bool) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		// The right token comes in whatever others at its address have tried, as behind one proxy.
		if g.knows(strings.TrimSpace(token)) && strings.EqualFold(scheme, "Bearer") {
			return visitor{}, true
		}
		if wait := g.wrong(r); wait > 0 {
			tooMany(w, wait)
			return v, false
		}
	} else if c, err := r.Cookie(cookieName); err == nil && g.valid(c.Value) {
		return visitor{cookie: c.Value, csrf: g.sign("csrf " + c.Value)}, true
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="nano console"`)
	fail(w, http.StatusUnauthorized, "unauthenticated", "the console needs its token: sign in at its page, or send Authorization: Bearer")
	return v, false
}

// newCookie makes a cookie for somebody who knows the token.
func (g *gatekeeper) newCookie(r *http.Request) *http.Cookie {
	b := binary.BigEndian.AppendUint64(nil, uint64(g.nowFunc().Add(loginTime).Unix())) // a time of this century
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails
	body := base64.RawURLEncoding.EncodeToString(append(b, nonce...))
	return &http.Cookie{ //nolint:gosec // Secure would lose the cookie where the console is not behind TLS
		Name: cookieName, Value: body + "." + g.sign(body), MaxAge: int(loginTime / time.Second),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: overTLS(r),
	}
}

// overTLS tells whether the browser has reached the console by TLS. A proxy that ends it says so;
// who forges that takes the cookie from themselves.
func overTLS(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}

// valid tells whether a cookie is one of newCookie's, and not over.
func (g *gatekeeper) valid(value string) bool {
	body, mac, ok := strings.Cut(value, ".")
	if !ok || subtle.ConstantTimeCompare([]byte(mac), []byte(g.sign(body))) != 1 {
		return false
	}
	b, err := base64.RawURLEncoding.DecodeString(body)
	return err == nil && len(b) > 8 && uint64(g.nowFunc().Unix()) < binary.BigEndian.Uint64(b) // a time of this century
}

func (g *gatekeeper) sign(text string) string {
	mac := hmac.New(sha256.New, g.key)
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// addressOf is what tells who tries: an address, of IPv6 the network that one household has.
func addressOf(r *http.Request) netip.Prefix {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{} // a Unix socket: all are one
	}
	bits := 64
	if a = a.Unmap(); a.Is4() {
		bits = 32
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}

// wrong counts a wrong token: each moves the time of its address on by tryAgain, until that has to
// wait. It returns how long. The log has a line a second at most.
func (g *gatekeeper) wrong(r *http.Request) (wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, from := g.nowFunc(), addressOf(r)
	until, known := g.triers[from]
	if wait = until.Sub(now) - (triesAtOnce-1)*tryAgain; known && wait > 0 {
		return wait
	}
	if until.Before(now) {
		until = now
	}
	if !known && len(g.triers) >= maxTriers {
		g.forgetLocked(now)
	}
	g.triers[from] = until.Add(tryAgain)
	g.unsaid++
	if now.Sub(g.logged) >= time.Second {
		g.log.Warn("console turned away a wrong token", "remote", r.RemoteAddr, "times", g.unsaid)
		g.logged, g.unsaid = now, 0
	}
	return 0
}

// forgetLocked makes room for an address: it drops those that need not wait any more, and else the
// one that may try again first.
func (g *gatekeeper) forgetLocked(now time.Time) {
	var first netip.Prefix
	var at time.Time
	for a, until := range g.triers {
		switch {
		case until.Before(now):
			delete(g.triers, a)
		case at.IsZero() || until.Before(at):
			first, at = a, until
		}
	}
	if len(g.triers) >= maxTriers {
		delete(g.triers, first)
	}
}

// outside serves what those may have who are not in yet: the form, its style, its picture, and the
// answer to the form. It reports whether the request was for that.
func (c *Console) outside(w http.ResponseWriter, r *http.Request) bool {
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case get && (r.URL.Path == "/base.css" || r.URL.Path == "/login.css" || r.URL.Path == "/icon.svg"):
		c.file(w, r, r.URL.Path)
	case get && r.URL.Path == "/login":
		c.loginPage(w, r, http.StatusOK, "")
	case get && (r.URL.Path == "/" || r.URL.Path == "") && r.Header.Get("Authorization") == "":
		if k, err := r.Cookie(cookieName); err == nil && c.gate.valid(k.Value) {
			return false
		}
		c.loginPage(w, r, http.StatusUnauthorized, "")
	case r.Method == http.MethodPost && r.URL.Path == "/login":
		c.login(w, r)
	default:
		return false
	}
	return true
}

// login takes the form.
func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		fail(w, http.StatusForbidden, "permission_denied", "the form was sent by another site's page")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	if !c.gate.knows(strings.TrimSpace(r.PostFormValue("token"))) {
		if wait := c.gate.wrong(r); wait > 0 {
			retryAfter(w, wait)
			c.loginPage(w, r, http.StatusTooManyRequests, "Too many wrong tokens came from your address. Wait ten seconds.")
			return
		}
		c.loginPage(w, r, http.StatusUnauthorized, "This is not the token.")
		return
	}
	c.log.Info("console sign-in", "remote", r.RemoteAddr)
	http.SetCookie(w, c.gate.newCookie(r))
	seeOther(w, "./")
}

// logout takes the cookie from the browser.
func (c *Console) logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: cookieName, MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: overTLS(r)}) //nolint:gosec // as in newCookie
	answer(w, map[string]bool{"ok": true})
}

// seeOther leads to a path beside the present one. http.Redirect would make it one of the path
// without the prefix under which the console is mounted.
func seeOther(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

package console

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

const token = "correct horse battery staple"

// start runs a node in memory with a console.
func start(t *testing.T, conf Config) (*nano.App, *Console) {
	t.Helper()
	cs := new(component.Components)
	component.HandleRaw(cs, "Room.Say", func(_ context.Context, s *session.Session, data []byte) error { return s.Response(data) })
	quiet := slog.New(slog.DiscardHandler)
	if conf.Log == nil {
		conf.Log = quiet
	}
	app := nano.New("", nano.WithComponents(cs), nano.WithSlog(quiet), nano.WithLabel("one"))
	c := New(app, conf)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return app, c
}

// call sends one request. header has pairs of keys and values.
func call(c *Console, method, path, body string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		switch header[i] {
		case "remote":
			r.RemoteAddr = header[i+1]
		case "tls":
			r.TLS = new(tls.ConnectionState)
		default:
			r.Header.Set(header[i], header[i+1])
		}
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Whatever a stranger asks for, by whatever method and with whatever they make up, they get the
// form, its looks, or a refusal.
func TestNobodyGetsInWithoutTheToken(t *testing.T) {
	_, c := start(t, Config{Token: token})
	other := newGatekeeper("another token of sixteen", c.log)
	expired := newGatekeeper(token, c.log)
	expired.nowFunc = func() time.Time { return time.Now().Add(-loginTime - time.Second) }
	plain := httptest.NewRequest(http.MethodGet, "/", nil)
	paths := []string{"/", "", "/login", "/login.html", "/api", "/api/", "/api/me/", "//api/me", "/../api/me", "/no", "/page/index.html", "/%2e%2e/api/me", "/API/ME"}
	for _, e := range c.endpoints(c.api) {
		_, path, _ := strings.Cut(e.pattern, " ")
		paths = append(paths, path, path+"?token="+url.QueryEscape(token))
	}
	paths = append(paths, slices.Collect(maps.Keys(c.files))...)
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PROPFIND"}
	credentials := map[string][]string{
		"none":             nil,
		"wrong bearer":     {"Authorization", "Bearer " + token + "x"},
		"empty bearer":     {"Authorization", "Bearer "},
		"another scheme":   {"Authorization", "Basic " + token},
		"empty cookie":     {"Cookie", cookieName + "="},
		"made up cookie":   {"Cookie", cookieName + "=" + token},
		"foreign cookie":   {"Cookie", cookieName + "=" + other.newCookie(plain).Value},
		"old cookie":       {"Cookie", cookieName + "=" + expired.newCookie(plain).Value},
		"csrf alone":       {"X-CSRF-Token", "x"},
		"unsigned cookie":  {"Cookie", cookieName + "=" + strings.Split(c.gate.newCookie(plain).Value, ".")[0] + "."},
		"changed cookie":   {"Cookie", cookieName + "=A" + c.gate.newCookie(plain).Value},
		"token as a query": {"X-Nothing", "x"},
	}
	open := []string{"/base.css", "/login.css", "/icon.svg"}
	n := 0
	for name, header := range credentials {
		for _, path := range paths {
			for _, method := range methods {
				n++
				if method == "CONNECT" || path == "" || strings.HasPrefix(path, "//") { // httptest makes no such request
					continue
				}
				resp := call(c, method, path, "token=wrong", append(header, "Content-Type", "application/x-www-form-urlencoded", "remote", fmt.Sprintf("10.%d.%d.%d:1", n>>16, n>>8&255, n&255))...)
				get := method == "GET" || method == "HEAD"
				at, _, _ := strings.Cut(path, "?")
				want := http.StatusUnauthorized
				if get && (slices.Contains(open, at) || at == "/login") {
					want = http.StatusOK
				}
				body := text(t, resp)
				if resp.StatusCode != want {
					t.Errorf("%s: %s %s: %d %.80q", name, method, path, resp.StatusCode, body)
				}
				if want == http.StatusUnauthorized && body != "" && !strings.Contains(body, `"unauthenticated"`) && !strings.Contains(body, `type="password"`) {
					t.Errorf("%s: %s %s says %.80q", name, method, path, body)
				}
				if len(resp.Cookies()) > 0 || resp.Header.Get("Content-Security-Policy") != policy {
					t.Errorf("%s: %s %s has the headers %v", name, method, path, resp.Header)
				}
			}
		}
	}
}

// Somebody forgot the token, or left a short one in: nobody gets in, and they are told why.
func TestConsoleWithoutATokenServesNobody(t *testing.T) {
	for _, weak := range []string{"", "short"} {
		var lines bytes.Buffer
		_, c := start(t, Config{Token: weak, Log: slog.New(slog.NewTextHandler(&lines, nil))})
		for _, path := range []string{"/", "/login", "/api/me", "/base.css", "/api/kick"} {
			for _, method := range []string{"GET", "POST"} {
				resp := call(c, method, path, "token="+weak, "Authorization", "Bearer "+weak)
				if body := text(t, resp); resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "serves nobody") {
					t.Errorf("token %q: %s %s: %d %q", weak, method, path, resp.StatusCode, body)
				}
			}
		}
		if n := strings.Count(lines.String(), "console serves nobody"); n != 1 {
			t.Errorf("token %q: the log says it %d times: %s", weak, n, lines.String())
		}
	}
}

// signIn sends the form.
func signIn(c *Console, with string, header ...string) *http.Response {
	return call(c, "POST", "/login", url.Values{"token": {with}}.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
}

// Who types the token has a cookie that no script and no other site gets at. A change needs more
// than the cookie, which a browser may be made to send.
func TestSignIn(t *testing.T) {
	_, c := start(t, Config{Token: token})
	resp := signIn(c, "wrong", "remote", "10.0.0.9:1")
	if body := text(t, resp); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(body, "This is not the token.") {
		t.Errorf("a wrong token: %d %s", resp.StatusCode, body)
	}
	if resp = signIn(c, token, "Sec-Fetch-Site", "cross-site"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("another site's form: %d", resp.StatusCode)
	}
	for _, secure := range []bool{false, true} {
		header := []string{"X-A", "b"}
		if secure {
			header = []string{"tls", ""}
		}
		resp = signIn(c, token, header...)
		if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "./" || len(resp.Cookies()) != 1 {
			t.Fatalf("the token: %d %v", resp.StatusCode, resp.Header)
		}
		k := resp.Cookies()[0]
		if !k.HttpOnly || k.SameSite != http.SameSiteStrictMode || k.Secure != secure || k.MaxAge <= 0 || strings.Contains(k.Value, token) {
			t.Errorf("secure %t: the cookie is %v", secure, k)
		}
	}
	cookie := []string{"Cookie", cookieName + "=" + resp.Cookies()[0].Value}
	if resp = call(c, "GET", "/", "", cookie...); resp.StatusCode != http.StatusOK || !strings.Contains(text(t, resp), `id="nav"`) {
		t.Errorf("the page: %d", resp.StatusCode)
	}
	me := text(t, call(c, "GET", "/api/me", "", cookie...))
	csrf := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(me), `{"csrf":"`), `"}`)
	if len(csrf) < 32 {
		t.Fatalf("api/me says %s", me)
	}
	kick := `{"node":"","id":"7","reason":"x"}`
	for name, row := range map[string]struct {
		header []string
		want   int
	}{
		"the cookie alone":        {cookie, http.StatusForbidden},
		"a made up CSRF token":    {append(cookie, "X-CSRF-Token", csrf+"x"), http.StatusForbidden},
		"the CSRF token":          {append(cookie, "X-CSRF-Token", csrf), http.StatusNotFound}, // there is no session 7
		"a bearer":                {[]string{"Authorization", "Bearer " + token}, http.StatusNotFound},
		"a bearer in lower case":  {[]string{"Authorization", "bearer " + token}, http.StatusNotFound},
		"the CSRF token alone":    {[]string{"X-CSRF-Token", csrf}, http.StatusUnauthorized},
		"another's CSRF token":    {append(cookie, "X-CSRF-Token", c.gate.sign("csrf another")), http.StatusForbidden},
		"a wrong bearer, and all": {append(cookie, "X-CSRF-Token", csrf, "Authorization", "Bearer no", "remote", "10.0.0.8:1"), http.StatusUnauthorized},
	} {
		if resp = call(c, "POST", "/api/kick", kick, row.header...); resp.StatusCode != row.want {
			t.Errorf("a kick with %s: %d %s", name, resp.StatusCode, text(t, resp))
		}
	}
	resp = call(c, "POST", "/logout", "", append(cookie, "X-CSRF-Token", csrf)...)
	if k := resp.Cookies(); resp.StatusCode != http.StatusOK || len(k) != 1 || k[0].MaxAge >= 0 {
		t.Errorf("the sign-out: %d %v", resp.StatusCode, resp.Header)
	}
}

// Whoever guesses is told to wait, and keeps nobody out who knows the token: not at the same
// address either, which is that of all behind one proxy.
func TestWrongTokensAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Console{log: slog.New(slog.DiscardHandler), files: pageFiles()}
		c.gate = newGatekeeper(token, c.log)
		bad, good := []string{"remote", "10.0.0.1:5", "Authorization", "Bearer guess"}, []string{"remote", "10.0.0.1:6", "Authorization", "Bearer " + token}
		enter := func(header []string) int {
			r := httptest.NewRequest(http.MethodGet, "/api/me", nil)
			r.RemoteAddr = header[1]
			r.Header.Set(header[2], header[3])
			w := httptest.NewRecorder()
			if _, ok := c.gate.admit(w, r); ok {
				return http.StatusOK
			}
			return w.Code
		}
		for i := range triesAtOnce {
			if got := enter(bad); got != http.StatusUnauthorized {
				t.Fatalf("try %d: %d", i, got)
			}
		}
		for range 3 {
			if got := enter(bad); got != http.StatusTooManyRequests {
				t.Errorf("one try too many: %d", got)
			}
		}
		if got := enter(good); got != http.StatusOK {
			t.Errorf("the right token among guesses: %d", got)
		}
		if got := enter(bad); got != http.StatusTooManyRequests {
			t.Errorf("a guess after the right token: %d", got)
		}
		if resp := signIn(c, "guess", "remote", "10.0.0.1:7"); resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
			t.Errorf("a guess in the form: %d", resp.StatusCode)
		}
		if resp := signIn(c, token, "remote", "10.0.0.1:7"); resp.StatusCode != http.StatusSeeOther || len(resp.Cookies()) != 1 {
			t.Errorf("the right token in the form, among guesses: %d", resp.StatusCode)
		}
		if got := enter([]string{"remote", "10.0.0.2:5", "Authorization", "Bearer " + token}); got != http.StatusOK {
			t.Errorf("another address: %d", got)
		}
		time.Sleep(tryAgain + time.Second)
		if got := enter(bad); got != http.StatusUnauthorized {
			t.Errorf("a guess later: %d", got)
		}
		for i := range 3 * maxTriers {
			enter([]string{"remote", fmt.Sprintf("10.1.%d.%d:5", i>>8, i&255), "Authorization", "Bearer guess"})
		}
		for i := range 20 { // one household's addresses are one
			enter([]string{"remote", fmt.Sprintf("[2001:db8::%x]:5", i), "Authorization", "Bearer guess"})
		}
		if n := len(c.gate.triers); n > maxTriers {
			t.Errorf("%d addresses are remembered", n)
		}
		if got := enter([]string{"remote", "[2001:db8::ffff]:5", "Authorization", "Bearer guess"}); got != http.StatusTooManyRequests {
			t.Errorf("a neighbour of who guesses: %d", got)
		}
	})
}

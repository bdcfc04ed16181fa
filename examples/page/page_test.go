package page

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

// A page without its client, or served with somebody else's looks, is a blank page.
func TestOwnFilesAndSharedOnes(t *testing.T) {
	own := fstest.MapFS{
		"web/index.html": {Data: []byte("<p>mine</p>")},
		"web/icon.svg":   {Data: []byte("<svg>mine</svg>")},
		"secret.txt":     {Data: []byte("not a page")},
	}
	h, err := Handler(own, "web")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path string
		status       int
		holds, kind  string
	}{
		{"GET", "/", 200, "mine", "text/html; charset=utf-8"},
		{"GET", "/nano-websocket-client.js", 200, "var Connection", "text/javascript; charset=utf-8"},
		{"GET", "/base.css", 200, "--accent", "text/css; charset=utf-8"},
		{"GET", "/icon.svg", 200, "mine", "image/svg+xml"},
		{"HEAD", "/dom.js", 200, "", "text/javascript; charset=utf-8"},
		{"GET", "/secret.txt", 404, "", ""},
		{"GET", "/../secret.txt", 404, "", ""},
		{"POST", "/", 405, "", ""},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), c.method, "http://example.com"+c.path, http.NoBody))
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.holds) {
				t.Errorf("got %d %.60q, want %d with %q", w.Code, w.Body, c.status, c.holds)
			}
			if kind := w.Header().Get("Content-Type"); c.kind != "" && kind != c.kind {
				t.Errorf("Content-Type is %q, want %q", kind, c.kind)
			}
			if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'self'") {
				t.Errorf("Content-Security-Policy is %q", csp)
			}
		})
	}
}

// Somebody who types the address into a phone must get the page, so what only this machine can
// reach is none.
func TestNearby(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1:3250":     "",
		"[::1]:3250":         "",
		"169.254.3.4:3250":   "",
		"192.168.1.5:3250":   "192.168.1.5:3250",
		"[2001:db8::7]:3250": "[2001:db8::7]:3250",
	} {
		a, err := net.ResolveTCPAddr("tcp", in)
		if err != nil {
			t.Fatal(err)
		}
		if got := Nearby(a); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}

	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near := Nearby(l.Addr())
	if outward() == nil {
		if near != "" {
			t.Errorf("this machine is in no network, and is reached there at %q", near)
		}
		return
	}
	c, err := net.Dial("tcp", near)
	if err != nil {
		t.Fatalf("nobody listens where a phone is sent: %v", err)
	}
	c.Close()
}

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1:3250": "127.0.0.1:3250",
		"0.0.0.0:80":     "localhost:80",
		"[::]:3250":      "localhost:3250",
		"[::1]:3250":     "[::1]:3250",
	} {
		a, err := net.ResolveTCPAddr("tcp", in)
		if err != nil {
			t.Fatal(err)
		}
		if got := Address(a); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

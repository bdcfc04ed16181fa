package node_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/test/internal/apptest"
)

// setPage has http.DefaultServeMux answer path with body, as programs of v0.5 do; it can be run
// again.
func setPage(path, body string) {
	if _, pattern := http.DefaultServeMux.Handler(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}}); pattern == path {
		return
	}
	http.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
}

// get returns a page of the node at addr.
func get(t *testing.T, l *nanotest.Listener, addr net.Addr, path string) (int, string) {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		if l != nil {
			return l.Dial()
		}
		return net.Dial("tcp", addr.String())
	}}
	resp, err := (&http.Client{Transport: tr, Timeout: nanotest.Patience}).Get("http://game.example.com" + path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if _ = resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// Programs of v0.5 put their pages on http.DefaultServeMux, beside the WebSocket; New serves
// nothing that it was not told to.
func TestPagesOfTheDefaultMux(t *testing.T) {
	setPage("/nano-test-page", "from the default mux")
	t.Run("options of v0.5", func(t *testing.T) {
		nanotest.Leaks(t)
		h := &Hostile{}
		app := nano.New("127.0.0.1:0", nano.WithProcessDefaults(), nano.WithIsWebsocket(true), nano.WithWSPath("/nano"),
			nano.WithComponents(h.comps()), nano.WithSerializer(json.NewSerializer()))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if status, body := get(t, nil, app.Addr(), "/nano-test-page"); status != 200 || body != "from the default mux" {
			t.Errorf("the page: %d %q", status, body)
		}
		nc, err := net.Dial("tcp", app.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c, err := nanotest.Upgrade(t, nc, "/nano", nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Ready()
		alive(t, c)
		c.Close()
		(&apptest.Node{App: app}).Stop(t)
	})
	t.Run("Listen", func(t *testing.T) {
		nanotest.Leaks(t)
		h := &Hostile{}
		l := nanotest.NewListener()
		logger, _ := nanotest.NewLog()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			nano.Listen("", nano.WithEndpoint(nano.Endpoint{Listener: l, WebSocket: true}), nano.WithSlog(logger),
				nano.WithComponents(h.comps()), nano.WithSerializer(json.NewSerializer()), nano.WithHeartbeatInterval(time.Minute))
		}()
		c := l.WebSocket(t)
		c.Ready()
		alive(t, c)
		if status, body := get(t, l, nil, "/nano-test-page"); status != 200 || body != "from the default mux" {
			t.Errorf("the page: %d %q", status, body)
		}
		nano.Shutdown()
		if got := c.Kicked(); got == "" {
			t.Error("kicked without a reason")
		}
		c.Ended()
		<-ended
	})
	t.Run("New", func(t *testing.T) {
		nanotest.Leaks(t)
		h := &Hostile{}
		n := apptest.Start(t, h.comps())
		if status, body := get(t, n.WS, nil, "/nano-test-page"); status != http.StatusUpgradeRequired { // every path is the WebSocket's
			t.Errorf("the page: %d %q", status, body)
		}
	})
}

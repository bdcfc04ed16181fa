package accounts_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lonng/nano/examples/im/accounts"
	"github.com/lonng/nano/examples/im/pictures"
	"github.com/lonng/nano/examples/im/store"
)

// A client reads errors in one form, also those of paths and methods that there are not.
func TestErrorsHaveOneForm(t *testing.T) {
	a := accounts.New(accounts.Config{Names: true})
	p := pictures.New(a, nil, nil)
	for _, c := range []struct {
		handler      http.Handler
		method, path string
		status       int
		code, allow  string
	}{
		{a.Handler(), "GET", "/auth/none", 404, "not_found", ""},
		{a.Handler(), "GET", "/auth/", 404, "not_found", ""},
		{a.Handler(), "GET", "/auth/name", 405, "method_not_allowed", "POST"},
		{a.Handler(), "POST", "/auth/name", 415, "invalid_argument", ""},
		{p, "GET", "/pictures", 405, "method_not_allowed", "POST"},
		{p, "POST", "/pictures/1", 405, "method_not_allowed", "GET, HEAD"},
		{p, "GET", "/pictures/1/small", 404, "not_found", ""},
		{p, "GET", "/pictures/1", 401, "unauthenticated", ""},
	} {
		w := httptest.NewRecorder()
		c.handler.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		var reply struct {
			Error struct{ Code, Message string }
		}
		err := json.Unmarshal(w.Body.Bytes(), &reply)
		if err != nil || w.Code != c.status || reply.Error.Code != c.code || reply.Error.Message == "" ||
			w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Allow") != c.allow {
			t.Errorf("%s %s: %d %v %s", c.method, c.path, w.Code, w.Header(), w.Body)
		}
	}
}

// Strangers whose sign-in elsewhere fails all the time do not keep out of the log that the store is
// away, and do not fill it.
func TestOneFaultHidesNoOtherInTheLog(t *testing.T) {
	var log bytes.Buffer
	was := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(was) })
	synctest.Test(t, func(t *testing.T) {
		h := accounts.New(accounts.Config{
			Secret: []byte("0123456789abcdef0123456789abcdef"), Names: true, Providers: map[string]accounts.Provider{"oidc": nil},
			Enter: func(context.Context, store.User) error { return errors.New("the store is away") },
		}).Handler()
		for range 5 {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/auth/oidc/callback", nil))
			r := httptest.NewRequest(http.MethodPost, "/auth/name", strings.NewReader(`{"name":"Ann"}`))
			r.Header.Set("Content-Type", "application/json")
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
	})
	for _, want := range []string{"sign in elsewhere failed", "the store is away"} {
		if n := strings.Count(log.String(), want); n != 1 {
			t.Errorf("%q is logged %d times", want, n)
		}
	}
}

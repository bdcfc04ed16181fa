package accounts

import (
	"encoding/json"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
)

// maxBody is how large a request to sign in may be.
const maxBody = 16 << 10

// Body reads a request's JSON body into v. If it cannot, it answers, and reports false.
func Body(w http.ResponseWriter, r *http.Request, v any) bool {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		Fail(w, http.StatusUnsupportedMediaType, "invalid_argument", "the body must be application/json")
		return false
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		Fail(w, http.StatusRequestEntityTooLarge, "invalid_argument", "the body is too large")
		return false
	}
	if err := json.Unmarshal(b, v); err != nil {
		Fail(w, http.StatusBadRequest, "invalid_argument", "the body is no JSON of this request")
		return false
	}
	return true
}

// Answer answers a request with JSON.
func Answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		slog.Debug("answer", "err", err) // the client is gone
	}
}

// Fail answers a request with an error in the one form that errors have.
func Fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	Answer(w, map[string]any{"error": map[string]string{"code": code, "message": message}})
}

// Serve serves what mux has. A path or a method that it has not is answered with an error in that
// form, too.
func Serve(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	h, pattern := mux.Handler(r)
	if pattern != "" {
		mux.ServeHTTP(w, r) // and not h, which would have no values of the path
		return
	}
	h.ServeHTTP(&muted{w}, r) // for its header Allow
	if w.Header().Get("Allow") != "" {
		Fail(w, http.StatusMethodNotAllowed, "method_not_allowed", "this path has other methods: see Allow")
		return
	}
	Fail(w, http.StatusNotFound, "not_found", "there is no such path")
}

// muted takes the header of an answer, and nothing else of it.
type muted struct{ http.ResponseWriter }

// WriteHeader does nothing.
func (*muted) WriteHeader(int) {}

// Write does nothing.
func (*muted) Write(b []byte) (int, error) { return len(b), nil }

// message returns what a client may read of an error.
func message(err error) string {
	_, text, found := strings.Cut(err.Error(), ": ")
	if !found {
		return err.Error()
	}
	return text
}

// Package pushapi is the HTTP interface for the operator's other systems: they push to users, ask
// who is online, make channels and post in them. openapi.json describes it, and a test compares the
// two.
package pushapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/accounts"
	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/online"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/rules"
)

// document is the description that GET /api/v1/openapi.json gives.
//
//go:embed openapi.json
var document []byte

// Limits of the interface.
const (
	maxBody     = 8 << 20 // bytes of a request
	maxUsers    = 200_000 // of one push
	maxChannels = 100     // of one push
	maxData     = 60 << 10
	maxKeep     = 366 * 24 * time.Hour
	maxKeyID    = 128 // bytes of an idempotency key
	maxPage     = 1000
	defaultPage = 100

	requestBurst, requestEvery = 2000, time.Millisecond
)

// Backend runs functions of the nodes that have the channels, on this node or on others. key says
// which node.
type Backend interface {
	Call(ctx context.Context, key, name string, req, resp any) error
}

// Config is what a server needs.
type Config struct {
	Keys    []string // none: nobody may use the interface
	Backend Backend
	Online  *online.Registry
	Emit    func(*protocol.Event)     // tells all gates
	Viewers func(channel string) int  // how many watch a live room
	Node    func(context.Context) any // this node's figures
}

// Server serves /api/v1/. Its methods may be called from any goroutine.
type Server struct {
	conf Config
	keys [][32]byte
	mux  *http.ServeMux

	mu      sync.Mutex
	buckets map[[32]byte]*rules.Bucket // by key
}

// New returns a server.
func New(conf Config) *Server {
	s := &Server{conf: conf, mux: http.NewServeMux(), buckets: make(map[[32]byte]*rules.Bucket)}
	for _, k := range conf.Keys {
		if k != "" {
			s.keys = append(s.keys, sha256.Sum256([]byte(k)))
		}
	}
	s.mux.HandleFunc("GET /api/v1/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document) // the client is gone
	})
	for pattern, h := range s.routes() {
		s.mux.Handle(pattern, s.guard(h))
	}
	return s
}

// handler answers a request with a value, which becomes JSON, or with an error.
type handler func(r *http.Request) (any, error)

func (s *Server) routes() map[string]handler {
	return map[string]handler{
		"POST /api/v1/push":                           s.push,
		"GET /api/v1/online":                          s.online,
		"GET /api/v1/users/{id}/presence":             s.presence,
		"POST /api/v1/users/{id}/kick":                s.kick,
		"POST /api/v1/channels":                       s.makeChannel,
		"GET /api/v1/channels":                        s.listChannels,
		"GET /api/v1/channels/{id}":                   s.channel,
		"GET /api/v1/channels/{id}/members":           s.members,
		"POST /api/v1/channels/{id}/members":          s.admit,
		"DELETE /api/v1/channels/{id}/members/{user}": s.expel,
		"GET /api/v1/channels/{id}/messages":          s.history,
		"POST /api/v1/channels/{id}/messages":         s.post,
		"GET /api/v1/stats":                           s.stats,
	}
}

// ServeHTTP serves the interface.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	h, pattern := s.mux.Handler(r)
	if pattern != "" {
		s.mux.ServeHTTP(w, r) // and not h, which would have no values of the path
		return
	}
	s.guard(func(r *http.Request) (any, error) {
		h.ServeHTTP(&muted{ResponseWriter: w}, r) // for its header Allow
		if w.Header().Get("Allow") != "" {
			return nil, &fault{http.StatusMethodNotAllowed, "method_not_allowed", "this path has other methods: see Allow"}
		}
		return nil, &fault{http.StatusNotFound, component.CodeNotFound, "there is no such path; see /api/v1/openapi.json"}
	}).ServeHTTP(w, r)
}

// muted takes the header of an answer, and nothing else of it.
type muted struct{ http.ResponseWriter }

// WriteHeader does nothing.
func (*muted) WriteHeader(int) {}

// Write does nothing.
func (*muted) Write(b []byte) (int, error) { return len(b), nil }

// fault is an error with its status.
type fault struct {
	status        int
	code, message string
}

// Error returns the message.
func (f *fault) Error() string { return f.message }

// invalid returns the error for a request of a wrong form.
func invalid(message string) error {
	return &fault{http.StatusBadRequest, component.CodeInvalid, message}
}

// Keyed serves h to those who have a key, and not more often than the interface itself.
func (s *Server) Keyed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := s.let(w, r); ok {
			h.ServeHTTP(w, r)
		}
	})
}

// guard answers only those who have a key.
func (s *Server) guard(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, ok := s.let(w, r)
		switch {
		case !ok:
		case r.Method == http.MethodPost:
			s.once(w, r, hex.EncodeToString(key[:8]), h)
		default:
			v, err := h(r)
			answer(w, v, err)
		}
	})
}

// let lets only those in who have a key, and not more often than the limit. It answers the others.
func (s *Server) let(w http.ResponseWriter, r *http.Request) (key [32]byte, ok bool) {
	key, ok = s.key(r)
	switch {
	case !ok:
		w.Header().Set("WWW-Authenticate", `Bearer realm="im"`)
		accounts.Fail(w, http.StatusUnauthorized, component.CodeUnauthenticated, "an API key is needed: Authorization: Bearer KEY")
	case !s.take(key):
		w.Header().Set("Retry-After", "1")
		accounts.Fail(w, http.StatusTooManyRequests, component.CodeExhausted, "too many requests; wait a second")
		ok = false
	}
	return key, ok
}

// key returns the sum of the request's key, if it is one of ours.
func (s *Server) key(r *http.Request) (sum [32]byte, ok bool) {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return sum, false
	}
	sum = sha256.Sum256([]byte(strings.TrimSpace(key)))
	for _, k := range s.keys {
		if subtle.ConstantTimeCompare(k[:], sum[:]) == 1 {
			ok = true
		}
	}
	return sum, ok
}

func (s *Server) take(key [32]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[key]
	if b == nil {
		b = &rules.Bucket{}
		s.buckets[key] = b
	}
	return b.Take(time.Now(), requestBurst, requestEvery)
}

// created is an answer with the status 201.
type created struct{ value any }

// render returns the status and body of an answer.
func render(v any, err error) (int, []byte) {
	status := http.StatusOK
	if c, ok := v.(created); ok {
		status, v = http.StatusCreated, c.value
	}
	if err != nil {
		f := faultOf(err)
		status, v = f.status, map[string]any{"error": map[string]string{"code": f.code, "message": f.message}}
	}
	b, err := json.Marshal(v)
	if err != nil {
		slog.Error("answer not encoded", "err", err)
		return http.StatusInternalServerError, []byte(`{"error":{"code":"internal","message":"the answer cannot be encoded"}}`)
	}
	return status, append(b, '\n')
}

func answer(w http.ResponseWriter, v any, err error) {
	status, body := render(v, err)
	write(w, status, body)
}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // JSON, by its type; an error says that the client is gone
}

// faultOf gives an error its status.
func faultOf(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	var told *nano.Error
	if !errors.As(err, &told) {
		slog.Warn("request of a system failed", "err", err)
		return &fault{http.StatusServiceUnavailable, component.CodeUnavailable, "that does not work right now; try again"}
	}
	statuses := map[string]int{
		component.CodeInvalid: http.StatusBadRequest, component.CodeNotFound: http.StatusNotFound, component.CodeExists: http.StatusConflict,
		component.CodeRefused: http.StatusForbidden, component.CodeExhausted: http.StatusTooManyRequests,
	}
	status, ok := statuses[told.Code]
	if !ok {
		status = http.StatusServiceUnavailable
	}
	return &fault{status, told.Code, told.Message}
}

// once answers a request, and one with the same idempotency key of the same system with the same
// answer.
func (s *Server) once(w http.ResponseWriter, r *http.Request, system string, h handler) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		answer(w, nil, &fault{http.StatusRequestEntityTooLarge, component.CodeInvalid, "the body is larger than 8 MiB, or incomplete"})
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	name := r.Header.Get("Idempotency-Key")
	if name == "" {
		v, err := h(r)
		answer(w, v, err)
		return
	}
	if len(name) > maxKeyID || !utf8.ValidString(name) {
		answer(w, nil, invalid("the Idempotency-Key has more than 128 bytes, or is not UTF-8"))
		return
	}
	sum := sha256.Sum256(append([]byte(r.Method+" "+r.URL.Path+"\n"), body...))
	status, text := s.oneOf(w, r, system+":"+name, sum, h)
	write(w, status, text)
}

// oneOf answers one of the requests with an idempotency key. Of those that come at once, at
// whichever nodes, the store lets one through: the others are told that it is being answered.
func (s *Server) oneOf(w http.ResponseWriter, r *http.Request, name string, sum [32]byte, h handler) (status int, text []byte) {
	fresh := freshID()
	body, err := json.Marshal(fresh)
	if err != nil {
		return render(nil, err)
	}
	known := protocol.AnswerRequest{Key: name, Sum: sum, Body: body, Holder: fresh}
	var before protocol.AnswerRequest
	if err := s.conf.Backend.Call(r.Context(), name, "answer", &known, &before); err != nil {
		return render(nil, err)
	}
	switch {
	case before.Sum != sum:
		return render(nil, &fault{http.StatusUnprocessableEntity, "key_reused", "this Idempotency-Key was used for another request"})
	case before.Status != 0:
		w.Header().Set("Idempotency-Replayed", "true")
		return before.Status, before.Body
	case before.Holder != fresh:
		w.Header().Set("Retry-After", "1")
		return render(nil, &fault{http.StatusConflict, "in_progress", "a request with this Idempotency-Key is being answered"})
	}
	var id string // that of the first attempt, if that was not answered
	if err := json.Unmarshal(before.Body, &id); err != nil {
		return render(nil, err)
	}
	ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), idContext{}, id), workTime)
	defer cancel()
	v, err := h(r.WithContext(ctx))
	status, text = render(v, err)
	done := protocol.AnswerRequest{Key: name, Sum: sum, Status: status, Body: text}
	if status >= http.StatusInternalServerError || status == http.StatusTooManyRequests {
		done = protocol.AnswerRequest{Key: name, Holder: fresh, GiveUp: true} // it may be sent again at once
	}
	// Also if the system that has asked is gone: it will ask again.
	if err := s.conf.Backend.Call(context.WithoutCancel(r.Context()), name, "answer", &done, &protocol.AnswerRequest{}); err != nil {
		slog.Warn("answer not remembered", "err", err)
	}
	return status, text
}

// workTime is how long a request with an idempotency key may take: the answer has to be remembered
// before another node may go on with it.
const workTime = channels.RequestTime - 10*time.Second

// idContext is the key of the id in a request's context by which it is done once.
type idContext struct{}

// decode reads a request's JSON body into v. Fields that there are not are an error: a misspelt one
// would do something else than was meant. An empty body is none at all, where that is allowed.
func decode(r *http.Request, v any, optional bool) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return invalid("the body is incomplete")
	}
	if optional && len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if kind := r.Header.Get("Content-Type"); kind != "" {
		// Scripts that name no type, or that of a form as curl does, mean JSON: there is nothing
		// else here.
		if base, _, err := mime.ParseMediaType(kind); err != nil || base != "application/json" && base != "application/x-www-form-urlencoded" {
			return &fault{http.StatusUnsupportedMediaType, component.CodeInvalid, "the body must be application/json"}
		}
	}
	if _, err := strict(body, v); err != nil {
		return invalid("the body is no JSON of this request: " + strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// strict reads a JSON object into v, and returns the names of its fields. A field that there is not
// in v is an error, as one is that is there twice: which of the two was meant?
func strict(b []byte, v any) (map[string]bool, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is something behind it")
	}
	names := make(map[string]bool)
	d = json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("it is no object")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		switch {
		case name != strings.ToLower(name): // to the decoder it is the same
			return nil, fmt.Errorf("unknown field %q", name)
		case names[name]:
			return nil, fmt.Errorf("field %q is there twice", name)
		}
		names[name] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
	}
	return names, nil
}

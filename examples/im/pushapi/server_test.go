package pushapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/online"
	"github.com/lonng/nano/examples/im/protocol"
)

// backend runs functions as a test says, and remembers answers.
type backend struct {
	mu      sync.Mutex
	answers map[string]protocol.AnswerRequest
	done    []string // functions that were called
	fail    error    // of all others
	live    []string // live rooms among the channels of a push
}

func (b *backend) Call(_ context.Context, _, name string, req, resp any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch name {
	case "answer":
		a := req.(*protocol.AnswerRequest)
		if before, ok := b.answers[a.Key]; ok && a.Status == 0 && !a.GiveUp {
			*resp.(*protocol.AnswerRequest) = before
			return nil
		}
		b.answers[a.Key] = *a
		*resp.(*protocol.AnswerRequest) = *a
		return nil
	case "audience":
		*resp.(*protocol.AudienceReply) = protocol.AudienceReply{Live: b.live}
	}
	b.done = append(b.done, name)
	return b.fail
}

// system is another system of the operator.
type system struct {
	*backend
	server *Server
	events []*protocol.Event
}

func newSystem() *system {
	s := &system{backend: &backend{answers: make(map[string]protocol.AnswerRequest)}}
	s.server = New(Config{
		Keys: []string{"secret", "another"}, Backend: s.backend, Online: online.New(), Emit: func(e *protocol.Event) { s.events = append(s.events, e) },
		Viewers: func(string) int { return 5 }, Node: func(context.Context) any { return struct{}{} },
	})
	return s
}

// ask sends a request with a key; headers by name and value.
func (s *system) ask(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer secret")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.server.ServeHTTP(w, r)
	return w
}

// complaint returns the code of an error, which must have the form of errors.
func complaint(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var reply struct {
		Error struct{ Code, Message string } `json:"error"`
	}
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&reply); err != nil || reply.Error.Code == "" || reply.Error.Message == "" {
		t.Errorf("an error is answered %d %+v, %v", w.Code, reply, err)
	}
	if kind := w.Header().Get("Content-Type"); kind != "application/json" {
		t.Errorf("an error has the type %q", kind)
	}
	return reply.Error.Code
}

// operation returns the statuses of an operation in the document.
func operation(t *testing.T, method, path string) map[string]any {
	t.Helper()
	var d struct {
		Paths map[string]map[string]struct{ Responses map[string]any }
	}
	if err := json.Unmarshal(document, &d); err != nil {
		t.Fatal(err)
	}
	return d.Paths[path][strings.ToLower(method)].Responses
}

// All errors have one form and their own status, which the document names.
func TestErrorsHaveOneForm(t *testing.T) {
	const push = `{"to":{"users":["ann"]},"route":"r"}`
	told := func(code string) error { return nano.Errorf(code, "no") }
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		fail               error
		status             int
		code               string
		at                 string // path of the document; empty: it is none of an operation
	}{
		"no key":               {"GET", "/api/v1/stats", "", []string{"Authorization", ""}, nil, 401, "unauthenticated", "/api/v1/stats"},
		"no such path":         {"GET", "/api/v1/none", "", nil, nil, 404, "not_found", ""},
		"a slash too much":     {"POST", "/api/v1/push/", push, nil, nil, 404, "not_found", ""},
		"another method":       {"GET", "/api/v1/push", "", nil, nil, 405, "method_not_allowed", ""},
		"and another one":      {"PATCH", "/api/v1/channels/c/members", "{}", nil, nil, 405, "method_not_allowed", ""},
		"another type":         {"POST", "/api/v1/push", push, []string{"Content-Type", "text/plain"}, nil, 415, "invalid_argument", "/api/v1/push"},
		"a type that is none":  {"POST", "/api/v1/channels", "{}", []string{"Content-Type", ";;"}, nil, 415, "invalid_argument", "/api/v1/channels"},
		"8 MiB and a byte":     {"POST", "/api/v1/push", strings.Repeat(" ", maxBody+1), nil, nil, 413, "invalid_argument", "/api/v1/push"},
		"a long key of a push": {"POST", "/api/v1/push", push, []string{"Idempotency-Key", strings.Repeat("k", maxKeyID+1)}, nil, 400, "invalid_argument", "/api/v1/push"},
		"a key that is none":   {"POST", "/api/v1/push", push, []string{"Idempotency-Key", "\xff"}, nil, 400, "invalid_argument", "/api/v1/push"},
		"no such kind":         {"GET", "/api/v1/channels?kind=room", "", nil, nil, 400, "invalid_argument", "/api/v1/channels"},
		"a limit below":        {"GET", "/api/v1/channels?limit=-1", "", nil, nil, 400, "invalid_argument", "/api/v1/channels"},
		"a limit above":        {"GET", "/api/v1/online?limit=1001", "", nil, nil, 400, "invalid_argument", "/api/v1/online"},
		"an endless limit":     {"GET", "/api/v1/online?limit=" + strings.Repeat("9", 5000), "", nil, nil, 400, "invalid_argument", "/api/v1/online"},
		"a page before 0":      {"GET", "/api/v1/channels/c/messages?before=0", "", nil, nil, 400, "invalid_argument", "/api/v1/channels/{id}/messages"},
		"an id with a blank":   {"POST", "/api/v1/channels", `{"title":"t","id":"a b"}`, nil, nil, 400, "invalid_argument", "/api/v1/channels"},
		"a reason of 201":      {"POST", "/api/v1/users/u/kick", `{"reason":"` + strings.Repeat("r", 201) + `"}`, nil, nil, 400, "invalid_argument", "/api/v1/users/{id}/kick"},
		"off no platform":      {"POST", "/api/v1/users/u/kick", `{"platforms":["My TV"]}`, nil, nil, 400, "invalid_argument", "/api/v1/users/{id}/kick"},
		"nobody to admit":      {"POST", "/api/v1/channels/c/members", `{"users":[]}`, nil, nil, 400, "invalid_argument", "/api/v1/channels/{id}/members"},
		"null to admit":        {"POST", "/api/v1/channels/c/members", `{"users":[null]}`, nil, nil, 400, "invalid_argument", "/api/v1/channels/{id}/members"},
		"an author of 129":     {"POST", "/api/v1/channels/c/messages", `{"text":"x","from":"` + strings.Repeat("u", 129) + `"}`, nil, nil, 400, "invalid_argument", "/api/v1/channels/{id}/messages"},
		"what is not there":    {"GET", "/api/v1/channels/c", "", nil, told(component.CodeNotFound), 404, "not_found", "/api/v1/channels/{id}"},
		"what cannot be":       {"GET", "/api/v1/channels/%00", "", nil, told(component.CodeInvalid), 400, "invalid_argument", "/api/v1/channels/{id}"},
		"what is there":        {"POST", "/api/v1/channels", `{"title":"t"}`, nil, told(component.CodeExists), 409, "already_exists", "/api/v1/channels"},
		"too much":             {"POST", "/api/v1/channels/c/messages", `{"text":"x"}`, nil, told(component.CodeExhausted), 429, "resource_exhausted", "/api/v1/channels/{id}/messages"},
		"nobody is there":      {"GET", "/api/v1/stats", "", nil, told(component.CodeUnavailable), 503, "unavailable", "/api/v1/stats"},
		"what nobody is told":  {"DELETE", "/api/v1/channels/c/members/u", "", nil, errors.New("the password is 1234"), 503, "unavailable", "/api/v1/channels/{id}/members/{user}"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSystem()
			s.fail = c.fail
			w := s.ask(c.method, c.path, c.body, c.headers...)
			if w.Code != c.status {
				t.Errorf("it is answered %d %s", w.Code, w.Body)
			}
			if strings.Contains(w.Body.String(), "password") {
				t.Errorf("it tells %s", w.Body)
			}
			if code := complaint(t, w); code != c.code {
				t.Errorf("its code is %q", code)
			}
			if c.at != "" && operation(t, c.method, c.at)[fmt.Sprint(c.status)] == nil {
				t.Errorf("the document has no answer %d of %s %s", c.status, c.method, c.at)
			}
			if allow := w.Header().Get("Allow"); (allow != "") != (c.status == 405) || allow == c.method {
				t.Errorf("Allow is %q", allow)
			}
			if c.fail == nil && len(s.done) != 0 {
				t.Errorf("it does %v", s.done)
			}
		})
	}
}

// What is wrong in the form of a push reaches nobody; what could mean two things is wrong.
func TestWrongPushesReachNobody(t *testing.T) {
	for _, body := range []string{
		`null`, `7`, `"x"`, `[{}]`, `{}}`, `{}]`, `{} x`, `{"to":null,"route":"r"}`, `{"to":[],"route":"r"}`, `{"to":{"users":null},"route":"r"}`,
		`{"to":{"users":["a"]},"route":"r"}}`, `{"to":{"users":["a"]},"route":"r"}]`, `{"to":{"users":["a"]},"route":"r"},`,
		`{"to":{"users":["a"]},"to":{"users":["b"]},"route":"r"}`, `{"to":{"users":["a"],"users":["b"]},"route":"r"}`, `{"to":{"users":["a"]},"route":"r","route":"s"}`,
		`{"to":{"users":["a"]},"Route":"r"}`, `{"TO":{"users":["a"]},"route":"r"}`, `{"to":{"Users":["a"]},"route":"r"}`,
		`{"to":{"users":[null]},"route":"r"}`, `{"to":{"users":[true]},"route":"r"}`, `{"to":{"users":[1e3]},"route":"r"}`, `{"to":{"users":["a\u0000"]},"route":"r"}`,
		`{"to":{"users":[99999999999999999999]},"route":"r"}`, `{"to":{"users":["` + strings.Repeat("u", 129) + `"]},"route":"r"}`,
		`{"to":{"users":[],"platforms":["web"]},"route":"r"}`, `{"to":{"all":false,"platforms":["web"]},"route":"r"}`, `{"to":{"users":null,"platforms":["web"]},"route":"r"}`,
		`{"to":{"platforms":[]},"route":"r"}`, `{"to":{"platforms":[""]},"route":"r"}`, `{"to":{"all":false},"route":"r"}`, `{"to":{"all":true,"channels":["c"]},"route":"r"}`,
		`{"to":{"all":true},"route":"r","keep":"0s"}`, `{"to":{"all":true},"route":"r","keep":"-1d"}`, `{"to":{"all":true},"route":"r","keep":"-200000d"}`,
		`{"to":{"all":true},"route":"r","keep":"367d"}`, `{"to":{"all":true},"route":"r","keep":"99999999999999999999d"}`, `{"to":{"all":true},"route":"r","keep":"1.5d"}`,
		`{"to":{"all":true},"route":"r","keep":"9999999999999h"}`, `{"to":{"all":true},"route":"r","keep":"d"}`, `{"to":{"all":true},"route":"r","keep":24}`, `{"to":{"all":true},"route":"r","keep":"24"}`,
		`{"to":{"all":true},"route":"live.tick"}`, `{"to":{"all":true},"route":"` + strings.Repeat("r", 201) + `"}`, `{"to":{"all":true},"route":"r","data":` + strings.Repeat("[", 20_000) + `}`,
		`{"to":{"channels":["c"]},"message":{"text":"x","text":"y"}}`, `{"to":{"channels":["c"]},"message":{"text":"x","to":"y"}}`, `{"to":{"channels":["c"]},"message":{"text":"x"},"keep":"1h"}`,
		`{"to":{"channels":["c"]},"message":{"text":"x"},"route":"r"}`, `{"to":{"all":true},"message":{"text":"x"}}`, `{"to":{"channels":["c"],"platforms":["web"]},"message":{"text":"x"}}`,
		`{"to":{"channels":[` + strings.TrimSuffix(strings.Repeat(`"c",`, maxChannels+1), ",") + `]},"route":"r"}`,
		`{"to":{"users":[` + strings.TrimSuffix(strings.Repeat(`1,`, maxUsers+1), ",") + `]},"route":"r"}`,
		`{"to":{"users":["a"],"platforms":[` + strings.TrimSuffix(strings.Repeat(`"p",`, 21), ",") + `]},"route":"r"}`,
	} {
		s := newSystem()
		if w := s.ask("POST", "/api/v1/push", body); w.Code != http.StatusBadRequest || complaint(t, w) != "invalid_argument" {
			t.Errorf("%.80s is answered %d", body, w.Code)
		}
		if len(s.done)+len(s.events) != 0 {
			t.Errorf("%.80s does %v %v", body, s.done, s.events)
		}
	}
	s := newSystem()
	s.live = []string{"show"}
	if w := s.ask("POST", "/api/v1/push", `{"to":{"channels":["team","show"]},"message":{"text":"x"}}`); w.Code != http.StatusBadRequest || len(s.done) != 1 {
		t.Errorf("a message for a group and a live room is answered %d, after %v", w.Code, s.done)
	}
}

// Platforms by themselves are an audience; a live room's viewers are no users for whom a push
// waits.
func TestWhoIsMeant(t *testing.T) {
	s := newSystem()
	if w := s.ask("POST", "/api/v1/push", `{"to":{"platforms":["web"]},"route":"r"}`); w.Code != http.StatusOK || len(s.events) != 1 || !s.events[0].Everybody || fmt.Sprint(s.events[0].Platforms) != "[web]" {
		t.Errorf("a push to a platform is answered %d %s: %v", w.Code, w.Body, s.events)
	}
	s = newSystem()
	s.live = []string{"show"}
	var reply PushReply
	w := s.ask("POST", "/api/v1/push", `{"to":{"users":["away"],"channels":["show"]},"route":"r","keep":"1h"}`)
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || reply.Reached != 5 || reply.Kept != 1 {
		t.Errorf("a push to somebody who is away and to a live room is answered %d %s", w.Code, w.Body)
	}
}

// The key of a request belongs to the system that has sent it: another one learns nothing by it,
// and is not kept from anything.
func TestIdempotencyKeysOfTwoSystems(t *testing.T) {
	s := newSystem()
	ask := func(key, body string) *httptest.ResponseRecorder {
		return s.ask("POST", "/api/v1/push", body, "Authorization", "Bearer "+key, "Idempotency-Key", "k")
	}
	body := `{"to":{"users":["ann"]},"route":"r"}`
	first, again, other := ask("secret", body), ask("secret", body), ask("another", body)
	if first.Code != 200 || again.Header().Get("Idempotency-Replayed") != "true" || again.Body.String() != first.Body.String() {
		t.Errorf("sent again, it is answered %d %s after %s", again.Code, again.Body, first.Body)
	}
	if other.Code != 200 || other.Header().Get("Idempotency-Replayed") != "" || other.Body.String() == first.Body.String() {
		t.Errorf("another system with the same key is answered %d %s, after %s", other.Code, other.Body, first.Body)
	}
	if w := ask("secret", `{"to":{"users":["bob"]},"route":"r"}`); w.Code != http.StatusUnprocessableEntity || complaint(t, w) != "key_reused" {
		t.Errorf("another request with the key is answered %d", w.Code)
	}
	if w := s.ask("POST", "/api/v1/channels", `{"title":"t"}`, "Idempotency-Key", "k"); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("a request of another kind with the key is answered %d", w.Code)
	}
}

// A system that asks too often is told so, and no other one.
func TestSystemsHaveAPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // no time passes
		s := newSystem()
		for range requestBurst {
			if w := s.ask("GET", "/api/v1/online", ""); w.Code != http.StatusOK {
				t.Fatalf("it is answered %d", w.Code)
			}
		}
		w := s.ask("GET", "/api/v1/online", "")
		if w.Code != http.StatusTooManyRequests || complaint(t, w) != "resource_exhausted" || w.Header().Get("Retry-After") == "" {
			t.Errorf("one too many is answered %d", w.Code)
		}
		if w := s.ask("GET", "/api/v1/online", "", "Authorization", "Bearer another"); w.Code != http.StatusOK {
			t.Errorf("another system is answered %d", w.Code)
		}
		for range 2 * requestBurst { // strangers cost a key nothing
			if w := s.ask("GET", "/api/v1/online", "", "Authorization", "Bearer wrong"); w.Code != http.StatusUnauthorized {
				t.Fatalf("a stranger is answered %d", w.Code)
			}
		}
	})
}

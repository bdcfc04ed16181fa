package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
)

// key is the header of who has the key of newWorld.
var key = []string{"Authorization", "Bearer secret"}

type pushReply struct {
	ID            string
	Reached, Kept int
}

type errorReply struct {
	Error struct{ Code, Message string }
}

// What an operator pushes reaches all platforms of who is here, and waits for who is away.
func TestPushReachesAndWaits(t *testing.T) {
	w := newWorld(t)
	web, phone := w.enter("Ann", "web"), w.enter("Ann", "app")
	var reply pushReply
	status := w.post("/api/v1/push", object{"to": object{"users": []any{"ann", "bob", 7}}, "route": "onNotice", "data": object{"x": 1}, "keep": "24h"}, &reply, key...)
	if status != http.StatusOK || reply.ID == "" || reply.Reached != 1 || reply.Kept != 2 {
		t.Errorf("answer %d %+v", status, reply)
	}
	for _, p := range []*person{web, phone} {
		p.pushed("onNotice", func(data string) bool { return data == `{"x":1}` })
		p.pushed(protocol.PushKept, func(data string) bool { return strings.Contains(data, reply.ID) })
	}
	bob := w.enter("Bob", "web")
	if bob.start.Inbox != 1 {
		t.Errorf("%d pushes wait for bob", bob.start.Inbox)
	}
	inbox := call[protocol.InboxReply](bob, "im.inbox", object{})
	if len(inbox.Pushes) != 1 || inbox.Pushes[0].Route != "onNotice" || string(inbox.Pushes[0].Data) != `{"x":1}` {
		t.Errorf("bob's inbox is %+v", inbox)
	}
	call[protocol.Empty](bob, "im.taken", object{"ids": []string{reply.ID}})
	if inbox := call[protocol.InboxReply](bob, "im.inbox", object{}); len(inbox.Pushes) != 0 {
		t.Errorf("taken, and still there: %+v", inbox)
	}
	w.post("/api/v1/push", object{"to": object{"users": []any{"ann"}, "platforms": []any{"app"}}, "route": "onPhone"}, &reply, key...)
	phone.pushed("onPhone", func(string) bool { return true })
	w.post("/api/v1/push", object{"to": object{"all": true}, "route": "onAll", "data": "x", "keep": "1h"}, &reply, key...)
	if reply.Reached != 2 || reply.Kept != 0 {
		t.Errorf("to all: %+v", reply)
	}
	web.pushed("onAll", func(string) bool { return true })
	web.mu.Lock()
	defer web.mu.Unlock()
	for _, p := range web.pushes {
		if p.route == "onPhone" {
			t.Error("a push for phones has come to the web")
		}
	}
}

// A push to everybody waits for those who are users when it is sent, once on each platform, and for
// nobody who comes later.
func TestBroadcastWaitsByReference(t *testing.T) {
	w := newWorld(t)
	w.token("Ann")
	var reply pushReply
	w.post("/api/v1/push", object{"to": object{"all": true}, "route": "onNews", "data": 1, "keep": "2d"}, &reply, key...)
	if reply.Reached != 0 || reply.Kept != 1 {
		t.Errorf("to all: %+v", reply)
	}
	if late := w.enter("Late", "web"); late.start.Inbox != 0 {
		t.Error("who came later gets what was sent before")
	}
	for _, platform := range []string{"web", "app"} {
		ann := w.enter("Ann", platform)
		if ann.start.Inbox != 1 {
			t.Errorf("on %s %d pushes wait", platform, ann.start.Inbox)
		}
		call[protocol.Empty](ann, "im.taken", object{"ids": []string{reply.ID}})
		if n := len(call[protocol.InboxReply](ann, "im.inbox", object{}).Pushes); n != 0 {
			t.Errorf("taken on %s, and %d are still there", platform, n)
		}
	}
}

// Wrong forms, missing keys and other methods are answered in one form, and change nothing.
func TestPushRefusesWrongForms(t *testing.T) {
	w := newWorld(t)
	for body, status := range map[string]int{
		`{"to":{"users":["a"]},"route":"r"}`:                               200,
		`{"to":{"users":["a"]},"route":"r","data":{"a":[1]},"keep":"30m"}`: 200,
		``:                                   400,
		`{`:                                  400,
		`[]`:                                 400,
		`{"to":{"users":["a"]}}`:             400,
		`{"route":"r"}`:                      400,
		`{"to":{},"route":"r"}`:              400,
		`{"to":{"users":[]},"route":"r"}`:    400,
		`{"to":{"users":"a"},"route":"r"}`:   400,
		`{"to":{"users":[1.5]},"route":"r"}`: 400,
		`{"to":{"users":[""]},"route":"r"}`:  400,
		`{"to":{"users":[{}]},"route":"r"}`:  400,
		`{"to":{"user":["a"]},"route":"r"}`:  400,
		`{"to":{"all":true,"users":["a"]},"route":"r"}`:                                   400,
		`{"to":{"all":"yes"},"route":"r"}`:                                                400,
		`{"to":{"users":["a"]},"route":""}`:                                               400,
		`{"to":{"users":["a"]},"route":7}`:                                                400,
		`{"to":{"users":["a"]},"route":"im.message","data":{}}`:                           400,
		`{"to":{"users":["a"]},"route":"r","keep":"soon"}`:                                400,
		`{"to":{"users":["a"]},"route":"r","keep":"-1h"}`:                                 400,
		`{"to":{"users":["a"]},"route":"r","keep":"99999h"}`:                              400,
		`{"to":{"users":["a"],"platforms":["Web!"]},"route":"r"}`:                         400,
		`{"to":{"users":["a"]},"route":"r"} {}`:                                           400,
		`{"to":{"users":["a"]},"route":"r","data":"` + strings.Repeat("x", 61<<10) + `"}`: 400,
		`{"to":{"channels":["none"]},"route":"r"}`:                                        404,
		`{"to":{"users":["a"]},"message":{"text":"x"}}`:                                   400,
	} {
		var reply errorReply
		got := w.do(http.MethodPost, "/api/v1/push", strings.NewReader(body), &reply, append([]string{"Content-Type", "application/json"}, key...)...)
		if got != status || status >= 400 && (reply.Error.Code == "" || reply.Error.Message == "") {
			t.Errorf("%.80s is answered %d %+v, want %d", body, got, reply, status)
		}
	}
	for _, headers := range [][]string{nil, {"Authorization", "Bearer wrong"}, {"Authorization", "Basic secret"}, {"Authorization", "Bearer"}, {"Authorization", "secret"}} {
		for _, path := range []string{"/api/v1/push", "/api/v1/online", "/api/v1/stats", "/api/v1/none"} {
			var reply errorReply
			method := http.MethodGet
			if path == "/api/v1/push" {
				method = http.MethodPost
			}
			if got := w.do(method, path, strings.NewReader(`{}`), &reply, headers...); got != http.StatusUnauthorized || reply.Error.Code != "unauthenticated" {
				t.Errorf("%s with %q is answered %d %+v", path, headers, got, reply)
			}
		}
	}
	for path, status := range map[string]int{"/api/v1/push": 405, "/api/v1/none": 404} {
		var reply errorReply
		if got := w.do(http.MethodGet, path, nil, &reply, key...); got != status || reply.Error.Code == "" {
			t.Errorf("GET %s is answered %d %+v", path, got, reply)
		}
	}
}

// A request that is refused makes nobody a user.
func TestRefusedRequestsMakeNoUsers(t *testing.T) {
	w := newWorld(t)
	for path, c := range map[string]struct {
		body   object
		status int
	}{
		"/api/v1/channels/global/members": {object{"users": []any{"x"}}, 400},
		"/api/v1/channels/none/members":   {object{"users": []any{"x"}}, 404},
		"/api/v1/channels/none/messages":  {object{"text": "hi", "from": "x"}, 404},
		"/api/v1/channels":                {object{"title": "t", "id": "global", "owner": "x"}, 409},
	} {
		var reply errorReply
		if status := w.post(path, c.body, &reply, key...); status != c.status {
			t.Errorf("%s is answered %d %+v", path, status, reply)
		}
	}
	var stats struct{ Users int }
	if w.do(http.MethodGet, "/api/v1/stats", nil, &stats, key...); stats.Users != 0 {
		t.Errorf("there are %d users", stats.Users)
	}
}

// A request that is sent again with its key is done once, and another one with that key not at all.
func TestIdempotencyKeys(t *testing.T) {
	w := newWorld(t)
	w.token("Ann")
	body := object{"text": "once", "from": "ann"}
	with := append([]string{"Idempotency-Key", "k1"}, key...)
	var first, second store.Message
	if s := w.post("/api/v1/channels/global/messages", body, &first, with...); s != http.StatusCreated {
		t.Fatalf("answer %d", s)
	}
	if s := w.post("/api/v1/channels/global/messages", body, &second, with...); s != http.StatusCreated || second.N != first.N {
		t.Errorf("sent again: %d %+v", s, second)
	}
	if s := w.post("/api/v1/channels/global/messages", object{"text": "other"}, nil, with...); s != http.StatusUnprocessableEntity {
		t.Errorf("another request with the key is answered %d", s)
	}
	var page protocol.HistoryReply
	w.do(http.MethodGet, "/api/v1/channels/global/messages", nil, &page, key...)
	if len(page.Messages) != 1 {
		t.Errorf("%d messages", len(page.Messages))
	}
	// A key is good for a day. Then it may come with another request, which is done.
	if _, err := w.node.store.Sweep(t.Context(), time.Now().Add(25*time.Hour), store.Retention{}); err != nil {
		t.Fatal(err)
	}
	var next store.Message
	if s := w.post("/api/v1/channels/global/messages", object{"text": "the next day", "from": "ann"}, &next, with...); s != http.StatusCreated || next.N != 2 || next.Text != "the next day" {
		t.Errorf("with the key of another day: %d %+v", s, next)
	}
}

// The interface does what its document says: each answer fits its schema, and no path is left out
// on either side.
func TestTheDocumentIsTrue(t *testing.T) {
	w := newWorld(t)
	d := newDocument(t, w)
	ann := w.enter("Ann", "web")
	ann.say(channels.GlobalID, "hello")
	group := object{"title": "Team", "id": "team", "members": []any{"ann", 9}, "owner": "boss"}
	for _, c := range []struct {
		method, path, at string
		body             any
		status           int
	}{
		{"POST", "/api/v1/push", "", object{"to": object{"users": []any{"ann", 7}}, "route": "onNotice", "data": object{}, "keep": "24h"}, 200},
		{"POST", "/api/v1/push", "", object{"to": object{"channels": []any{"global"}}, "message": object{"text": "news"}}, 200},
		{"POST", "/api/v1/push", "", object{"to": object{}}, 400},
		{"GET", "/api/v1/online", "/api/v1/online?platform=web&limit=1", nil, 200},
		{"GET", "/api/v1/online", "/api/v1/online?limit=x", nil, 400},
		{"GET", "/api/v1/users/{id}/presence", "/api/v1/users/ann/presence", nil, 200},
		{"GET", "/api/v1/users/{id}/presence", "/api/v1/users/nobody/presence", nil, 200},
		{"POST", "/api/v1/channels", "", group, 201},
		{"POST", "/api/v1/channels", "", group, 409},
		{"POST", "/api/v1/channels", "", object{"title": ""}, 400},
		{"POST", "/api/v1/channels", "", object{"title": "Show", "kind": "live"}, 201},
		{"GET", "/api/v1/channels", "/api/v1/channels?limit=1", nil, 200},
		{"GET", "/api/v1/channels/{id}", "/api/v1/channels/team", nil, 200},
		{"GET", "/api/v1/channels/{id}", "/api/v1/channels/none", nil, 404},
		{"GET", "/api/v1/channels/{id}/members", "/api/v1/channels/team/members?limit=2", nil, 200},
		{"POST", "/api/v1/channels/{id}/members", "/api/v1/channels/team/members", object{"users": []any{"eve"}, "role": "admin"}, 200},
		{"DELETE", "/api/v1/channels/{id}/members/{user}", "/api/v1/channels/team/members/eve", nil, 200},
		{"DELETE", "/api/v1/channels/{id}/members/{user}", "/api/v1/channels/team/members/eve", nil, 404},
		{"POST", "/api/v1/channels/{id}/messages", "/api/v1/channels/team/messages", object{"text": "hi @ann", "from": "boss", "mentions": []any{"ann"}}, 201},
		{"GET", "/api/v1/channels/{id}/messages", "/api/v1/channels/team/messages?limit=10", nil, 200},
		{"GET", "/api/v1/channels/{id}/messages", "/api/v1/channels/none/messages", nil, 404},
		{"GET", "/api/v1/stats", "", nil, 200},
		{"POST", "/api/v1/users/{id}/kick", "/api/v1/users/ann/kick", object{"reason": "enough"}, 200},
	} {
		d.check(c.method, c.path, c.at, c.body, c.status)
	}
	d.complete()
	<-ann.c.Done()
}

// document is the description, and what has been checked of it.
type document struct {
	t        *testing.T
	w        *world
	doc      map[string]any
	compiler *jsonschema.Compiler
	seen     map[string]bool
}

func newDocument(t *testing.T, w *world) *document {
	t.Helper()
	var raw []byte
	if status := w.do(http.MethodGet, "/api/v1/openapi.json", nil, &raw); status != http.StatusOK {
		t.Fatalf("the document: %d", status)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	d := &document{t: t, w: w, doc: doc.(map[string]any), compiler: jsonschema.NewCompiler(), seen: make(map[string]bool)}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	if err := d.compiler.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	if d.doc["openapi"] != "3.1.0" {
		t.Errorf("the document is OpenAPI %v", d.doc["openapi"])
	}
	return d
}

// valid checks a value against the schema at a JSON pointer of the document.
func (d *document) valid(what, pointer string, body []byte) {
	d.t.Helper()
	schema, err := d.compiler.Compile("openapi.json#" + pointer)
	if err != nil {
		d.t.Fatalf("%s: %v", what, err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		d.t.Errorf("%s: %s does not fit: %v", what, body, err)
	}
}

func (d *document) check(method, path, at string, body any, status int) {
	d.t.Helper()
	if at == "" {
		at = path
	}
	var reply []byte
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			d.t.Fatal(err)
		}
	}
	got := d.w.do(method, at, bytes.NewReader(sent), &reply, key...)
	what := method + " " + at
	if got != status {
		d.t.Errorf("%s is answered %d %s, want %d", what, got, reply, status)
		return
	}
	operation := "/paths/" + strings.ReplaceAll(path, "/", "~1") + "/" + strings.ToLower(method)
	op, ok := d.doc["paths"].(map[string]any)[path].(map[string]any)[strings.ToLower(method)].(map[string]any)
	if !ok {
		d.t.Errorf("the document has no %s %s", method, path)
		return
	}
	if body != nil && status < 400 {
		d.valid(what+" (request)", operation+"/requestBody/content/application~1json/schema", sent)
	}
	answer, ok := op["responses"].(map[string]any)[fmt.Sprint(status)].(map[string]any)
	if !ok {
		d.t.Errorf("the document has no answer %d of %s", status, what)
		return
	}
	if ref, ok := answer["$ref"].(string); ok {
		d.valid(what, strings.TrimPrefix(ref, "#")+"/content/application~1json/schema", reply)
	} else {
		d.valid(what, operation+fmt.Sprintf("/responses/%d/content/application~1json/schema", status), reply)
	}
	if status < 400 {
		d.seen[method+" "+path] = true
	}
}

// complete complains of what the document has and was not checked.
func (d *document) complete() {
	for path, methods := range d.doc["paths"].(map[string]any) {
		for method := range methods.(map[string]any) {
			if what := strings.ToUpper(method) + " " + path; !d.seen[what] && path != "/api/v1/openapi.json" {
				d.t.Errorf("the document has %s, which was not checked", what)
			}
		}
	}
}

// The interface is there for HTTP/2 without TLS as well, on the same port.
func TestPushByHTTP2(t *testing.T) {
	w := newWorld(t)
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequest(http.MethodPost, "http://"+w.addr+"/api/v1/push", strings.NewReader(`{"to":{"users":["a"]},"route":"r"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(key[0], key[1])
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK {
		t.Errorf("answered by HTTP/%d: %s", resp.ProtoMajor, resp.Status)
	}
}

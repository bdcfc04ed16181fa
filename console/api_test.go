package console

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano"
)

var bearer = []string{"Authorization", "Bearer " + token}

// asked unmarshals the answer to a request of somebody who may ask.
func asked[T any](t *testing.T, c *Console, path string) (v T) {
	t.Helper()
	resp := call(c, "GET", path, "", bearer...)
	if body := text(t, resp); resp.StatusCode != http.StatusOK || json.Unmarshal([]byte(body), &v) != nil {
		t.Fatalf("%s: %d %.300s", path, resp.StatusCode, body)
	}
	return v
}

// A script reads what the page shows.
func TestScriptsReadWhatThePageShows(t *testing.T) {
	_, c := start(t, Config{Token: token})
	o := asked[Overview](t, c, "/api/overview")
	if len(o.Nodes) != 1 || o.Nodes[0].Label != "one" || o.Nodes[0].State != "working" || o.Nodes[0].Age < 0 || o.Nodes[0].Process.PID == 0 {
		t.Errorf("the overview is %+v", o)
	}
	if len(o.Routes) != 1 || o.Routes[0].Name != "Room.Say" || o.Routes[0].Nodes != 1 {
		t.Errorf("the routes are %+v", o.Routes)
	}
	if s := o.Nodes[0].Scheds; len(s) != 1 || s[0].Kind != "node" {
		t.Errorf("the schedulers are %+v", s)
	}
	if n := asked[nano.NodeState](t, c, "/api/node"); n.Snapshot == nil || len(n.Services) != 1 {
		t.Errorf("the node is %+v", n)
	}
	if s := asked[struct{ Sessions []foundSession }](t, c, "/api/sessions?uid=7"); s.Sessions == nil || len(s.Sessions) != 0 {
		t.Errorf("the sessions are %+v", s)
	}
	if l := asked[struct{ Lines []lineAt }](t, c, "/api/log"); len(l.Lines) != 0 { // the node's logger drops all
		t.Errorf("the log is %+v", l)
	}
	scheduler := o.Nodes[0].Scheds[0].Name
	if s := asked[struct{ Stack *string }](t, c, "/api/stack?scheduler="+strings.ReplaceAll(scheduler, " ", "+")); s.Stack == nil {
		t.Error("there is no stack")
	}
	for path, want := range map[string]int{
		"/api/sessions?uid=x": 400, "/api/sessions?limit=0": 400, "/api/session?id=x": 400, "/api/session?id=7": 404, "/api/stack?scheduler=no": 404,
		"/api/log?after=3": 400, "/api/events?view=no": 400, "/api/node?node=10.0.0.1:1": 404, "/api/no": 404, "/login.html": 404,
	} {
		if resp := call(c, "GET", path, "", bearer...); resp.StatusCode != want {
			t.Errorf("%s: %d %s", path, resp.StatusCode, text(t, resp))
		}
	}
	for path, body := range map[string]string{
		"/api/kick": `{"id":"x"}`, "/api/push": `{"id":7}`, "/api/drain": `{}`, "/api/close": `{"unknown":1}`, "/api/push?": `{"id":7,"route":"x","base64":"?"}`,
		"/api/drain?": `{"node":"x","seconds":-1}`, "/api/drain?x": `{"node":"x","seconds":9223372037}`,
	} {
		if resp := call(c, "POST", path, body, bearer...); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s %s: %d %s", path, body, resp.StatusCode, text(t, resp))
		}
	}
	for path, body := range map[string]string{
		"/api/kick": `{"uid":7}`, "/api/kick?": `{"id":7}`, "/api/push": `{"uid":7,"route":"x"}`, "/api/close": `{"id":7}`, "/api/drain": `{"node":"10.0.0.1:1"}`,
	} {
		if resp := call(c, "POST", path, body, bearer...); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s %s: %d %s", path, body, resp.StatusCode, text(t, resp))
		}
	}
	if resp := call(c, "DELETE", "/api/kick", "", bearer...); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", resp.StatusCode)
	}
}

// A page hears the figures as they come. Nobody is asked for them once it is closed, and a node
// that ends does not wait for it.
func TestEventsComeWhileSomebodyLooks(t *testing.T) {
	app, c := start(t, Config{Token: token})
	server := httptest.NewServer(c)
	defer server.Close()
	open := func(ctx context.Context) *bufio.Scanner {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/events?view=routes", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(bearer[0], bearer[1])
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		if resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("the stream is %d %v", resp.StatusCode, resp.Header)
		}
		return bufio.NewScanner(resp.Body)
	}
	ctx, leave := context.WithCancel(t.Context())
	lines := open(ctx)
	seen := 0
	for seen < 2 && lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: {"); ok {
			var o Overview
			if err := json.Unmarshal([]byte("{"+data), &o); err != nil || len(o.Nodes) != 1 || len(o.Routes) != 1 {
				t.Fatalf("the event %s: %v", data, err)
			}
			seen++
		}
	}
	if seen != 2 {
		t.Fatalf("%d events came: %v", seen, lines.Err())
	}
	sampler := c.api.sampler
	sampler.mu.Lock()
	stopped := sampler.running
	sampler.mu.Unlock()
	leave()
	select {
	case <-stopped:
	case <-time.After(30 * time.Second):
		t.Fatal("samples are taken though nobody looks")
	}
	lines = open(t.Context())
	app.Quit()
	for lines.Scan() { // until the node has ended it
		continue
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream of a node that ends: %v", err)
	}
}

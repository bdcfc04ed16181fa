package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/metrics"
)

// health asks a node how it is.
func (w *world) health(path string) (int, metrics.Health) {
	w.t.Helper()
	var body []byte
	status := w.do(http.MethodGet, path, nil, &body)
	var h metrics.Health
	if err := json.Unmarshal(body, &h); err != nil {
		w.t.Fatalf("%s answers %d %q", path, status, body)
	}
	return status, h
}

// Nodes of all kinds say whether they live and serve, which needs no key; and why not, where the
// messenger has no node that runs channels, and where a node is drained.
func TestHealth(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, h := w.health(path); status != http.StatusOK || !h.Live || !h.Ready {
			t.Errorf("%s: %d %+v", path, status, h)
		}
	}
	s := newSeveral(t)
	for _, r := range []*running{s.master, s.logics[0], s.gates[0]} {
		at := s.at(r)
		until(t, "the "+r.role+" is not ready", func() bool {
			status, h := at.health("/readyz")
			return status == http.StatusOK && h.Ready
		})
	}
	if err := s.gates[1].app.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, h := s.at(s.gates[1]).health("/readyz"); status != http.StatusServiceUnavailable || len(h.Reasons) == 0 || h.Reasons[0].Code != metrics.ReasonDraining {
		t.Errorf("a gate that is drained says %d %+v", status, h)
	}
	if status, _ := s.at(s.gates[1]).health("/healthz"); status != http.StatusOK {
		t.Errorf("a gate that is drained does not live: %d", status)
	}
	for _, r := range s.logics {
		r.stop()
	}
	var failed errorReply
	until(t, "a gate is ready without a node that runs channels", func() bool {
		return s.at(s.gates[0]).do(http.MethodGet, "/readyz", nil, &failed) == http.StatusServiceUnavailable
	})
	if !strings.Contains(failed.Error.Message, "no node runs channels") {
		t.Errorf("it says %+v", failed)
	}
}

// Who asks is not told where the database is, or what is wrong with it.
func TestReadinessTellsNoSecrets(t *testing.T) {
	s, err := store.OpenSQLite(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := pinged(s)(t.Context()); err == nil || err.Error() != "the database does not answer" {
		t.Errorf("it is told %v", err)
	}
}

// A node that is drained, by the console or SIGTERM, has its channels go on elsewhere at once.
func TestADrainedNodeHasNoChannels(t *testing.T) {
	s := newSeveral(t)
	ann := s.at(s.gates[0]).enter("Ann", "web")
	ann.say(channels.GlobalID, "before")
	owner := s.gates[0].fleet.Owner(channels.GlobalID)
	for _, r := range s.logics {
		if r.conf.listen == owner {
			if err := r.app.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := r.channels.Owned(); n != 0 {
				t.Errorf("the node that is drained runs %d channels", n)
			}
		}
	}
	if now := s.gates[0].fleet.Owner(channels.GlobalID); now == owner || now == "" {
		t.Errorf("the channel is at %q, after %s is drained", now, owner)
	}
	if m := ann.say(channels.GlobalID, "after"); m.N != 2 {
		t.Errorf("the next message has the number %d", m.N)
	}
}

// The figures for Prometheus are for those with the key, on nodes of all kinds.
func TestMetrics(t *testing.T) {
	s := newSeveral(t)
	s.at(s.gates[0]).enter("Ann", "web").say(channels.GlobalID, "hello")
	for r, wants := range map[*running][]string{
		s.gates[0]:  {"nano_handler_duration_seconds", `route="im.send"`, "im_users_online 1", "go_goroutines"},
		s.logics[0]: {"im_changes_waiting 0", "im_channels_owned"},
		s.master:    {"nano_", "im_users_online 1"},
	} {
		at := s.at(r)
		for _, headers := range [][]string{nil, {"Authorization", "Bearer wrong"}} {
			if status := at.do(http.MethodGet, "/metrics", nil, nil, headers...); status != http.StatusUnauthorized {
				t.Errorf("the %s gives its figures to a stranger: %d", r.role, status)
			}
		}
		until(t, "figures of the "+r.role+" are missing", func() bool {
			var text []byte
			if status := at.do(http.MethodGet, "/metrics", nil, &text, key...); status != http.StatusOK {
				t.Fatalf("the figures of the %s: %d", r.role, status)
			}
			for _, want := range wants {
				if !strings.Contains(string(text), want) {
					return false
				}
			}
			return true
		})
	}
}

// The console is there with a token, and for those who have it.
func TestConsole(t *testing.T) {
	const token = "0123456789abcdef"
	without := newWorld(t)
	if status := without.do(http.MethodGet, "/console/", nil, nil); status != http.StatusNotFound {
		t.Errorf("without a token, the console answers %d", status)
	}
	w := newWorld(t, func(c *config) { c.consoleToken = token })
	w.enter("Ann", "web")
	var page []byte
	if status := w.do(http.MethodGet, "/console/", nil, &page); status != http.StatusUnauthorized || !strings.Contains(string(page), "<form") {
		t.Errorf("who comes to the console is asked for the token by %d %s", status, page)
	}
	if status := w.do(http.MethodGet, "/console/api/sessions", nil, nil); status != http.StatusUnauthorized {
		t.Errorf("a stranger asks for the sessions: %d", status)
	}
	var sessions []byte
	if status := w.do(http.MethodGet, "/console/api/sessions", nil, &sessions, "Authorization", "Bearer "+token); status != http.StatusOK || !strings.Contains(string(sessions), "127.0.0.1") {
		t.Errorf("the sessions: %d %s", status, sessions)
	}
	if err := program(io.Discard, nil).Run([]string{"im", "all", "--addr", "127.0.0.1:0", "--data", t.TempDir(), "--console-token", "short"}); err == nil || !strings.Contains(err.Error(), "console-token") {
		t.Errorf("a short token: %v", err)
	}
}

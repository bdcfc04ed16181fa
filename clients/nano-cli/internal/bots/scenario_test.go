package bots_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano/clients/nano-cli/internal/bots"
)

func load(t *testing.T, text string) (*bots.Scenario, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "s.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sc, err := bots.Load(file)
	if err == nil {
		err = sc.Check()
	}
	return sc, err
}

func TestLoad(t *testing.T) {
	sc, err := load(t, `
url: ws://127.0.0.1:3250/
connections: 100
ramp: 5s
duration: 1m
user: {name: "bot {{.Bot}}"}
setup:
  - request: Room.Join
    payload: {name: "bot {{.Bot}}", tags: [a, <b>]}
steps:
  - request: Room.Echo
    payload: '{"n": {{.N}}}'
    rate: 0.5
    in-flight: 3
  - notify: Room.Say
    payload: hex:00ff
thresholds: {max-p99: 50ms, max-errors: 0.1%, min-rate: 10}
`)
	if err != nil {
		t.Fatal(err)
	}
	if sc.Connections != 100 || time.Duration(sc.Ramp) != 5*time.Second || *sc.Steps[0].Rate != 0.5 || sc.Steps[0].InFlight != 3 ||
		sc.Setup[0].Payload != `{"name":"bot {{.Bot}}","tags":["a","<b>"]}` || time.Duration(*sc.Thresholds.MaxP99) != 50*time.Millisecond {
		t.Errorf("%+v", sc)
	}
}

// A slip in a file must be told with its place, not be ignored: who writes "conections" gets no
// load test otherwise.
func TestErrorsOfScenarios(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"empty", "", []string{"s.yaml is empty"}},
		{"no YAML", "url: [", []string{"line 1"}},
		{"unknown key", "url: tcp://a:1\nconections: 3\n", []string{"line 2", "conections"}},
		{"unknown key in a step", "url: tcp://a:1\nsteps:\n - request: a.b\n   paylod: x\n", []string{"line 4", "paylod"}},
		{"no number", "connections: many\n", []string{"line 1", "many"}},
		{"time without a unit", "url: tcp://a:1\nramp: 5\n", []string{"line 2", "5s or 500ms"}},
		{"no url", "connections: 3\n", []string{"no url"}},
		{"negative", "url: tcp://a:1\nconnections: -3\nramp: -1s\n", []string{"connections: -3", "ramp: -1s"}},
		{"no route", "url: tcp://a:1\nsteps:\n - payload: 1\n", []string{"step 1", "route"}},
		{"two routes", "url: tcp://a:1\nsteps:\n - {request: a.b, notify: c.d}\n", []string{"step 1", "route"}},
		{"payload no JSON", "url: tcp://a:1\nsteps:\n - {request: a.b, payload: '{\"a\":'}\n", []string{"step 1: a.b", "character 5"}},
		{"template broken", "url: tcp://a:1\nsteps:\n - {request: a.b, payload: '{{.N'}\n", []string{"step 1: a.b", "unclosed action"}},
		{"template unknown", "url: tcp://a:1\nsteps:\n - {request: a.b, payload: '{{.Name}}'}\n", []string{"step 1: a.b", "Name"}},
		{"template gives no JSON", "url: tcp://a:1\nsteps:\n - {request: a.b, payload: '{{.N}}}'}\n", []string{"step 1: a.b", "0}"}},
		{"rate", "url: tcp://a:1\nsteps:\n - {request: a.b, rate: -1}\n", []string{"rate -1"}},
		{"in-flight", "url: tcp://a:1\nsteps:\n - {request: a.b, in-flight: -1}\n", []string{"in-flight -1"}},
		{"setup with a rate", "url: tcp://a:1\nsetup:\n - {request: a.b, rate: 3}\n", []string{"setup 1", "once"}},
		{"user", "url: tcp://a:1\nuser: bot\n", []string{"user", "not JSON"}},
		{"thresholds", "url: tcp://a:1\nthresholds: {max-errors: few, max-p99: 0s, min-rate: -1}\n", []string{"few", "max-p99", "min-rate"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, c.text)
			if err == nil {
				t.Fatal("it passes")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q is not in: %v", w, err)
				}
			}
		})
	}
}

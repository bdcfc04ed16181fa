package bots_test

import (
	"bytes"
	"context"
	"encoding/json"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/clients/nano-cli/internal/bots"
	"github.com/lonng/nano/clients/nano-cli/internal/nodetest"
)

// patient is a time within which any machine connects and answers.
const patient = 30 * time.Second

func rate(f float64) *float64 { return &f }

func url(app *nano.App, scheme string) string { return scheme + "://" + app.Addr().String() }

func run(t *testing.T, ctx context.Context, sc *bots.Scenario) *bots.Report {
	t.Helper()
	rep, err := (&bots.Runner{Scenario: sc}).Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// The figures are worth something only if the server has counted the same.
func TestFiguresAreTheServers(t *testing.T) {
	for _, scheme := range []string{"tcp", "ws"} {
		t.Run(scheme, func(t *testing.T) {
			app := nodetest.Start(t, nano.WithIsWebsocket(scheme == "ws"))
			const conns = 20
			procs := runtime.GOMAXPROCS(0)
			rep := run(t, t.Context(), &bots.Scenario{
				URL: url(app, scheme), Connections: conns,
				Ramp: bots.Duration(100 * time.Millisecond), Duration: bots.Duration(400 * time.Millisecond),
				User:  `{"bot":{{.Bot}}}`,
				Setup: []bots.Step{{Request: "Room.Join", Payload: `{}`}},
				Steps: []bots.Step{
					{Request: "Room.Echo", Payload: `{"text":"{{.Bot}} {{.N}} {{letters 5}}"}`, Rate: rate(0), InFlight: 2},
					{Request: "Room.Fail", Payload: `{"text":"bot"}`, Rate: rate(20)},
					{Notify: "Room.Say", Payload: `{"text":"hi"}`, Rate: rate(5)},
				},
			})
			nodetest.Until(t, "the node closes all connections", func() bool { return app.Stats().Closed == conns })
			if n := runtime.GOMAXPROCS(0); n != procs {
				t.Errorf("Go runs on %d processors before, %d after", procs, n)
			}
			st := app.Stats()
			if st.Opened != conns || rep.Connections.Connected != conns || rep.Connections.Lost != 0 {
				t.Errorf("the node has had %d sessions, the report says %+v", st.Opened, rep.Connections)
			}
			if st.Requests != rep.Requests.Sent || rep.Requests.Sent != rep.Requests.Answered+rep.Requests.Failed {
				t.Errorf("the node has had %d requests, the report says %+v", st.Requests, rep.Requests)
			}
			if st.Notifies != rep.Notifies.Sent {
				t.Errorf("the node has had %d notifies, the report says %+v", st.Notifies, rep.Notifies)
			}
			if st.Failed != rep.Requests.Failed || rep.Failures != st.Failed {
				t.Errorf("%d have failed on the node, the report says %+v", st.Failed, rep.Errors)
			}
			if scheme == "tcp" && st.BytesIn != rep.BytesOut {
				t.Errorf("the node has read %d bytes, the report says %d", st.BytesIn, rep.BytesOut)
			}
			if rep.Requests.Answered < conns*10 || rep.Requests.Failed == 0 || rep.Notifies.Sent == 0 || rep.Pushes == 0 {
				t.Errorf("it has done too little: %+v", rep)
			}
			if int64(rep.Requests.Answered) != rep.Latency.Count+conns || rep.Latency.P50 <= 0 || rep.Latency.P99 < rep.Latency.P50 {
				t.Errorf("latency is %+v", rep.Latency)
			}
			var n int64
			for _, b := range rep.Latency.Histogram {
				n += b.Count
			}
			if n != rep.Latency.Count {
				t.Errorf("the histogram has %d of %d requests", n, rep.Latency.Count)
			}
			var text bytes.Buffer
			if err := rep.Text(&text); err != nil {
				t.Fatal(err)
			}
			for _, w := range []string{"20 of 20 connected", "p99.9", "Room.Join (setup)", "Room.Echo\n", "█", "Room.Fail permission_denied: "} {
				if !strings.Contains(text.String(), w) {
					t.Errorf("%q is not in the report:\n%s", w, &text)
				}
			}
		})
	}
}

// Who asks for so many messages a second must get them, not as many as there can be.
func TestRate(t *testing.T) {
	app := nodetest.Start(t)
	rep := run(t, t.Context(), &bots.Scenario{
		URL: url(app, "tcp"), Connections: 4, Duration: bots.Duration(time.Second), Rate: rate(50),
		Steps: []bots.Step{{Request: "Room.Bytes", Payload: "hex:00ff"}},
	})
	if r := float64(rep.Requests.Sent) / rep.Seconds; r < 150 || r > 210 {
		t.Errorf("4 bots with 50 a second have sent %.1f requests a second", r)
	}
}

func TestWhatFailsIsCounted(t *testing.T) {
	app := nodetest.Start(t)
	short := bots.Duration(300 * time.Millisecond)
	for _, c := range []struct {
		name string
		sc   bots.Scenario
		code string
		lost int64
	}{
		{"no server", bots.Scenario{URL: "tcp://127.0.0.1:1", Duration: bots.Duration(time.Hour)}, "error", 0},
		{"no such route", bots.Scenario{Steps: []bots.Step{{Request: "Room.Nothing", Rate: rate(50)}}}, "not_found", 0},
		{"no answer", bots.Scenario{Timeout: short / 3, Steps: []bots.Step{{Request: "Room.Never", Payload: "{}", Rate: rate(0)}}}, "timeout", 0},
		{"kicked", bots.Scenario{Duration: bots.Duration(time.Hour), Steps: []bots.Step{{Notify: "Room.Leave", Payload: `{"text":"out"}`, Rate: rate(50)}}}, "kicked", 2},
		{"setup fails", bots.Scenario{Setup: []bots.Step{{Request: "Room.Fail", Payload: "{}"}}, Duration: bots.Duration(time.Hour)}, "permission_denied", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.sc.URL == "" {
				c.sc.URL = url(app, "tcp")
			}
			if c.sc.Duration == 0 {
				c.sc.Duration = short
			}
			if c.sc.Timeout == 0 {
				c.sc.Timeout = bots.Duration(patient)
			}
			c.sc.Connections = 2
			runner := bots.Runner{
				Scenario: &c.sc,
				Options:  []client.Option{client.WithConnectTimeout(patient)}, // a short Timeout is of requests
			}
			rep, err := runner.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(rep.Errors) != 1 || rep.Errors[0].Code != c.code || rep.Failures == 0 || rep.Connections.Lost != c.lost {
				t.Errorf("the report says %d failures, %d lost, %+v", rep.Failures, rep.Connections.Lost, rep.Errors)
			}
		})
	}
}

// A bot that is thrown out before its setup is over is a lost connection, not an idle one: a run of
// such bots must not look as if all were well.
func TestKickedInSetup(t *testing.T) {
	app := nodetest.Start(t)
	rep := run(t, t.Context(), &bots.Scenario{
		URL: url(app, "tcp"), Connections: 4,
		Duration: bots.Duration(time.Hour), Timeout: bots.Duration(patient),
		Setup: []bots.Step{
			{Request: "Room.Evict", Payload: `{"text":"out"}`},
			{Request: "Room.Echo", Payload: "{}"},
		},
		Steps: []bots.Step{{Request: "Room.Echo", Payload: "{}"}},
	})
	if c := rep.Connections; c.Connected != 4 || c.Lost != c.Connected || len(rep.Problems) == 0 {
		t.Errorf("the report says %+v, problems %q", c, rep.Problems)
	}
	if !slices.ContainsFunc(rep.Errors, func(e bots.ErrorCount) bool {
		return e.Where == "connection" && e.Code == "kicked" && e.Count == 4
	}) {
		t.Errorf("the errors are %+v", rep.Errors)
	}
}

// Ctrl-C in the middle must give the figures so far.
func TestCutShort(t *testing.T) {
	app := nodetest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	runner := bots.Runner{
		Scenario: &bots.Scenario{
			URL: url(app, "tcp"), Connections: 1000, Timeout: bots.Duration(patient),
			Ramp: bots.Duration(200 * time.Second), Duration: bots.Duration(time.Hour),
			Steps: []bots.Step{{Request: "Room.Echo", Payload: "{}", Rate: rate(0)}},
		},
		Progress: func(p bots.Progress) {
			if p.Connected > 0 && p.Answered > 0 {
				cancel()
			}
		},
	}
	rep, err := runner.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if c := rep.Connections; c.Asked != 1000 || c.Connected != c.Tried || c.Connected == 1000 || rep.Requests.Answered == 0 || rep.Failures != 0 {
		t.Errorf("the report says %+v, %+v", rep.Connections, rep.Requests)
	}
}

func TestThresholds(t *testing.T) {
	app := nodetest.Start(t)
	hour, nano := bots.Duration(time.Hour), bots.Duration(1)
	for _, c := range []struct {
		name string
		th   bots.Thresholds
		fail bool // whether the steps do
		ok   bool
	}{
		{"none", bots.Thresholds{}, true, true},
		{"latency kept", bots.Thresholds{MaxP50: &hour, MaxP99: &hour}, false, true},
		{"latency missed", bots.Thresholds{MaxP50: &hour, MaxP999: &nano}, false, false},
		{"latency of nothing", bots.Thresholds{MaxP99: &hour}, true, false},
		{"no errors", bots.Thresholds{MaxErrors: "0"}, false, true},
		{"errors", bots.Thresholds{MaxErrors: "0"}, true, false},
		{"errors allowed", bots.Thresholds{MaxErrors: "100000"}, true, true},
		{"share kept", bots.Thresholds{MaxErrors: "100%"}, true, true},
		{"share missed", bots.Thresholds{MaxErrors: "0.1%"}, true, false},
		{"rate kept", bots.Thresholds{MinRate: rate(1)}, false, true},
		{"rate missed", bots.Thresholds{MinRate: rate(1e9)}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			step := bots.Step{Request: "Room.Echo", Payload: "{}", Rate: rate(200)}
			if c.fail {
				step.Request = "Room.Fail"
			}
			rep := run(t, t.Context(), &bots.Scenario{
				URL: url(app, "tcp"), Duration: bots.Duration(50 * time.Millisecond), Steps: []bots.Step{step}, Thresholds: c.th,
			})
			if rep.OK != c.ok {
				t.Errorf("%+v", rep.Thresholds)
			}
			var out bytes.Buffer
			if err := rep.Text(&out); err != nil || strings.Contains(out.String(), "MISSED") == c.ok {
				t.Errorf("%v\n%s", err, &out)
			}
			out.Reset()
			var back bots.Report
			if err := rep.JSON(&out); err != nil || json.Unmarshal(out.Bytes(), &back) != nil || back.OK != c.ok || back.Requests != rep.Requests {
				t.Errorf("%v\n%s", err, &out)
			}
		})
	}
}

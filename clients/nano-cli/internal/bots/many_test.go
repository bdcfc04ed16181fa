//go:build unix

package bots_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/nano-cli/internal/bots"
	"github.com/lonng/nano/clients/nano-cli/internal/nodetest"
	"github.com/lonng/nano/internal/nanotest"
)

// asNode is the variable with which this test's program is started once more, to be the node.
const asNode = "NANO_CLI_TEST_NODE"

func TestMain(m *testing.M) {
	if scheme := os.Getenv(asNode); scheme != "" {
		if err := serve(scheme); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// figures are what the node tells of itself.
type figures struct {
	Addr string
	nano.Stats
	CPU time.Duration
}

// serve is the node: it tells its figures at the start and for each line, and ends with its input.
func serve(scheme string) error {
	app := nodetest.New(nano.WithIsWebsocket(scheme == "ws"), nano.WithHandshakeTimeout(time.Minute)) // however busy the machine is
	if err := app.Start(context.Background()); err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); ; {
		if err := out.Encode(figures{app.Addr().String(), app.Stats(), cpuTime()}); err != nil {
			return err
		}
		if !in.Scan() {
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return app.Shutdown(ctx)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// startProcess runs the node as a process of its own. The function asks for its figures.
func startProcess(t *testing.T, scheme string) func() figures {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asNode+"="+scheme)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the node: %v", err)
		}
	})
	dec := json.NewDecoder(out)
	asked := false
	return func() (f figures) {
		t.Helper()
		if asked {
			_, err = fmt.Fprintln(in)
		}
		asked = true
		if err == nil {
			err = dec.Decode(&f)
		}
		if err != nil {
			t.Fatal("the node's figures: ", err)
		}
		return f
	}
}

// With thousands of connections the figures are what people decide on, and the bots run beside the
// server as often as not: they must count what the server counts, and leave the machine to it.
func TestThousandsOfConnections(t *testing.T) {
	conns := 5000
	if nanotest.Race {
		conns = 1000 // the detector would take the machine for a minute
	}
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < uint64(conns+200) {
		t.Skipf("%d descriptors are allowed, %v; each of both processes needs %d: ulimit -n", limit.Cur, err, conns+200)
	}
	for _, scheme := range []string{"tcp", "ws"} {
		t.Run(scheme, func(t *testing.T) {
			node := startProcess(t, scheme)
			rep := run(t, t.Context(), &bots.Scenario{
				URL: scheme + "://" + node().Addr, Connections: conns,
				Ramp: bots.Duration(3 * time.Second), Duration: bots.Duration(5 * time.Second), Timeout: bots.Duration(time.Minute),
				Setup: []bots.Step{{Request: "Room.Join", Payload: `{}`}},
				Steps: []bots.Step{
					{Request: "Room.Echo", Payload: `{"text":"{{.Bot}} {{.N}} {{letters 20}}"}`, Rate: rate(1)},
					{Request: "Room.Fail", Payload: `{"text":"bot"}`, Rate: rate(0.05)},
					{Notify: "Room.Say", Payload: `{"text":"hi"}`, Rate: rate(2.5 / float64(conns))}, // 2 or 3 a second, to all
				},
			})
			var f figures
			nodetest.Until(t, "the node closes all connections", func() bool { f = node(); return f.Closed == uint64(conns) })
			for _, row := range []struct {
				what           string
				node, reported uint64
			}{
				{"sessions", f.Opened, uint64(conns)},
				{"connections", f.Accepted, uint64(rep.Connections.Connected)},
				{"lost", f.Silent + f.Malformed + f.Kicked + f.SlowKicked + f.Dropped + f.Refused, uint64(rep.Connections.Lost)},
				{"requests", f.Requests, rep.Requests.Sent},
				{"failed", f.Failed, rep.Requests.Failed},
				{"answered", f.Requests - f.Failed, rep.Requests.Answered},
				{"in the histograms", f.Requests - f.Failed - uint64(conns), uint64(rep.Latency.Count)}, // all but the setup
				{"notifies", f.Notifies, rep.Notifies.Sent},
				{"bytes", f.BytesIn, rep.BytesOut},
			} {
				if scheme == "ws" && row.what == "bytes" {
					continue // the frames' own are no packet's
				}
				if row.node != row.reported {
					t.Errorf("%s: the node says %d, the report %d", row.what, row.node, row.reported)
				}
			}
			if rep.Requests.Failed == 0 || rep.Notifies.Sent == 0 || rep.Pushes == 0 || rep.Requests.Answered < uint64(3*conns) {
				t.Errorf("it has done too little: %+v", rep)
			}
			var text strings.Builder
			_ = rep.Text(&text)
			t.Logf("the node's processor time is %.1f s\n%s", f.CPU.Seconds(), &text)
			limit := 3.0 // of WebSockets it is about as much; see the README
			if scheme == "tcp" && runtime.GOOS == "linux" {
				limit = 2 // less, in a loop
			}
			if rep.Cost.CPU > limit*f.CPU.Seconds() {
				t.Errorf("the bots have taken %.1f s of processor time, the node %.1f s", rep.Cost.CPU, f.CPU.Seconds())
			}
			if rep.Cost.CPU <= 0 || rep.Cost.CPUPerMessage <= 0 || rep.Cost.Memory == 0 || rep.Cost.PerConnection == 0 {
				t.Errorf("the bots' own cost is %+v", rep.Cost)
			}
		})
	}
}

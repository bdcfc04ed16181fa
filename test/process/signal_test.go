package process_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// childEnv says that this process is to be a server, for the tests below.
const childEnv = "NANO_TEST_CHILD"

// TestServerProcess is not a test: it is the server of the tests below, in a process of its own.
func TestServerProcess(t *testing.T) {
	kind := os.Getenv(childEnv)
	if kind == "" {
		t.Skip("only as a child of other tests")
	}
	say := func(format string, a ...any) { fmt.Fprintf(os.Stdout, "> "+format+"\n", a...) }
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	g := nano.NewGroup("all")
	comps := apptest.Handlers(apptest.Funcs{
		"A.Join": func(_ context.Context, s *session.Session, _ []byte) error {
			return errors.Join(g.Add(s), s.Bind(s.ID()), s.Response([]byte("in")))
		},
		"A.Cancel": func(context.Context, *session.Session, []byte) error {
			cancel()
			return nil
		},
	})
	comps.Register(&apptest.Life{
		OnInit:      func() { say("Init") },
		OnAfterInit: func() { say("AfterInit") },
		OnBeforeShutdown: func() {
			say("BeforeShutdown")
			if err := g.Broadcast("onBye", []byte("bye")); err != nil {
				say("%v", err)
			}
		},
		OnShutdown: func() { say("Shutdown") },
	})
	closed := func(s *session.Session) { say("closed %d", s.UID()) }
	addr := os.Getenv(childEnv + "_ADDR")
	switch kind {
	case "run":
		app := nano.New(addr, nano.WithComponents(comps), nano.WithSignals(), apptest.Quiet())
		app.Lifetime().OnClosed(closed)
		say("returned %v", app.Run(context.Background()))
	case "drain":
		app := nano.New(addr, nano.WithComponents(comps), nano.WithSignals(syscall.SIGINT), nano.WithResume(nano.Resume{}),
			nano.WithDrain(nano.Drain{Timeout: time.Hour, Spread: time.Millisecond}), apptest.Quiet())
		app.Lifetime().OnClosed(closed)
		say("returned %v", app.Run(ctx))
	case "listen":
		session.Lifetime.OnClosed(closed)
		nano.Listen(addr, nano.WithComponents(comps), apptest.Quiet())
		say("returned <nil>")
	case "early": // Shutdown, then Listen
		nano.Shutdown()
		nano.Listen(addr, nano.WithComponents(comps), apptest.Quiet())
		say("returned <nil>")
	}
}

// server starts a child and returns it with its output.
func server(t *testing.T, kind, addr string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestServerProcess$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), childEnv+"="+kind, childEnv+"_ADDR="+addr)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // if it is there still
		_ = cmd.Wait()
	})
	return cmd, bufio.NewScanner(out)
}

// heard returns the next line that the child said; "" at the end.
func heard(lines *bufio.Scanner) string {
	for lines.Scan() {
		if s, ok := strings.CutPrefix(lines.Text(), "> "); ok {
			return s
		}
	}
	return ""
}

// The signal that a deployment sends ends it in order.
func TestSignalEndsTheProcessInOrder(t *testing.T) {
	for _, c := range []struct {
		kind string
		sig  syscall.Signal
	}{
		{"run", syscall.SIGTERM},
		{"run", syscall.SIGINT},
		{"listen", syscall.SIGTERM},
		{"listen", syscall.SIGINT},
		{"listen", syscall.SIGQUIT},
	} {
		t.Run(c.kind+" "+c.sig.String(), func(t *testing.T) {
			addr := nanotest.FreeAddr(t)
			cmd, lines := server(t, c.kind, addr)
			for _, want := range []string{"Init", "AfterInit"} {
				if got := heard(lines); got != want {
					t.Fatalf("it said %q, want %q", got, want)
				}
			}
			var clients []*nanotest.Client
			for range 3 {
				var nc net.Conn
				nanotest.Until(t, "it listens", func() bool {
					var err error
					nc, err = net.Dial("tcp", addr)
					return err == nil
				})
				client := nanotest.NewClient(t, nc)
				client.Ready()
				if m := client.Call("A.Join", nil); string(m.Data) != "in" {
					t.Fatalf("join: %v %q", m, m.Data)
				}
				clients = append(clients, client)
			}
			began := time.Now()
			if err := cmd.Process.Signal(c.sig); err != nil {
				t.Fatal(err)
			}
			for _, client := range clients {
				if got := client.Push("onBye"); string(got) != "bye" {
					t.Errorf("push %q", got)
				}
				if reason := client.Kicked(); reason != "server shutdown" {
					t.Errorf("reason %q", reason)
				}
				if p, err := client.Next(); !errors.Is(err, io.EOF) {
					t.Errorf("the end is %v, %v", p, err)
				}
				client.Close()
			}
			if _, err := net.Dial("tcp", addr); err == nil {
				t.Error("a new client is taken")
			}
			var said []string
			for s := heard(lines); s != ""; s = heard(lines) {
				said = append(said, s)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("the process ended with %v", err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			if len(said) > 2 {
				slices.Sort(said[2:])
			}
			want := []string{"BeforeShutdown", "Shutdown", "closed 1", "closed 2", "closed 3", "returned <nil>"}
			if !slices.Equal(said, want) {
				t.Errorf("it said %q, want %q", said, want)
			}
		})
	}
}

// A Shutdown that comes before the first Listen ends it: programs do that from another goroutine
// and cannot know.
func TestShutdownBeforeListen(t *testing.T) {
	cmd, lines := server(t, "early", "127.0.0.1:0")
	var said []string
	for s := heard(lines); s != ""; s = heard(lines) {
		said = append(said, s)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if want := []string{"Init", "AfterInit", "BeforeShutdown", "Shutdown", "returned <nil>"}; !slices.Equal(said, want) {
		t.Errorf("it said %q, want %q", said, want)
	}
}

// A deployment drains a node by the same signal. The node ends when its players have left, at a
// second signal, or when the program ends its Run.
func TestSignalDrainsTheProcess(t *testing.T) {
	for _, until := range []string{"the players have left", "a second signal", "the context of Run ends"} {
		t.Run(until, func(t *testing.T) {
			addr := nanotest.FreeAddr(t)
			cmd, lines := server(t, "drain", addr)
			for _, want := range []string{"Init", "AfterInit"} {
				if got := heard(lines); got != want {
					t.Fatalf("it said %q, want %q", got, want)
				}
			}
			var nc net.Conn
			nanotest.Until(t, "it listens", func() bool {
				var err error
				nc, err = net.Dial("tcp", addr)
				return err == nil
			})
			client := nanotest.NewClient(t, nc)
			client.Ready(`{"sys":{"accept":["resume"]}}`)
			if m := client.Call("A.Join", nil); string(m.Data) != "in" {
				t.Fatalf("join: %v %q", m, m.Data)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if got := client.Push("nano.drain"); string(got) != "{}" {
				t.Errorf("push %q", got)
			}
			apptest.Pong(t, client) // it is served meanwhile
			if until == "the players have left" {
				client.WritePacket(codec.Kick, nil) // goodbye: the last one
			} else {
				if until == "a second signal" {
					if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
						t.Fatal(err)
					}
				} else {
					client.Notify("A.Cancel", nil)
				}
				if got := client.Push("onBye"); string(got) != "bye" {
					t.Errorf("push %q", got)
				}
				if reason := client.Kicked(); reason != "server shutdown" {
					t.Errorf("kicked with %q", reason)
				}
			}
			var said []string
			for s := heard(lines); s != ""; s = heard(lines) {
				said = append(said, s)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("the process ended with %v", err)
			}
			slices.Sort(said)
			if want := []string{"BeforeShutdown", "Shutdown", "closed 1", "returned <nil>"}; !slices.Equal(said, want) {
				t.Errorf("it said %q, want %q", said, want)
			}
		})
	}
}

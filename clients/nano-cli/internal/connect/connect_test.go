package connect

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/clients/nano-cli/internal/nodetest"
)

// screen is what a session has written.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func join(t *testing.T, app *nano.App, scheme string, cfg Config) (*Session, *screen) {
	t.Helper()
	out := new(screen)
	cfg.URL = scheme + "://" + app.Addr().String()
	s := New(cfg, out)
	if err := s.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, out
}

// wants checks that the texts are there, in this order.
func wants(t *testing.T, got string, texts ...string) {
	t.Helper()
	rest := got
	for _, w := range texts {
		_, after, ok := strings.Cut(rest, w)
		if !ok {
			t.Fatalf("%q is not there, or not in its place:\n%s", w, got)
		}
		rest = after
	}
}

// A script through a pipe does what a person does at the prompt, and tells what came of it.
func TestScript(t *testing.T) {
	for _, scheme := range []string{"tcp", "ws"} {
		t.Run(scheme, func(t *testing.T) {
			app := nodetest.Start(t, nano.WithIsWebsocket(scheme == "ws"), nano.WithDictionary(map[string]uint16{"Room.Echo": 1, "onSay": 2}))
			s, out := join(t, app, scheme, Config{})
			err := s.Script(t.Context(), strings.NewReader(`# greet
request Room.Echo {"text":"hello, you"}
request Room.Join {}
on onSay
notify Room.Say {"text":"hi"}
wait onSay 10s
hex on
r Room.Bytes hex:0001ff
hex off
raw on
r Room.Echo {"text":"as it came"}
frames on
n Room.Say {"text":"framed"}
wait onSay
frames off
routes
info
quit
request Room.Echo {"text":"too late"}
`))
			if err != nil {
				t.Errorf("the script ends with %v", err)
			}
			wants(t, out.String(), "connected to "+scheme+"://", "dictionary of 2 routes",
				"answer Room.Echo", `"text": "hello, you"`, "welcome", "push onSay:", `"text": "hi"`,
				"answer Room.Bytes", "3 bytes", "00 01 ff", `: {"text":"as it came"}`,
				"frames on", ">> data", "flag: notify", "<< data", `route, code 2: "onSay"`, `push onSay: {"text":"framed"}`,
				"frames off", "Room.Echo\n", "onSay\n", "online; packets")
			if strings.Contains(out.String(), "too late") {
				t.Error("a command after quit was run")
			}
		})
	}
}

// A command that fails says why, does not end the others, and shows in the outcome.
func TestFailures(t *testing.T) {
	app := nodetest.Start(t)
	s, out := join(t, app, "tcp", Config{})
	lines := []struct{ line, want string }{
		{"dance", `no such command: "dance"`},
		{"request", "request needs a route"},
		{"request Room.Echo {", "not JSON: character 1"},
		{"request Room.Fail {\"text\":\"ann\"}", "permission_denied: not you, ann"},
		{"request Room.Nothing", "not_found"},
		{"wait", "wait needs a route"},
		{"wait onSay 10ms", "wait onSay: no push"},
		{"wait onSay soon", "a time is written like"},
		{"sleep x", "a time is written like"},
		{"hex maybe", `"maybe" is neither on nor off`},
	}
	var script strings.Builder
	want := make([]string, 0, len(lines)+1)
	for _, l := range lines {
		script.WriteString(l.line + "\n")
		want = append(want, l.want)
	}
	script.WriteString("info\n")
	if err := s.Script(t.Context(), strings.NewReader(script.String())); !errors.Is(err, ErrCommands) || !strings.Contains(err.Error(), "10") {
		t.Errorf("the script ends with %v", err)
	}
	wants(t, out.String(), append(want, "online;")...)

	s, out = join(t, app, "tcp", Config{Timeout: 20 * time.Millisecond}) // which is too short on a busy machine for what is answered
	if err := s.Script(t.Context(), strings.NewReader("request Room.Never {}\n")); !errors.Is(err, ErrCommands) {
		t.Errorf("the script ends with %v", err)
	}
	wants(t, out.String(), "no answer in time")
}

// Who is kicked must read the reason, and a script must not go on.
func TestKicked(t *testing.T) {
	app := nodetest.Start(t)
	s, out := join(t, app, "tcp", Config{})
	in, script := io.Pipe()
	t.Cleanup(func() { _ = script.Close() })
	go func() { _, _ = io.WriteString(script, "notify Room.Leave {\"text\":\"time to sleep\"}\n") }()
	var kick *client.KickError
	if err := s.Script(t.Context(), in); !errors.As(err, &kick) {
		t.Errorf("the script ends with %v", err)
	}
	wants(t, out.String(), "disconnected: ", "time to sleep")
}

// Pushes that nobody asked for are mentioned once, so that one knows what there is.
func TestListen(t *testing.T) {
	app := nodetest.Start(t)
	for _, c := range []struct {
		name, script string
		cfg          Config
		shown        int
	}{
		{"nothing", "", Config{}, 0},
		{"all by flag", "", Config{Listen: []string{"*"}}, 3},
		{"one by flag", "", Config{Listen: []string{"onSay"}}, 3},
		{"all", "on\n", Config{}, 3},
		{"all but one", "on\noff onSay\n", Config{}, 0},
		{"on and off", "on onSay\noff\n", Config{}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, out := join(t, app, "tcp", c.cfg)
			script := c.script + "r Room.Join {}\n" + strings.Repeat("n Room.Say {\"text\":\"hi\"}\nwait onSay\n", 3)
			if err := s.Script(t.Context(), strings.NewReader(script)); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(out.String(), "push onSay:"); n != c.shown {
				t.Errorf("%d pushes are shown:\n%s", n, out)
			}
			if n := strings.Count(out.String(), `"on onSay"`); (n == 1) != (c.shown == 0) {
				t.Errorf("%d hints:\n%s", n, out)
			}
		})
	}
}

// console is a terminal in memory.
type console struct {
	io.Reader
	io.Writer
}

// At the prompt, Tab must save typing, what is shown must not mix with what is typed, and history
// must be there the next time.
func TestPrompt(t *testing.T) {
	app := nodetest.Start(t, nano.WithDictionary(map[string]uint16{"Room.Echo": 1, "Room.Say": 2}))
	file := filepath.Join(t.TempDir(), "not there yet", "history")
	for _, typed := range []string{
		"req\tRoom.E\t{\"text\":\"typed\"}\rbad\rquit\r",
		"\x1b[A\x1b[A\x1b[A\rquit\r", // up to the request
		"\x1b[A\x04",                 // Ctrl-D means nothing on a full line,
	} {
		s, _ := join(t, app, "tcp", Config{History: file, Raw: true})
		out := new(screen)
		in, keys := io.Pipe()
		go func() {
			_, _ = io.WriteString(keys, typed)
			_ = keys.Close() // but the end of the terminal does
		}()
		if err := s.prompt(t.Context(), console{in, out}, 80, 24); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(typed, "quit") {
			wants(t, out.String(), "nano> ", "answer Room.Echo", `{"text":"typed"}`)
		}
		s.Close()
	}
	h, err := openHistory(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{`request Room.Echo {"text":"typed"}`, "bad", "quit"}; !slices.Equal(h.lines[:3], want) {
		t.Errorf("the history is %q", h.lines)
	}
}

func TestPromptEndsWithTheConnection(t *testing.T) {
	app := nodetest.Start(t)
	s, _ := join(t, app, "tcp", Config{})
	in, keys := io.Pipe()
	defer keys.Close()
	go func() { _, _ = io.WriteString(keys, "n Room.Leave {\"text\":\"go\"}\r") }()
	var kick *client.KickError
	if err := s.prompt(t.Context(), console{in, new(screen)}, 80, 24); !errors.As(err, &kick) {
		t.Errorf("the prompt ends with %v", err)
	}
}

// A server must not be able to clear the screen or to change the window's title.
func TestNoControlCharacters(t *testing.T) {
	out := new(screen)
	New(Config{}, out).printf("error: %s\n", "bad \x1b[2J\rname")
	if out.String() != "error: bad .[2J.name\n" {
		t.Errorf("%q", out)
	}
}

func TestComplete(t *testing.T) {
	s := New(Config{Listen: []string{"Room.Join", "Room.Say", "Room.SayAll", "onSay"}}, io.Discard)
	for _, c := range []struct {
		line, want string
		choice     []string
	}{
		{"not", "notify ", nil},
		{"r", "r", []string{"request", "raw", "routes"}},
		{"request R", "request Room.", nil},
		{"request Room.", "request Room.", []string{"Room.Join", "Room.Say", "Room.SayAll"}},
		{"r Room.J", "r Room.Join ", nil},
		{"r Room.Join o", "r Room.Join o", nil},
		{"on Room.Join o", "on Room.Join onSay ", nil},
		{"hex o", "hex o", nil},
		{"x", "x", nil},
	} {
		line, pos, choice := s.complete(c.line, len(c.line))
		if line != c.want || pos != len(line) || !slices.Equal(choice, c.choice) {
			t.Errorf("%q becomes %q (%d), %q", c.line, line, pos, choice)
		}
	}
}

func TestConnectRefused(t *testing.T) {
	s := New(Config{URL: "tcp://127.0.0.1:1"}, io.Discard)
	if err := s.Connect(context.Background()); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("connecting to nobody: %v", err)
	}
}

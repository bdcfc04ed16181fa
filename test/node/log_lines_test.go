package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// maxLines is how many lines a flood may make at once, whatever it is made of: the first of each
// kind.
const maxLines = 25

// named is an argument whose type's name is nothing for clients.
type named struct{ Name string }

// refusals are an application whose handlers and filter fail in every way that a client can bring
// about.
func refusals() (*component.Components, nano.Option) {
	cs := new(component.Components)
	component.HandleNotify(cs, "Room.Join", func(context.Context, *session.Session, *named) error { return nil })
	component.HandleRaw(cs, "Room.Fail", func(context.Context, *session.Session, []byte) error { return errors.New("bug") })
	component.HandleRaw(cs, "Room.Panic", func(context.Context, *session.Session, []byte) error { panic("bug") })
	component.HandleRaw(cs, "Room.Refuse", func(context.Context, *session.Session, []byte) error { return nil })
	p := pipeline.New()
	p.Inbound().PushBack(func(_ *session.Session, m *pipeline.Message) error {
		if m.Route == "Room.Refuse" {
			return errors.New("not in a room")
		}
		return nil
	})
	return cs, nano.WithPipeline(p)
}

// Whoever writes a client learns from the server's log why a message was refused, the first time
// that it is.
func TestRefusedMessagesAreLogged(t *testing.T) {
	for _, c := range []struct{ route, data, want string }{
		{"room.join", "{}", `no handler for route "room.join"; did you mean "Room.Join"?`},
		{"Room.Jion", "{}", `no handler for route "Room.Jion"; did you mean "Room.Join"?`},
		{"Weather.Today", "{}", `no handler for route "Weather.Today"`},
		{"Room.Join", "{", "payload is not a *node_test.named"},
		{"Room.Join", `{"Name":7}`, "cannot unmarshal number"},
		{"Room.Refuse", "", "not in a room"},
	} {
		t.Run(c.route+" "+c.data, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cs, opt := refusals()
				n := apptest.Start(t, cs, opt)
				cl := n.TCP.Client(t)
				cl.Ready() // a client of v0.5's kind, which gets no error
				cl.Request(c.route, []byte(c.data))
				cl.Notify(c.route, []byte(c.data)) // of the same kind: no second line at once
				synctest.Wait()
				lines := n.Log.Lines("WARN", "message refused", "route="+c.route)
				if len(lines) != 1 || !strings.Contains(lines[0], c.want) {
					t.Errorf("logged %q, want one with %q", lines, c.want)
				}
				if c.route == "Weather.Today" && strings.Contains(lines[0], "did you mean") {
					t.Error("a route is not like any, and a hint was given")
				}
			})
		})
	}
}

// A client that sends nonsense as fast as it can fills no disk: neither with one kind of message
// nor with many.
func TestFloodsMakeFewLines(t *testing.T) {
	const messages = 3000
	floods := map[string]func(i int) (route, data string){
		"one route":      func(int) (string, string) { return "room.join", "{}" },
		"many routes":    func(i int) (string, string) { return fmt.Sprint("No.Such", i), "{}" },
		"payloads":       func(int) (string, string) { return "Room.Join", "{" },
		"refused":        func(int) (string, string) { return "Room.Refuse", "" },
		"handler errors": func(int) (string, string) { return "Room.Fail", "" },
		"handler panics": func(int) (string, string) { return "Room.Panic", "" },
		"all of them": func(i int) (string, string) {
			return []string{"room.join", fmt.Sprint("No.Such", i), "Room.Join", "Room.Refuse", "Room.Fail", "Room.Panic"}[i%6], "{"
		},
	}
	for name, next := range floods {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cs, opt := refusals()
				n := apptest.Start(t, cs, opt)
				c := n.TCP.Client(t)
				c.Ready()
				before := len(n.Log.Lines())
				for i := range messages {
					route, data := next(i)
					c.Notify(route, []byte(data))
				}
				synctest.Wait()
				lines := n.Log.Lines()[before:]
				perMessage := map[string]int{}
				for _, line := range lines {
					perMessage[strings.SplitN(line, " route=", 2)[0]]++
				}
				for message, count := range perMessage {
					if count > maxLines {
						t.Errorf("%q: %d lines", message, count)
					}
				}
				if len(lines) == 0 {
					t.Error("nothing was logged")
				}
			})
		})
	}
}

// Connections that come and go as fast as they can, with nonsense in them, make few lines as well.
func TestFloodsOfConnectionsMakeFewLines(t *testing.T) {
	for name, send := range map[string]func(c *nanotest.Client){
		"malformed":   func(c *nanotest.Client) { _ = c.Send([]byte{9, 9, 9, 9}) },
		"refused":     func(c *nanotest.Client) { c.WritePacket(codec.Handshake, []byte(`{}`)) },
		"validator":   func(c *nanotest.Client) { c.WritePacket(codec.Handshake, []byte(`panic`)) },
		"without ack": func(c *nanotest.Client) { c.WritePacket(codec.Data, nil) },
		"closed":      func(*nanotest.Client) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := apptest.Start(t, new(component.Components), nano.WithHandshakeValidator(func(_ *session.Session, b []byte) error {
					if string(b) == "panic" {
						panic("bug")
					}
					return errors.New("no")
				}))
				before := len(n.Log.Lines())
				for range 500 {
					c := n.TCP.Client(t)
					send(c)
					c.Close()
				}
				synctest.Wait()
				loud := 0
				for _, line := range n.Log.Lines()[before:] {
					if !strings.HasPrefix(line, "DEBUG") {
						loud++
					}
				}
				if all := len(n.Log.Lines()) - before; loud > 5 || all > 250 {
					t.Errorf("%d lines, and %d with those for debugging", loud, all)
				}
			})
		})
	}
}

// A header may have kilobytes, and its line in the log does not.
func TestOriginsMakeShortLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := apptest.Start(t, new(component.Components), nano.WithSameOrigin())
		nc, err := n.WS.Dial()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nanotest.Upgrade(t, nc, "/", http.Header{"Origin": {"http://" + strings.Repeat("x", 15<<10)}}); err == nil {
			t.Error("another origin was let in")
		}
		if lines := n.Log.Lines("upgrade refused", "xxxx"); len(lines) != 1 || len(lines[0]) > 2<<10 {
			t.Errorf("logged %.3000q", lines)
		}
	})
}

// A client's text forges no line: neither in v0.5's logger nor in one of log/slog.
func TestTextFromOutsideIsQuoted(t *testing.T) {
	const route = "a\nnano: ERROR the database is lost"
	var old lineLog
	var text bytes.Buffer
	for name, opt := range map[string]nano.Option{
		"v0.5": nano.WithLogger(&old), "slog": nano.WithSlog(slog.New(slog.NewTextHandler(&text, nil))),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cs, filters := refusals()
				n := apptest.Start(t, cs, filters, nano.WithSlog(nil), opt, nano.WithDebugMode())
				c := n.TCP.Client(t)
				c.Ready()
				c.Notify(route, []byte("{}"))
				synctest.Wait()
				n.Stop(t)
				got := old.String()
				if name == "slog" {
					got = text.String()
				}
				if !strings.Contains(got, "message refused") {
					t.Errorf("not logged: %s", got)
				}
				for line := range strings.Lines(got) {
					if strings.HasPrefix(line, "nano: ERROR") {
						t.Errorf("a line was forged: %q", line)
					}
				}
			})
		})
	}
}

// "return nil, nil" answers the request, once: with what the serializer writes for nil.
func TestNilRepliesAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cs := new(component.Components)
		component.Handle(cs, "A.Nil", func(context.Context, *session.Session, *named) (*named, error) { return nil, nil })
		component.Handle(cs, "A.Own", func(_ context.Context, s *session.Session, _ *named) (*named, error) {
			return nil, s.Response(named{"own"})
		})
		c := apptest.Start(t, cs).TCP.Client(t)
		c.Ready()
		for route, want := range map[string]string{"A.Nil": "null", "A.Own": `{"Name":"own"}`} {
			if m := c.Call(route, []byte("{}")); m.Err || string(m.Data) != want {
				t.Errorf("%s: answer %q, want %q", route, m.Data, want)
			}
		}
		c.Request("A.Own", []byte("{}"))
		if m := c.Message(); string(m.Data) != `{"Name":"own"}` {
			t.Errorf("a second answer: %q", m.Data)
		}
	})
}

// A handler that forgets to answer is told of once; one that answers later is not.
func TestUnansweredRequestsAreWarnedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quiet := func(context.Context, *session.Session, []byte) error { return nil }
		late := func(_ context.Context, s *session.Session, _ []byte) error {
			mid := s.LastMid()
			time.AfterFunc(3*time.Second, func() { _ = s.ResponseMID(mid, []byte("late")) })
			return nil
		}
		n := apptest.Start(t, apptest.Handlers(apptest.Funcs{"A.Never": quiet, "A.Late": late, "A.Now": apptest.Echo}), nano.WithHeartbeatInterval(time.Minute))
		c := n.TCP.Client(t)
		c.Ready()
		for range 3 {
			c.Request("A.Never", nil)
			c.Request("A.Late", nil)
			c.Request("A.Now", nil)
			c.Notify("A.Never", nil)
		}
		go func() {
			for {
				if _, err := c.Next(); err != nil {
					return
				}
			}
		}()
		time.Sleep(9 * time.Second)
		if n.Log.Has("not answered") {
			t.Error("logged too early")
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if got := n.Log.Lines("WARN", "not answered"); len(got) != 1 || !strings.Contains(got[0], "route=A.Never") {
			t.Errorf("logged: %q", got)
		}
	})
}

// lineLog is a logger of v0.5's kind that keeps its lines.
type lineLog struct {
	mu  sync.Mutex
	all strings.Builder
}

func (l *lineLog) Println(v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(&l.all, v...)
}

func (l *lineLog) Fatal(v ...any)                 { panic(fmt.Sprint(v...)) }
func (l *lineLog) Fatalf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }

func (l *lineLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

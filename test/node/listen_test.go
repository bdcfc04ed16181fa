package node_test

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/service"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// The same by v0.5's names, which use the process's default instances each time.
func TestListenAndShutdownAgain(t *testing.T) {
	nanotest.Leaks(t)
	var closed atomic.Int64
	session.Lifetime.OnClosed(func(*session.Session) { closed.Add(1) })
	before := service.Connections.Count()
	for i := range 100 {
		l := nanotest.NewListener()
		timer := scheduler.NewAfterTimer(time.Microsecond, func() {}) // programs make timers before they listen
		done := make(chan struct{})
		started := make(chan struct{})
		go func() {
			nano.Listen(fmt.Sprintf("node %d", i), nano.WithComponents(&component.Components{}),
				nano.WithEndpoint(nano.Endpoint{Listener: accepting{l, started}}), apptest.Quiet())
			close(done)
		}()
		<-started
		c := l.Client(t)
		c.Ready()
		nano.Shutdown()
		c.Kicked()
		c.Close()
		<-done
		timer.Stop()
		nano.Shutdown() // nothing runs: it does nothing, not to the next one either
	}
	if closed.Load() != 100 || service.Connections.Count() != before {
		t.Errorf("OnClosed ran %d times for 100 sessions; %d connections are counted", closed.Load(), service.Connections.Count()-before)
	}
}

// accepting tells when it is served.
type accepting struct {
	net.Listener
	began chan struct{}
}

func (a accepting) Accept() (net.Conn, error) {
	select {
	case <-a.began:
	default:
		close(a.began)
	}
	return a.Listener.Accept()
}

// Two Listens at once would share the process's default instances: the second one says so and
// returns.
func TestListenTwice(t *testing.T) {
	l := nanotest.NewListener()
	began := make(chan struct{})
	done := make(chan struct{})
	go func() {
		nano.Listen("one", nano.WithEndpoint(nano.Endpoint{Listener: accepting{l, began}}), apptest.Quiet())
		close(done)
	}()
	<-began
	log, lines := nanotest.NewLog()
	nano.Listen("127.0.0.1:0", nano.WithSlog(log))
	if !lines.Has("ERROR", "running already") {
		t.Errorf("logged %q", lines.Lines())
	}
	c := l.Client(t) // the first one serves on
	c.Ready()
	nano.Shutdown()
	c.Kicked()
	c.Close()
	<-done
}

// printed is v0.5's logger.
type printed struct{ nanotest.Record }

func (p *printed) Println(v ...any) { p.Add(fmt.Sprint(v...)) }

func (*printed) Fatal(...any) { panic("a library ended the process") }

func (*printed) Fatalf(string, ...any) { panic("a library ended the process") }

// v0.5 ended the process. A library does not: Listen says what is wrong and returns.
func TestListenLogsItsError(t *testing.T) {
	out := new(printed)
	nano.Listen("127.0.0.1:0", nano.WithTSLConfig("none.pem", "none.pem"), nano.WithLogger(out))
	if got := strings.Join(out.List(), "\n"); !strings.Contains(got, "nano: ERROR") || !strings.Contains(got, "none.pem") {
		t.Errorf("printed %q", got)
	}
}

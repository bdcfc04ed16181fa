package client_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/clients/client"
)

// A server that is drained costs nobody anything: the client leaves it after a moment, goes to the
// next address, and is in its session again. Servers that refuse it meanwhile do not end it.
func TestFollowsADrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		var addrs []string
		full := false // what is dialed is closed at once
		changes := make(chan client.Change, 100)
		c := client.New("tcp://one.example.com:1", client.WithAddresses("tcp://two.example.com:2"),
			client.WithStateHandler(func(ch client.Change) { changes <- ch }),
			client.WithDialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
				addrs = append(addrs, addr)
				if full {
					full = false
					here, there := net.Pipe()
					return here, there.Close()
				}
				return s.dial(ctx, network, addr)
			}))
		c.On("nano.drain", func([]byte) { t.Error("the application hears of it") })
		p := s.join(c, resumable("", `"token":"one"`))
		answer := ask(c, t.Context(), "Room.Echo")
		mid := p.request("Room.Echo").ID
		p.push("nano.drain", "{}")
		p.push("nano.drain", "{}") // once more changes nothing
		full = true                // the first other server that it comes to takes nobody
		synctest.Wait()
		other := ask(c, t.Context(), "Room.Other") // sent on the connection that it is about to leave
		p.request("Room.Other")
		began := time.Now()
		if _, err := p.next(); err == nil {
			t.Fatal("it does not leave")
		}
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("it left after %v", took)
		}
		p = s.accept()
		p.welcome(resumable("", `"token":"two","resumed":true,"received":1`))
		if !strings.Contains(p.hello, `"resume":{"token":"one","received":2,"gap":true}`) {
			t.Errorf("it comes back with %s", p.hello)
		}
		second := p.request("Room.Other").ID // the server has received one
		p.respond(second, `{}`)
		p.respond(mid, `{}`)
		if err := errors.Join(<-answer, <-other); err != nil {
			t.Error(err)
		}
		if want := "one.example.com:1 two.example.com:2 one.example.com:1"; strings.Join(addrs, " ") != want {
			t.Errorf("dialed %q, want %s", addrs, want)
		}
		var got []client.Change
		for len(changes) > 0 {
			got = append(got, <-changes)
		}
		if len(got) != 4 || got[1].State != client.Suspended || !errors.Is(got[1].Err, client.ErrDrained) || got[1].In != 0 || !got[3].Resumed {
			t.Errorf("told %+v", got)
		}
	})
}

// A server that resumes nothing may have a push of that name.
func TestDrainMeansNothingWithoutResume(t *testing.T) {
	s := newServer(t)
	c, p := s.connect(silent)
	heard := make(chan string, 1)
	c.On("nano.drain", func(data []byte) { heard <- string(data) })
	p.push("nano.drain", "{}")
	if got := eventually(t, heard, "the push"); got != "{}" {
		t.Errorf("push %q", got)
	}
}

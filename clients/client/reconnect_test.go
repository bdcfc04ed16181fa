package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/codec"
)

var fast = client.Reconnect{Min: time.Second, Max: 8 * time.Second}

func TestComesBackWithItsHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		states := make(chan client.Change, 100)
		c, p := s.connect(silent, client.WithReconnect(fast), client.WithStateHandler(func(ch client.Change) { states <- ch }))
		said := make(chan string, 10)
		c.On("say", func(data []byte) { said <- string(data) })
		p.push("say", "1")
		if got := <-said; got != "1" {
			t.Errorf("push %q", got)
		}
		flight := ask(c, ctx, "a.b")
		p.request("a.b")
		_ = p.nc.Close()
		if err := <-flight; !errors.Is(err, client.ErrLost) {
			t.Errorf("the request in flight ends with %v", err)
		}
		synctest.Wait()
		if c.State() != client.Away || c.Err() == nil {
			t.Errorf("state %v, %v", c.State(), c.Err())
		}
		waiting := ask(c, ctx, "a.c") // while away
		p = s.accept()
		p.welcome(silent)
		p.respond(p.request("a.c").ID, "")
		if err := <-waiting; err != nil {
			t.Errorf("the request that waited ends with %v", err)
		}
		p.push("say", "2")
		if got := <-said; got != "2" {
			t.Errorf("push %q", got)
		}
		p.drain()
		_ = c.Shutdown(ctx)
		close(states)
		var got []string
		for ch := range states {
			got = append(got, fmt.Sprintf("%v%d", ch.State, ch.Attempt))
		}
		if want := "online0 away1 online0 closed0"; strings.Join(got, " ") != want {
			t.Errorf("states %q, want %s", got, want)
		}
		if c.Stats().Connects != 2 {
			t.Errorf("%d connects", c.Stats().Connects)
		}
	})
}

// Thousands of clients that a server has lost must not come back in step, nor hammer it.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		var waits []time.Duration
		r := fast
		r.Attempts = 6
		c, p := s.connect(silent, client.WithReconnect(r), client.WithStateHandler(func(ch client.Change) {
			if ch.State == client.Away {
				waits = append(waits, ch.In)
			}
		}))
		s.down = true
		_ = p.nc.Close()
		<-c.Done()
		if err := c.Err(); !errors.Is(err, errRefused) || !strings.Contains(err.Error(), "6 attempts") {
			t.Errorf("gave up with %v", err)
		}
		for i, seconds := range []int{1, 2, 4, 8, 8, 8} {
			full := time.Duration(seconds) * time.Second
			if i >= len(waits) || waits[i] < full/2 || waits[i] > full {
				t.Fatalf("waits %v: number %d is not in %v to %v", waits, i, full/2, full)
			}
		}
		if len(waits) != 6 {
			t.Errorf("waits %v", waits)
		}
	})
}

func TestGivesUpAfterATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		r := fast
		r.Within = time.Minute
		c, p := s.connect(silent, client.WithReconnect(r))
		s.down = true
		begin := time.Now()
		_ = p.nc.Close()
		<-c.Done()
		if got := time.Since(begin); got > time.Minute || got < 52*time.Second-time.Nanosecond {
			t.Errorf("gave up after %v", got)
		}
	})
}

func TestWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, p := s.connect(silent, client.WithReconnect(client.Reconnect{Min: time.Hour, Max: time.Hour}), client.WithAwayWait(3*time.Second))
		_ = p.nc.Close()
		synctest.Wait()
		begin := time.Now()
		if err := c.Request(ctx, "a.b", nil, nil); !errors.Is(err, client.ErrAway) || !errors.Is(err, c.Err()) || time.Since(begin) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		hasty, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		err := c.Notify(hasty, "a.b", nil)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 4*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		if !errors.Is(err, client.ErrAway) || !errors.Is(err, c.Err()) {
			t.Errorf("%v: it does not say that there is no connection, and why", err)
		}
		waiting := ask(c, ctx, "a.b")
		synctest.Wait()
		_ = c.Close()
		if err := <-waiting; !errors.Is(err, client.ErrClosed) {
			t.Errorf("Close ends a waiting request with %v", err)
		}
		if got := time.Since(begin); got != 4*time.Second {
			t.Errorf("Close took until %v", got)
		}
	})
}

// A client that stays away after the node's own kicks loses its player to a deployment or a slow
// moment; one that comes back after the application's is in a fight with whoever has signed in
// elsewhere.
func TestWhichEndsAreFinal(t *testing.T) {
	for _, tc := range []struct {
		name  string
		end   func(p *peer)
		again bool
	}{
		{"closed", func(p *peer) { _ = p.nc.Close() }, true},
		{"server shutdown", func(p *peer) { p.kick("server shutdown") }, true},
		{"slow consumer", func(p *peer) { p.kick("slow consumer") }, true},
		{"kicked without a reason", func(p *peer) { p.kick("") }, false},
		{"banned", func(p *peer) { p.kick("banned") }, false},
		{"broken", func(p *peer) { p.write([]byte{9}) }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				c, p := s.connect(silent, client.WithReconnect(fast))
				tc.end(p)
				time.Sleep(time.Minute)
				if again := len(s.conns) > 0; again != tc.again {
					t.Errorf("came back: %v", again)
				}
				_ = c.Close()
			})
		})
	}
}

// A client whose token is not good any more must not hammer the server with it, whatever code it is
// refused with.
func TestRefusedOnReturn(t *testing.T) {
	for _, code := range []int{401, 500, 501} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			c, p := s.connect(silent, client.WithReconnect(fast))
			_ = p.nc.Close()
			s.accept().welcome(fmt.Sprintf(`{"code":%d}`, code))
			<-c.Done()
			var r *client.RefusedError
			if !errors.As(c.Err(), &r) || r.Code != code {
				t.Errorf("ended with %v", c.Err())
			}
		})
	}
}

// A server that cannot tell just now whose token that is, since its database is away, takes the
// client back once it can.
func TestRefusedForNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, p := s.connect(silent, client.WithReconnect(fast))
		_ = p.nc.Close()
		for range 3 {
			s.accept().welcome(`{"code":503,"reason":"the database is away"}`)
		}
		s.accept().welcome(silent)
		synctest.Wait()
		if err := c.Err(); err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}

// The application's word on kicks counts, the node's own included.
func TestAfterKick(t *testing.T) {
	for reason, again := range map[string]bool{"nap": true, "server shutdown": false} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			r := fast
			r.AfterKick = func(reason string) bool { return reason == "nap" }
			c, p := s.connect(silent, client.WithReconnect(r))
			p.kick(reason)
			time.Sleep(time.Minute)
			if got := len(s.conns) > 0; got != again {
				t.Errorf("%s: came back: %v", reason, got)
			}
			_ = c.Close()
		})
	}
}

// After a reconnection nobody may play before the client is signed in again.
func TestSetupComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		token := 0
		c := client.New("tcp://h:1", client.WithDialer(s.dial), client.WithReconnect(fast), client.WithAwayWait(time.Minute),
			client.WithUserFunc(func(context.Context) (any, error) {
				token++
				return token, nil
			}),
			client.WithSetup(func(ctx context.Context, c *client.Client) error {
				return c.Request(ctx, "Gate.Login", nil, nil)
			}))
		connected := make(chan error, 1)
		go func() { connected <- c.Connect(ctx) }()
		p := s.accept()
		p.welcome(silent)
		synctest.Wait()
		early := ask(c, ctx, "a.early")
		p.respond(p.request("Gate.Login").ID, "")
		p.respond(p.request("a.early").ID, "")
		if err := errors.Join(<-connected, <-early); err != nil {
			t.Fatal(err)
		}
		for i := 2; i < 4; i++ {
			_ = p.nc.Close()
			synctest.Wait()
			waiting := ask(c, ctx, "a.waiting")
			if i == 3 { // the connection is lost during the setup, which is tried again on the next
				p = s.accept()
				p.welcome(silent)
				p.request("Gate.Login")
				_ = p.nc.Close()
			}
			p = s.accept()
			p.welcome(silent)
			login := p.request("Gate.Login")
			if !strings.Contains(p.hello, `"user":`) {
				t.Errorf("handshake %s", p.hello)
			}
			synctest.Wait()
			if c.State() != client.Away {
				t.Errorf("state %v during the setup", c.State())
			}
			p.respond(login.ID, "")
			p.respond(p.request("a.waiting").ID, "")
			if err := <-waiting; err != nil {
				t.Error(err)
			}
		}
		if token != 4 {
			t.Errorf("%d handshakes", token)
		}
		p.drain()
		_ = c.Close()
	})
}

func TestSetupFails(t *testing.T) {
	errSetup := errors.New("wrong password")
	for _, tc := range []struct {
		name  string
		setup func(ctx context.Context, c *client.Client) error
		want  error
	}{
		{"error", func(context.Context, *client.Client) error { return errSetup }, errSetup},
		{"panic", func(context.Context, *client.Client) error { panic(errSetup) }, nil},
		{"close", func(_ context.Context, c *client.Client) error { return c.Close() }, client.ErrClosed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				done := make(chan error, 1)
				go func() {
					_, err := client.Dial(ctx, "tcp://h:1", quiet(), client.WithDialer(s.dial), client.WithSetup(tc.setup), client.WithReconnect(fast))
					done <- err
				}()
				p := s.accept()
				p.welcome(silent)
				p.drain()
				if err := <-done; err == nil || tc.want != nil && !errors.Is(err, tc.want) {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

func TestCloseDuringReconnection(t *testing.T) {
	for _, when := range []string{"waiting", "dialing", "handshake", "setup"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				first := true
				c, p := s.connect(silent, client.WithReconnect(fast), client.WithSetup(func(ctx context.Context, c *client.Client) error {
					if first {
						first = false
						return nil
					}
					<-ctx.Done()
					return nil // it does not look at errors
				}))
				_ = p.nc.Close()
				switch when {
				case "waiting":
					synctest.Wait()
				case "dialing":
					_ = s.accept()
				case "handshake":
					p = s.accept()
					p.packet()
				case "setup":
					p = s.accept()
					p.welcome(silent)
					p.drain()
				}
				synctest.Wait()
				begin := time.Now()
				_ = c.Shutdown(ctx)
				if time.Since(begin) != 0 {
					t.Errorf("Shutdown took %v", time.Since(begin))
				}
			})
		})
	}
}

// resumable is an answer of a server that resumes sessions.
func resumable(more, resume string) string {
	return `{"code":200` + more + `,"sys":{"accepted":["resume"],"own":1,"resume":{"window":30,` + resume + `}}}`
}

// A new session whose handshake breaks off before the ack is none that a client comes back to, and
// the next one says what was lost.
func TestHandshakeBreaksAfterTheAnswer(t *testing.T) {
	s := newServer(t)
	changes := make(chan client.Change, 100)
	c := client.New("tcp://game.example.com:3250", client.WithDialer(s.dial), client.WithReconnect(client.Reconnect{Min: time.Millisecond, Max: time.Millisecond}),
		client.WithStateHandler(func(ch client.Change) { changes <- ch }))
	p := s.join(c, resumable("", `"token":"one"`))
	_ = p.nc.Close()

	p = s.accept()
	if hello := p.packet(); !strings.Contains(string(hello.Body), `"token":"one"`) {
		t.Errorf("it says %s", hello.Body)
	}
	p.write(codec.AppendPacket(nil, codec.Handshake, []byte(resumable("", `"token":"two","resumed":false,"reason":"expired"`))))
	_ = p.nc.Close()

	p = s.accept()
	p.welcome(resumable("", `"token":"three"`))
	if strings.Contains(p.hello, `"token"`) {
		t.Errorf("it comes back to what never was: %s", p.hello)
	}
	for online := 0; online < 2; {
		ch := eventually(t, changes, "a change")
		if ch.State != client.Online {
			continue
		}
		if online++; online == 2 && (ch.Resumed || ch.Lost != "expired") {
			t.Errorf("told %+v", ch)
		}
	}
}

// What the application has said in the first answer of a session is known as long as that goes on.
func TestInfoOfAResumedSession(t *testing.T) {
	s := newServer(t)
	c, p := s.connect(resumable(`,"user":{"name":"Ada"}`, `"token":"one"`))
	_ = p.nc.Close()
	p = s.accept()
	p.welcome(`{"code":200,"sys":{"accepted":["resume"],"heartbeat":7,"resume":{"window":30,"token":"two","resumed":true,"received":0}}}`)
	ended := ask(c, t.Context(), "Room.Echo")
	p.respond(p.request("Room.Echo").ID, `{}`)
	if err := eventually(t, ended, "an answer"); err != nil {
		t.Fatal(err)
	}
	in := c.Info()
	var sys struct {
		Own, Heartbeat int
		Resume         struct{ Token string }
	}
	if err := json.Unmarshal(in.Sys, &sys); err != nil || sys.Own != 1 || sys.Heartbeat != 7 || sys.Resume.Token != "two" || string(in.User) != `{"name":"Ada"}` {
		t.Errorf("sys %s, user %s: %v", in.Sys, in.User, err)
	}
}

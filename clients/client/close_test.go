package client_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/clients/client"
	app "github.com/lonng/nano/clients/client/testdata/app/client"
)

// What a program has sent before Close must be on its way when Close returns, whichever function
// calls it: a program that ends after it would lose its last words.
func TestCloseHasFlushed(t *testing.T) {
	for _, from := range []string{
		"main", "an application's client.Client",
		"a push handler", "a state handler", "a function of Start", "a setup",
	} {
		t.Run(from, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				var c *client.Client
				var p *peer
				closed := make(chan bool, 1)
				endIn := func(ctx context.Context) {
					if err := c.Notify(ctx, "a.last", []byte("words")); err != nil {
						t.Error(err)
					}
					begin := time.Now()
					_ = c.Close()
					closed <- time.Since(begin) == time.Second
				}
				end := func() { endIn(ctx) }
				switch from {
				case "a setup":
					c = client.New("tcp://h:1", client.WithDialer(s.dial),
						client.WithSetup(func(ctx context.Context, _ *client.Client) error { endIn(ctx); return nil }))
					go func() { _ = c.Connect(ctx) }()
					p = s.accept()
					p.welcome(silent)
				case "a state handler":
					online := make(chan struct{})
					c = client.New("tcp://h:1", client.WithDialer(s.dial), client.WithStateHandler(func(ch client.Change) {
						if ch.State == client.Online {
							close(online)
							end()
						}
					}))
					p = s.join(c, silent)
					<-online
				default:
					c, p = s.connect(silent)
				}
				switch from {
				case "main":
					go end()
				case "an application's client.Client":
					go (&app.Client{Work: end}).Run()
				case "a push handler":
					c.On("over", func([]byte) { end() })
					p.push("over", "")
				case "a function of Start":
					if err := c.Start("a.over", nil, func(_ []byte, err error) {
						if err != nil {
							t.Error(err)
						}
						end()
					}); err != nil {
						t.Fatal(err)
					}
					p.respond(p.request("a.over").ID, "")
				}
				time.Sleep(time.Second) // the server is slow
				if m := p.message(); m.Route != "a.last" || string(m.Data) != "words" {
					t.Errorf("the server gets %v", m)
				}
				if !<-closed {
					t.Error("Close has not returned when the server had read what was sent")
				}
				<-c.Done()
			})
		})
	}
}

// A handler may wait for what the caller of Close holds: with a Close that waits for handlers, both
// wait for ever.
func TestCloseDoesNotWaitForHandlers(t *testing.T) {
	t.Run("a lock", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			c, p := s.connect(silent)
			lock := make(chan struct{}, 1) // a mutex that synctest sees through
			handled := make(chan struct{})
			c.On("x", func([]byte) {
				defer close(handled)
				lock <- struct{}{}
				<-lock
			})
			lock <- struct{}{}
			p.push("x", "")
			synctest.Wait()
			p.drain()
			_ = c.Close()
			select {
			case <-c.Done():
				t.Error("done while a handler runs")
			default:
			}
			<-lock
			<-handled
			<-c.Done()
		})
	})
	t.Run("another goroutine closes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			c, p := s.connect(silent)
			c.On("x", func([]byte) {
				closed := make(chan struct{})
				go func() {
					defer close(closed)
					_ = c.Close()
				}()
				<-closed
			})
			p.push("x", "")
			p.drain()
			<-c.Done()
		})
	})
}

// After Shutdown nothing of the client runs any more: only then may a program take down what its
// handlers use.
func TestShutdownWaitsForHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		handled, told := false, false
		c := client.New("tcp://h:1", client.WithDialer(s.dial), client.WithStateHandler(func(ch client.Change) {
			told = told || ch.State == client.Closed
		}))
		p := s.join(c, silent)
		c.On("x", func([]byte) {
			time.Sleep(time.Second)
			handled = true
		})
		p.push("x", "")
		synctest.Wait()
		p.drain()
		if err := c.Shutdown(ctx); err != nil || !handled || !told {
			t.Errorf("Shutdown returns %v; the handler has returned: %t; the state handler has been told: %t", err, handled, told)
		}
		if err := c.Shutdown(ctx); err != nil {
			t.Errorf("a second Shutdown returns %v", err)
		}
	})
}

// A handler that hangs must not hang the program.
func TestShutdownEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, p := s.connect(silent)
		release := make(chan struct{})
		c.On("x", func([]byte) { <-release })
		p.push("x", "")
		synctest.Wait()
		p.drain()
		hasty, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		err := c.Shutdown(hasty)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "client: ") {
			t.Errorf("Shutdown returns %v", err)
		}
		if err := c.Notify(ctx, "a.b", nil); !errors.Is(err, client.ErrClosed) {
			t.Errorf("a notify gives %v", err)
		}
		close(release)
		<-c.Done()
		if _, err := p.next(); err != io.EOF && err == nil {
			t.Errorf("the connection is open")
		}
	})
}

package client_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/codec"
)

func TestHandlersRunInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := client.New("tcp://h:1", quiet(), client.WithDialer(s.dial))
		var got []string
		note := func(name string) func([]byte) {
			return func(data []byte) { got = append(got, name+string(data)) }
		}
		c.On("a", note("a"))
		remove := c.On("a", note("second a"))
		client.On(c, "b", func(m *text) { got = append(got, "b"+m.Text) })
		c.On("panics", func([]byte) { panic("a bug of the application") })
		c.OnOther(func(route string, data []byte) { got = append(got, route+"?"+string(data)) })
		p := s.join(c, `{"code":200,"sys":{"dict":{"b":1,"other":2}}}`)
		p.dict, _ = codec.NewDictionary(map[string]uint16{"b": 1, "other": 2})
		p.push("a", "1")
		p.push("b", `{"Text":"2"}`)
		p.push("panics", "")
		p.push("b", "does not decode")
		p.send(&codec.Message{Type: codec.Push, Route: "b", Data: zip(`{"Text":"3"}`), Gzip: true})
		p.send(&codec.Message{Type: codec.Push, Route: "b", Data: []byte("no gzip"), Gzip: true})
		p.push("other", "4")
		p.push("unknown", "5")
		synctest.Wait()
		remove()
		remove()
		c.OnOther(nil)
		p.push("unknown", "6")
		p.push("a", "7")
		synctest.Wait()
		want := []string{"a1", "second a1", "b2", "b3", "other?4", "unknown?5", "a7"}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		p.drain()
	})
}

// A bot answers what it is told: its handlers must be able to ask the server.
func TestHandlerMakesRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, p := s.connect(silent)
		answers := make(chan string, 10)
		c.On("turn", func([]byte) {
			r, err := client.Call[[]byte](ctx, c, "Game.Move", nil)
			if err != nil {
				answers <- err.Error()
				return
			}
			answers <- string(*r)
		})
		for range 3 {
			p.push("turn", "")
		}
		for i := range 3 {
			p.respond(p.request("Game.Move").ID, fmt.Sprint(i))
			if got := <-answers; got != fmt.Sprint(i) {
				t.Errorf("answer %d is %s", i, got)
			}
		}
		p.drain()
	})
}

// Pushes beyond the bound are lost with a bang, or counted: a game that goes on without some of
// them is wrong.
func TestPushQueueOverflows(t *testing.T) {
	for _, drop := range []bool{false, true} {
		t.Run(fmt.Sprint("drop ", drop), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				opts := []client.Option{client.WithPushQueue(10 * (64 + 100))}
				if drop {
					opts = append(opts, client.WithPushDrop())
				}
				c, p := s.connect(silent, opts...)
				n := 0
				release := make(chan struct{})
				c.On("x", func([]byte) {
					<-release
					n++
				})
				for range 10 { // a burst that fits arrives whole
					p.push("x", strings.Repeat("x", 100))
				}
				synctest.Wait()
				p.push("x", strings.Repeat("x", 100))
				synctest.Wait()
				if over := c.Err() != nil; drop && (over || c.Stats().Dropped != 1) {
					t.Errorf("ended with %v, dropped %d", c.Err(), c.Stats().Dropped)
				}
				close(release)
				synctest.Wait()
				if drop {
					p.push("x", "") // there is room again
					synctest.Wait()
					n--
					p.drain()
				} else {
					<-c.Done()
					if err := c.Err(); err == nil || !strings.Contains(err.Error(), client.ErrOverflow.Error()) {
						t.Errorf("ended with %v", err)
					}
				}
				if n != 10 {
					t.Errorf("%d pushes of 10 were handled", n)
				}
			})
		})
	}
}

func TestChannels(t *testing.T) {
	for _, tc := range []struct {
		name     string
		overflow client.Overflow
		want     string
		dropped  uint64
	}{
		{"wait", client.Wait, "[1 2 3 4 5]", 0},
		{"drop newest", client.DropNewest, "[1 2]", 3},
		{"drop oldest", client.DropOldest, "[4 5]", 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				c, p := s.connect(silent, quiet())
				ch, stop := client.Channel[int](c, "n", 2, tc.overflow)
				defer stop()
				for i := range 5 {
					p.push("n", fmt.Sprint(i+1))
				}
				p.push("n", "not a number")
				synctest.Wait()
				_ = p.nc.Close() // the client ends by itself; what has come is still there
				var got []int
				for n := range ch {
					got = append(got, *n)
				}
				if fmt.Sprint(got) != tc.want || c.Stats().Dropped != tc.dropped {
					t.Errorf("got %v, dropped %d", got, c.Stats().Dropped)
				}
				<-c.Done()
				late, _ := client.Channel[int](c, "n", 2, tc.overflow)
				if _, open := <-late; open {
					t.Error("a channel of an ended client has something")
				}
			})
		})
	}
}

// Who has stopped reading a channel must be able to close it, or the client, all the same.
func TestFullChannelLetsGo(t *testing.T) {
	for _, how := range []string{"stop", "close"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				c, p := s.connect(silent)
				ch, stop := client.Channel[int](c, "n", 1, client.Wait)
				for i := range 3 {
					p.push("n", fmt.Sprint(i))
				}
				synctest.Wait()
				p.drain()
				if how == "stop" {
					stop()
					stop()
				} else {
					_ = c.Close()
				}
				n := 0
				for range ch {
					n++
				}
				if n != 1 {
					t.Errorf("%d values", n)
				}
			})
		})
	}
}

// Handlers come and go while pushes arrive: nothing of it may race.
func TestHandlersChangeMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c, p := s.connect(silent)
		done := make(chan struct{})
		for range 4 {
			go func() {
				for range 100 {
					remove := c.On("x", func([]byte) {})
					ch, stop := client.Channel[int](c, "x", 1, client.Wait)
					time.Sleep(time.Millisecond)
					select {
					case <-ch:
					default:
					}
					stop()
					remove()
				}
				done <- struct{}{}
			}()
		}
		left := 4
		for i := 0; left > 0; i++ {
			p.push("x", fmt.Sprint(i))
			time.Sleep(100 * time.Microsecond)
			select {
			case <-done:
				left--
			default:
			}
		}
		p.drain()
	})
}

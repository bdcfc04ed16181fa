package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
)

// The answer is read by clients that nobody can change any more: every key and every type counts.
func TestHandshakeAnswer(t *testing.T) {
	dict, err := codec.NewDictionary(map[string]uint16{"T.Echo": 1, "onIt": 2})
	if err != nil {
		t.Fatal(err)
	}
	const version = "3191a5c748a5b599" // the same on every node and in every release: clients keep dictionaries under it
	for _, row := range []struct {
		name   string
		change func(*Config)
		body   string // VERSION stands for the dictionary's
		want   string // and TIME for the time
	}{
		{"plain", nil, `{}`, `{"code":200,"sys":{"heartbeat":1,"servertime":TIME}}`},
		{"empty body", nil, ``, `{"code":200,"sys":{"heartbeat":1,"servertime":TIME}}`},
		{"no JSON", nil, "\x00\x01", `{"code":200,"sys":{"heartbeat":1,"servertime":TIME}}`},
		{"JSON of another shape", nil, `[1,2]`, `{"code":200,"sys":{"heartbeat":1,"servertime":TIME}}`},
		{"accept of another shape", nil, `{"sys":{"accept":"error"}}`, `{"code":200,"sys":{"heartbeat":1,"servertime":TIME}}`},
		{"a client of old", nil, `{"sys":{"type":"js-websocket","version":"0.0.1","rsa":{}},"user":{}}`, `{"code":200,"sys":{"heartbeat":1,"servertime":TIME}}`},
		{"fraction of a second", func(c *Config) { c.Heartbeat = 100 * time.Millisecond }, `{}`, `{"code":200,"sys":{"heartbeat":1,"servertime":TIME}}`},
		{"one and a half seconds", func(c *Config) { c.Heartbeat = 1500 * time.Millisecond }, `{}`, `{"code":200,"sys":{"heartbeat":2,"servertime":TIME}}`},
		{"half a minute", func(c *Config) { c.Heartbeat = 30 * time.Second }, `{}`, `{"code":200,"sys":{"heartbeat":30,"servertime":TIME}}`},
		{"dictionary", func(c *Config) { c.Dictionary = dict }, `{}`,
			`{"code":200,"sys":{"heartbeat":1,"servertime":TIME,"dict":{"T.Echo":1,"onIt":2}}}`},
		{"accept what there is", func(c *Config) { c.GzipMin, c.WriteDelay = 10, time.Millisecond }, `{"sys":{"accept":["batch","what","error","gzip"]}}`,
			`{"code":200,"sys":{"heartbeat":1,"servertime":TIME,"maxPacket":65536,"accepted":["error","gzip","batch"]}}`},
		{"accept what is not on", nil, `{"sys":{"accept":["batch","error","gzip"]}}`,
			`{"code":200,"sys":{"heartbeat":1,"servertime":TIME,"maxPacket":65536,"accepted":["error"]}}`},
		{"accept nothing known", nil, `{"sys":{"accept":["resume"]}}`, `{"code":200,"sys":{"heartbeat":1,"servertime":TIME,"maxPacket":65536}}`},
		{"accept nothing", func(c *Config) { c.MaxPacket = 1000 }, `{"sys":{"accept":[]}}`,
			`{"code":200,"sys":{"heartbeat":1,"servertime":TIME,"maxPacket":1000}}`},
		{"dictionary, to a newer client", func(c *Config) { c.Dictionary = dict }, `{"sys":{"accept":["error"]}}`,
			`{"code":200,"sys":{"heartbeat":1,"servertime":TIME,"maxPacket":65536,"dict":{"T.Echo":1,"onIt":2},"dictVersion":"VERSION","accepted":["error"]}}`},
		{"dictionary that the client has", func(c *Config) { c.Dictionary = dict }, `{"sys":{"accept":[],"dictVersion":"VERSION"}}`,
			`{"code":200,"sys":{"heartbeat":1,"servertime":TIME,"maxPacket":65536,"dictVersion":"VERSION"}}`},
		{"dictionary that the client has in another version", func(c *Config) { c.Dictionary = dict }, `{"sys":{"accept":[],"dictVersion":"0123456789abcdef"}}`,
			`{"code":200,"sys":{"heartbeat":1,"servertime":TIME,"maxPacket":65536,"dict":{"T.Echo":1,"onIt":2},"dictVersion":"VERSION"}}`},
		{"dictionary of another server, by number", func(c *Config) { c.Dictionary = dict }, `{"sys":{"accept":["error"],"dictVersion":3}}`,
			`{"code":200,"sys":{"heartbeat":1,"servertime":TIME,"maxPacket":65536,"dict":{"T.Echo":1,"onIt":2},"dictVersion":"VERSION","accepted":["error"]}}`},
		{"dictionary of another server, and none here", nil, `{"sys":{"accept":[],"dictVersion":"VERSION"}}`,
			`{"code":200,"sys":{"heartbeat":1,"servertime":TIME,"maxPacket":65536}}`},
		{"version without accept", func(c *Config) { c.Dictionary = dict }, `{"sys":{"dictVersion":"VERSION"}}`,
			`{"code":200,"sys":{"heartbeat":1,"servertime":TIME,"dict":{"T.Echo":1,"onIt":2}}}`},
		{"additions", func(c *Config) {
			c.Handshake = func(_ *session.Session, h *session.Handshake) error {
				h.Sys = map[string]any{"shard": 3, "heartbeat": 0, "servertime": "x", "dict": "x", "accepted": "x", "dictVersion": "x", "maxPacket": "x"}
				h.User = map[string]string{"name": "ann"}
				return nil
			}
		}, `{}`, `{"code":200,"sys":{"heartbeat":1,"servertime":TIME,"shard":3},"user":{"name":"ann"}}`},
		{"refused", func(c *Config) {
			c.Handshake = func(*session.Session, *session.Handshake) error { return errors.New("secret reason") }
		}, `{}`, `{"code":500}`},
		{"refused with a code", func(c *Config) {
			c.Handshake = func(*session.Session, *session.Handshake) error {
				return fmt.Errorf("wrapped: %w", &session.Refusal{Code: 501, Reason: "too old"})
			}
		}, `{}`, `{"code":501,"reason":"too old"}`},
		{"panic", func(c *Config) {
			c.Handshake = func(*session.Session, *session.Handshake) error { panic("secret") }
		}, `{}`, `{"code":500}`},
		{"additions that are no JSON", func(c *Config) {
			c.Handshake = func(_ *session.Session, h *session.Handshake) error { h.User = make(chan int); return nil }
		}, `{}`, `{"code":500}`},
	} {
		for _, websocket := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, websocket %v", row.name, websocket), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var change []func(*Config)
					if row.change != nil {
						change = append(change, row.change)
					}
					w := newWorld(t, change...)
					time.Sleep(42 * time.Second)
					c := w.dial(t, websocket)
					a := c.Handshake(strings.ReplaceAll(row.body, "VERSION", version))
					want := strings.NewReplacer("TIME", fmt.Sprint(time.Now().Unix()), "VERSION", version).Replace(row.want)
					if !websocket { // merged messages are for WebSockets
						want = strings.ReplaceAll(want, `,"batch"`, "")
					}
					if !sameJSON(t, string(a.Body), want) {
						t.Errorf("answered\n%s, want\n%s", a.Body, want)
					}
					if a.Code != 200 {
						c.Ended()
						synctest.Wait()
						if len(w.opened) > 0 || w.closed.Load() != 1 || w.counters.Refused.Load() != 1 {
							t.Errorf("opened %d, closed %d, refused %d", len(w.opened), w.closed.Load(), w.counters.Refused.Load())
						}
						return
					}
					c.Ack()
					if m := c.Call("T.Echo", []byte("x")); string(m.Data) != "x" {
						t.Errorf("got %v", m)
					}
				})
			})
		}
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := errors.Join(json.Unmarshal([]byte(a), &x), json.Unmarshal([]byte(b), &y)); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}

// A validator sees what it needs to know who knocks, and what it stores is there for the handlers.
func TestHandshakeValidatorSeesTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := make(chan string, 2)
		w := newWorld(t, func(c *Config) {
			c.Handshake = func(s *session.Session, h *session.Handshake) error {
				s.Set("payload", string(h.Payload))
				if h.Request == nil {
					seen <- "tcp"
					return nil
				}
				seen <- h.Request.Header.Get("Cookie") + " " + h.Request.URL.Query().Get("token")
				return nil
			}
		})
		nc, err := w.ws.Dial()
		if err != nil {
			t.Fatal(err)
		}
		c, err := nanotest.Upgrade(t, nc, "/?token=7", http.Header{"Cookie": {"id=8"}})
		if err != nil {
			t.Fatal(err)
		}
		c.Ready(`{"user":1}`)
		if got := <-seen; got != "id=8 7" {
			t.Errorf("it saw %q", got)
		}
		if s := <-w.opened; s.String("payload") != `{"user":1}` {
			t.Errorf("the session has %q", s.String("payload"))
		}
		w.join(t, false, "{}")
		if got := <-seen; got != "tcp" {
			t.Errorf("it saw %q", got)
		}
	})
}

// A validator that waits for a database holds up this client only, and not beyond the handshake's
// deadline.
func TestHandshakeValidatorThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		w := newWorld(t, func(c *Config) {
			c.Handshake = func(_ *session.Session, h *session.Handshake) error {
				if string(h.Payload) == "slow" {
					<-free
				}
				return nil
			}
		})
		slow := w.dial(t, false)
		slow.WritePacket(codec.Handshake, []byte("slow"))
		began := time.Now()
		fast, _ := w.join(t, false, "{}")
		fast.Call("T.Echo", nil)
		if d := time.Since(began); d > 0 {
			t.Errorf("the other client waited for %v", d)
		}
		fast.Close()
		slow.Ended()
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("ended after %v, want 3 s", d)
		}
		close(free)
		synctest.Wait()
		if len(w.opened) != 0 || w.closed.Load() != 2 {
			t.Errorf("opened %d, closed %d", len(w.opened), w.closed.Load())
		}
	})
}

// A validator that closes the session, or pushes to it, is obeyed: nothing is sent before the
// answer.
func TestHandshakeValidatorUsesTheSession(t *testing.T) {
	for _, websocket := range []bool{false, true} {
		for _, accept := range []string{"{}", `{"sys":{"accept":["batch"]}}`} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *Config) {
					c.WriteDelay = time.Millisecond
					c.Handshake = func(s *session.Session, h *session.Handshake) error {
						if string(h.Payload) == "close" {
							s.Close()
							return nil
						}
						return errors.Join(s.Push("one", []byte("1")), s.Push("two", []byte("2")))
					}
				})
				c, _ := w.join(t, websocket, accept)
				if a, b := c.Push("one"), c.Push("two"); string(a)+string(b) != "12" {
					t.Errorf("pushed %q, %q", a, b)
				}
				c = w.dial(t, websocket)
				c.WritePacket(codec.Handshake, []byte("close"))
				if all := c.Rest(); len(all) != 0 {
					t.Errorf("sent %v to a client that was never answered", all)
				}
			})
		}
	}
}

// A session that is found by its id before its handshake can be pushed to: the client must be able
// to read it.
func TestPushBeforeTheHandshake(t *testing.T) {
	for _, websocket := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			found := make(chan *session.Session, 1)
			w := newWorld(t, func(cfg *Config) {
				cfg.WriteDelay = time.Millisecond
				before := cfg.NewSession
				cfg.NewSession = func(e session.NetworkEntity) *session.Session {
					s := before(e)
					found <- s
					return s
				}
			})
			c := w.dial(t, websocket)
			s := <-found
			synctest.Wait()
			if err := s.Push("early", []byte("x")); err != nil {
				t.Fatal(err)
			}
			if err := w.Multicast("early", []byte("y"), []*session.Session{s}); err != nil {
				t.Fatal(err)
			}
			c.Ready(`{"sys":{"accept":["batch"]}}`)
			if a, b := c.Push("early"), c.Push("early"); string(a)+string(b) != "xy" {
				t.Errorf("pushed %q, %q", a, b)
			}
		})
	}
}

// What a browser's client was told in the handshake it uses: routes of the dictionary work both
// ways.
func TestDictionaryBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dict, err := codec.NewDictionary(map[string]uint16{"T.Echo": 500, "onIt": 65535})
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, func(c *Config) { c.Dictionary = dict })
		c, s := w.join(t, true, "{}")
		if m := c.Call("T.Echo", []byte("x")); string(m.Data) != "x" {
			t.Errorf("got %v", m)
		}
		if err := s.Push("onIt", []byte("p")); err != nil {
			t.Fatal(err)
		}
		if got := c.Push("onIt"); string(got) != "p" {
			t.Errorf("got %q", got)
		}
		if err := s.Push("other", []byte("q")); err != nil {
			t.Fatal(err)
		}
		b, err := c.NextWS()
		if err != nil || !slices.Equal(b[4:6], []byte{6, 5}) {
			t.Errorf("a route that is not in it: % x, %v", b, err)
		}
	})
}

// A gate that ends while a handshake waits in the application ends all the same.
func TestShutdownWithAReaderInTheApplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		w := newWorld(t, func(c *Config) {
			c.HandshakeTimeout = time.Hour
			c.Handshake = func(*session.Session, *session.Handshake) error { <-free; return nil }
		})
		c := w.dial(t, false)
		c.WritePacket(codec.Handshake, nil)
		synctest.Wait()
		w.StopAccepting()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := w.Shutdown(ctx); err == nil {
			t.Error("it says that everything ended well")
		}
		if d := time.Since(began); d > 3*time.Second {
			t.Errorf("it took %v", d)
		}
		close(free)
		synctest.Wait()
		if got := w.Len(); got != 0 {
			t.Errorf("%d connections are left", got)
		}
	})
}

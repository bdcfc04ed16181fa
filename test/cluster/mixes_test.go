package cluster_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/session"
	"github.com/lonng/nano/test/internal/apptest"
)

// A cluster is moved from v0.5 to this version one node at a time, in whatever order: players do
// not notice. Master, gate and backend are each of one or the other; gate and backend come in
// either order, and what works when they come works later.
func TestMovingFromV05NodeByNode(t *testing.T) {
	for i := range 16 {
		oldMaster, oldGate, oldBackend, gateFirst := i&1 > 0, i&2 > 0, i&4 > 0, i&8 > 0
		name := func(old bool) string {
			if old {
				return "v0.5"
			}
			return "ours"
		}
		t.Run(fmt.Sprintf("master %s, gate %s, backend %s, gate first %t", name(oldMaster), name(oldGate), name(oldBackend), gateFirst), func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := &mix{t: t, f: f}
				if oldMaster {
					newOld(t, f, apptest.Master)
				} else {
					f.Start(t, apptest.Master, apptest.Handlers(nil))
				}
				if gateFirst {
					m.gate(oldGate)
					m.backend(oldBackend)
				} else {
					m.backend(oldBackend)
					m.gate(oldGate)
				}
				synctest.Wait()
				m.check()
				time.Sleep(20 * time.Second) // many heartbeats, which say what they say
				m.check()
			})
		})
	}
}

// Gate and backend share their filters: each message passes them once, inbound where its handler is,
// and outbound at the gate, as in v0.5. A filter that decrypts would take plain text for a cipher.
func TestSharedFiltersRunOnce(t *testing.T) {
	for name, row := range map[string]struct {
		oldGate, oldBackend bool
		want                string
	}{
		"ours":        {false, false, "a!?"},
		"old backend": {false, true, "a!?"},
		"old gate":    {true, false, "a!"}, // whose own filters are not here
	} {
		t.Run(name, func(t *testing.T) {
			apptest.InBubble(t, func(t *testing.T, f *apptest.Cluster) {
				m := &mix{t: t, f: f, filters: pipeline.New()}
				add := func(mark byte) pipeline.Func {
					return func(_ *session.Session, m *pipeline.Message) error {
						m.Data = append(slices.Clone(m.Data), mark)
						return nil
					}
				}
				m.filters.Inbound().PushBack(add('!'))
				m.filters.Outbound().PushBack(add('?'))
				f.Start(t, apptest.Master, apptest.Handlers(nil))
				m.backend(row.oldBackend)
				m.gate(row.oldGate)
				synctest.Wait()
				p := m.connect()
				if got := p.ask("a"); got != row.want {
					t.Errorf("answer %q, want %q", got, row.want)
				}
				p.leave()
				synctest.Wait()
			})
		})
	}
}

// mix is a gate and a backend, each of either version.
type mix struct {
	t *testing.T
	f *apptest.Cluster

	filters pipeline.Pipeline // of our nodes; an old backend adds "!" itself

	// connect connects a player to the gate.
	connect func() mixPlayer
	// closed returns how many sessions the backend has seen the end of.
	closed func() int
}

// mixPlayer is a client of a gate of either version.
type mixPlayer struct {
	ask   func(data string) (answer string) // a request to Back.Echo
	kick  func() (said string)              // a notify to Back.Kick: the push before the end
	leave func()                            // by itself
}

// check has one player be served and kicked, and one that leaves.
func (m *mix) check() {
	m.t.Helper()
	before := m.closed()
	kicked, leaves := m.connect(), m.connect()
	for _, p := range []mixPlayer{kicked, leaves} {
		if got := p.ask("hello"); got != "hello" {
			m.t.Fatalf("answer %q, want hello", got)
		}
	}
	if got := kicked.kick(); got != "words" {
		m.t.Errorf("pushed %q, want words", got)
	}
	leaves.leave()
	synctest.Wait()
	if got := m.closed() - before; got != 2 {
		m.t.Errorf("the backend saw %d sessions end, want 2", got)
	}
}

// beats has an old node tell the master that it lives.
func (m *mix) beats(o *old) {
	o.register()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m.t.Context().Err() == nil {
			_, _ = clusterpb.NewMasterClient(o.to(apptest.Master)).Heartbeat(m.t.Context(), &clusterpb.HeartbeatRequest{MemberInfo: proto.CloneOf(o.info)})
			time.Sleep(time.Second)
		}
	}()
	m.t.Cleanup(func() { <-done })
}

func (m *mix) backend(isOld bool) {
	if !isOld {
		b := m.f.Start(m.t, "back:1", apptest.Handlers(backend(nil)), nano.WithPipeline(m.filters))
		ended := watch(b)
		m.closed = func() int { return len(ended.list()) }
		return
	}
	o := newOld(m.t, m.f, "back:1", "Back")
	o.handle = func(gate string, id int64, mid uint64, route string, data []byte) {
		g, ctx := o.member(gate), m.t.Context()
		var err error
		if route == "Back.Echo" {
			if m.filters != nil {
				data = append(data, '!')
			}
			_, err = g.HandleResponse(ctx, &clusterpb.ResponseMessage{SessionId: id, Id: mid, Data: data})
		} else if _, err = g.HandlePush(ctx, &clusterpb.PushMessage{SessionId: id, Route: "last", Data: []byte("words")}); err == nil {
			_, err = g.CloseSession(ctx, &clusterpb.CloseSessionRequest{SessionId: id})
		}
		if err != nil {
			m.t.Errorf("%s: %v", route, err)
		}
	}
	m.closed = func() int { return len(o.said("closed ")) }
	m.beats(o)
}

func (m *mix) gate(isOld bool) {
	if isOld {
		m.oldGate()
		return
	}
	g := m.f.Start(m.t, "gate:1", apptest.Handlers(nil), nano.WithPipeline(m.filters))
	m.connect = func() mixPlayer {
		c := g.TCP.Client(m.t)
		c.Beats = true
		c.Ready(apptest.AcceptErrors)
		return mixPlayer{
			ask: func(data string) string { return string(c.Call("Back.Echo", []byte(data)).Data) },
			kick: func() string {
				c.Notify("Back.Kick", []byte("enough"))
				said := string(c.Push("last"))
				c.Rest()
				c.Close()
				return said
			},
			leave: c.Close,
		}
	}
}

func (m *mix) oldGate() {
	o := newOld(m.t, m.f, "gate:1")
	m.beats(o)
	sessions, mids := int64(0), uint64(0)
	m.connect = func() mixPlayer {
		sessions++
		id := sessions
		leave := func() { // 0.5 tells all
			o.mu.Lock()
			known := slices.Collect(maps.Keys(o.known))
			o.mu.Unlock()
			for _, addr := range known {
				if _, err := o.member(addr).SessionClosed(m.t.Context(), &clusterpb.SessionClosedRequest{SessionId: id}); err != nil {
					m.t.Errorf("tell %s of the end: %v", addr, err)
				}
			}
		}
		return mixPlayer{
			ask: func(data string) string {
				mids++
				_, err := o.serving("Back").HandleRequest(m.t.Context(), &clusterpb.RequestMessage{GateAddr: "gate:1", SessionId: id, Id: mids, Route: "Back.Echo", Data: []byte(data)})
				if err != nil {
					m.t.Fatalf("request: %v", err)
				}
				synctest.Wait()
				return strings.Join(o.said(fmt.Sprintf("response %d %d ", id, mids)), " and ")
			},
			kick: func() string {
				_, err := o.serving("Back").HandleNotify(m.t.Context(), &clusterpb.NotifyMessage{GateAddr: "gate:1", SessionId: id, Route: "Back.Kick", Data: []byte("enough")})
				if err != nil {
					m.t.Fatalf("notify: %v", err)
				}
				synctest.Wait()
				if got := o.said("close "); !slices.Contains(got, fmt.Sprint(id)) {
					m.t.Errorf("closed %q, want %d", got, id)
				}
				leave()
				return strings.Join(o.said(fmt.Sprintf("push %d last ", id)), " and ")
			},
			leave: leave,
		}
	}
}

// said returns what calls that begin with this said after it.
func (o *old) said(prefix string) (all []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.calls {
		if rest, ok := strings.CutPrefix(c, prefix); ok {
			all = append(all, rest)
		}
	}
	return all
}

// serving is a node that runs a service, as a gate of 0.5 finds it.
func (o *old) serving(service string) clusterpb.MemberClient {
	o.t.Helper()
	o.mu.Lock()
	var at string
	for addr, services := range o.known {
		if slices.Contains(services, service) {
			at = addr
		}
	}
	o.mu.Unlock()
	if at == "" {
		o.t.Fatalf("%s knows nobody who runs %s", o.info.GetServiceAddr(), service)
	}
	return o.member(at)
}

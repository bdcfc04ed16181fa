package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/examples/im/store/postgrestest"
)

// sharedPostgres is a PostgreSQL that tests share, each with a database of its own: to start one
// takes longer than most tests do.
type sharedPostgres struct {
	once   sync.Once
	server *postgrestest.Server // nil: there is none, or no test has needed it
	err    error
}

var shared sharedPostgres

func (p *sharedPostgres) start() (*postgrestest.Server, error) {
	p.once.Do(func() { p.server, p.err = postgrestest.Start(context.Background(), "fsync=off") })
	return p.server, p.err
}

func (p *sharedPostgres) stop() {
	if p.server != nil {
		p.server.Stop()
	}
}

// several is a messenger of several nodes in this process.
type several struct {
	t      *testing.T
	conf   config
	master *running
	logics []*running
	gates  []*running
}

// running is one node.
type running struct {
	*node
	stop func()
}

// newSeveral starts a master, two nodes that run channels and two gates, on PostgreSQL where it is
// here, else on one file.
func newSeveral(t *testing.T) *several {
	t.Helper()
	s := &several{t: t, conf: config{data: t.TempDir(), apiKeys: []string{"secret"}, names: true, liveTick: 100 * time.Millisecond, token: "together", heartbeat: 3 * time.Second, listen: "127.0.0.1:0"}}
	server, err := shared.start()
	switch {
	case errors.Is(err, postgrestest.ErrMissing):
		t.Log("SKIPPED: PostgreSQL:", err)
	case err != nil:
		t.Fatal(err)
	default:
		if s.conf.database, err = server.Database(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.master = s.start(roleMaster)
	s.conf.master = s.master.conf.listen
	for range 2 {
		s.logics = append(s.logics, s.start(roleLogic))
	}
	for range 2 {
		s.gates = append(s.gates, s.start(roleGate))
	}
	for _, g := range s.gates {
		until(t, "a gate is not ready", func() bool { return g.ready(t.Context()) == nil && len(g.fleet.Serving()) == 2 })
	}
	return s
}

func (s *several) start(role string) *running {
	s.t.Helper()
	conf := s.conf
	conf.addr = "127.0.0.1:0"
	n, err := newNode(s.t.Context(), role, conf)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := n.run(ctx, io.Discard); err != nil {
			s.t.Errorf("the %s ended with %v", role, err)
		}
	}()
	var once sync.Once
	r := &running{node: n, stop: func() {
		once.Do(func() {
			cancel()
			<-ended
			n.close()
		})
	}}
	s.t.Cleanup(r.stop)
	return r
}

// at returns the world as it is seen at a node.
func (s *several) at(r *running) *world { return &world{t: s.t, addr: r.listener.Addr().String()} }

// Two gates and two nodes that run channels are one messenger: messages, members, pushes, presence
// and figures.
func TestSeveralNodesAreOneMessenger(t *testing.T) {
	s := newSeveral(t)
	one, two := s.at(s.gates[0]), s.at(s.gates[1])
	ann, bob := one.enter("Ann", "web"), two.enter("Bob", "web")
	for i := range 20 { // groups are on both nodes
		g := call[protocol.Channel](ann, "im.create", object{"title": fmt.Sprint("group ", i), "invite": []string{"bob"}})
		bob.pushed(protocol.PushChannel, func(data string) bool { return strings.Contains(data, g.ID) })
		call[protocol.Channel](bob, "im.accept", object{"channel": g.ID})
		m := ann.say(g.ID, "hello")
		bob.heard("in the group", func(got store.Message) bool { return got.Channel == g.ID && got.N == m.N })
		answer := bob.say(g.ID, "hi")
		ann.heard("the answer", func(got store.Message) bool { return got.Channel == g.ID && got.N == answer.N && got.N == 2 })
	}
	owners := map[string]bool{}
	for i := range 50 {
		a, b := s.gates[0].fleet.Owner(fmt.Sprint(i)), s.gates[1].fleet.Owner(fmt.Sprint(i))
		if a != b {
			t.Errorf("the gates do not agree on %d", i)
		}
		owners[a] = true
	}
	if len(owners) != 2 {
		t.Errorf("all channels are on %v", owners)
	}

	for _, r := range []*running{s.master, s.logics[0], s.gates[0], s.gates[1]} {
		w := s.at(r)
		until(t, "the "+r.role+" does not know who is online", func() bool {
			var online struct{ Count int }
			return w.do(http.MethodGet, "/api/v1/online", nil, &online, key...) == http.StatusOK && online.Count == 2
		})
		var reply pushReply
		if status := w.post("/api/v1/push", object{"to": object{"users": []any{"ann", "bob", "away"}}, "route": "on" + r.conf.listen, "data": 1, "keep": "1h"}, &reply, key...); status != 200 || reply.Reached != 2 || reply.Kept != 1 {
			t.Errorf("push at the %s: %d %+v", r.role, status, reply)
		}
		for _, p := range []*person{ann, bob} {
			p.pushed("on"+r.conf.listen, func(data string) bool { return data == "1" })
		}
	}
	second := two.enter("Ann", "web") // at the other gate: the newer wins
	<-ann.c.Done()
	var kick *client.KickError
	if !errors.As(ann.c.Err(), &kick) || kick.Reason != protocol.KickElsewhere {
		t.Errorf("the first one ended with %v", ann.c.Err())
	}
	second.say(channels.GlobalID, "still here")
	bob.heard("it", func(m store.Message) bool { return m.Text == "still here" })

	for _, p := range []*person{second, bob} {
		call[protocol.LiveReply](p, "live.enter", object{"channel": "live"})
	}
	call[protocol.Bullet](bob, "live.say", object{"channel": "live", "cid": "1", "text": "wow"})
	until(t, "nothing was shown in the live room", func() bool {
		bullets, _, _, viewers := second.ticks()
		return len(bullets) == 1 && viewers == 2
	})
	for _, route := range []string{"gate.event", "node.hello", "node.people", "logic.watched", "logic_" + strings.NewReplacer(".", "_", ":", "_").Replace(s.logics[0].conf.listen) + ".start"} {
		if _, err := try[object](bob, route, object{}); client.CodeOf(err) != client.CodeRefused {
			t.Errorf("a client that calls %s gets %v", route, err)
		}
	}
}

// A live room goes on with what was shown, and with its counters, when its node is gone.
func TestLiveRoomGoesOnElsewhere(t *testing.T) {
	s := newSeveral(t)
	ann := s.at(s.gates[0]).enter("Ann", "web")
	call[protocol.LiveReply](ann, "live.enter", object{"channel": "live"})
	call[protocol.Bullet](ann, "live.say", object{"channel": "live", "cid": "1", "text": "wow"})
	if err := ann.c.Notify(t.Context(), "live.count", object{"channel": "live", "key": "like", "add": 7}); err != nil {
		t.Fatal(err)
	}
	until(t, "nothing was shown", func() bool {
		bullets, _, counts, _ := ann.ticks()
		return len(bullets) == 1 && counts["like"] == 7
	})
	owner := s.gates[0].fleet.Owner("live")
	for _, r := range s.logics {
		if r.conf.listen == owner {
			r.stop()
		}
	}
	bob := s.at(s.gates[1]).enter("Bob", "web")
	until(t, "the room begins anew", func() bool {
		r, err := try[protocol.LiveReply](bob, "live.enter", object{"channel": "live"})
		return err == nil && r.Title == "Live" && len(r.Recent) == 1 && r.Counts["like"] == 7
	})
	call[protocol.Bullet](bob, "live.say", object{"channel": "live", "cid": "1", "text": "still"})
	until(t, "the room does not go on", func() bool {
		bullets, _, _, _ := ann.ticks()
		return len(bullets) == 2 && bullets[0].ID != bullets[1].ID
	})
}

// A node that runs channels and ends, in order, loses nothing: its channels go on elsewhere,
// without anybody noticing more than a moment.
func TestChannelsGoOnElsewhere(t *testing.T) {
	s := newSeveral(t)
	people := []*person{s.at(s.gates[0]).enter("Ann", "web"), s.at(s.gates[1]).enter("Bob", "web")}
	var groups []string
	for i := range 8 {
		g := call[protocol.Channel](people[0], "im.create", object{"title": fmt.Sprint("group ", i), "invite": []string{"bob"}})
		call[protocol.Channel](people[1], "im.accept", object{"channel": g.ID})
		groups = append(groups, g.ID)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	acknowledged := make(map[string][]string) // texts by channel
	var longest time.Duration
	for i, p := range people {
		wg.Go(func() {
			pace := time.NewTicker(30 * time.Millisecond) // gates take a message of a person each 25 ms
			defer pace.Stop()
			for k := 0; ; k++ {
				select {
				case <-stop:
					return
				default:
				}
				channel, text := groups[k%len(groups)], fmt.Sprint(i, "-", k)
				began := time.Now()
				for {
					<-pace.C
					_, err := try[store.Message](p, "im.send", object{"channel": channel, "cid": "x" + text, "text": text})
					if err == nil {
						break
					}
					if client.CodeOf(err) != client.CodeUnavailable {
						t.Errorf("send: %v", err)
						return
					}
				}
				mu.Lock()
				longest = max(longest, time.Since(began))
				acknowledged[channel] = append(acknowledged[channel], text)
				mu.Unlock()
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		n := 0
		for _, list := range acknowledged {
			n += len(list)
		}
		return n
	}
	until(t, "nothing is acknowledged", func() bool { return count() > 50 })
	mu.Lock()
	usual := longest // on a busy machine, all takes longer
	mu.Unlock()
	s.logics[0].stop()
	after := count()
	until(t, "nothing is acknowledged after the end of a node", func() bool { return count() > after+50 })
	close(stop)
	wg.Wait()
	if longest > patience/2 { // 2 s is the aim where nothing else runs
		t.Errorf("a message took %v; before the end of the node, %v were the most", longest, usual)
	}
	t.Logf("%d messages, the slowest took %v", count(), longest)
	for _, channel := range groups {
		s.check(people, channel, acknowledged[channel])
	}
}

// check compares the store, what was acknowledged and what clients were told.
func (s *several) check(people []*person, channel string, acknowledged []string) {
	s.t.Helper()
	stored := make(map[string]int64)
	list := history(people[1], channel)
	for i, m := range list {
		if m.N != int64(i)+1 {
			s.t.Fatalf("%s: number %d stands at %d", channel, m.N, i+1)
		}
		if stored[m.Text] != 0 {
			s.t.Errorf("%s: %q is stored twice", channel, m.Text)
		}
		stored[m.Text] = m.N
	}
	for _, text := range acknowledged {
		if stored[text] == 0 {
			s.t.Errorf("%s: %q was acknowledged and is not stored", channel, text)
		}
	}
	for _, p := range people {
		until(s.t, "not everything in "+channel+" was told", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			heard := make(map[int64]bool)
			for _, m := range p.messages {
				if m.Channel == channel {
					heard[m.N] = true
				}
			}
			return len(heard) == len(list)
		})
	}
}

// history returns all messages of a channel, the oldest first.
func history(p *person, channel string) []store.Message {
	var list []store.Message
	for before := int64(0); ; before = list[0].N {
		page := call[protocol.HistoryReply](p, "im.history", object{"channel": channel, "before": before, "limit": 100})
		list = slices.Concat(page.Messages, list)
		if len(page.Messages) < 100 {
			return list
		}
	}
}

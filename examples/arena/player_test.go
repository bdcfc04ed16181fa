package main

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/examples/arena/sim"
	"github.com/lonng/nano/examples/page"
)

// player is a client of real nodes, by WebSocket, as the page is one.
type player struct {
	*client.Client
	t     *testing.T
	reply *JoinReply
	seq   uint16

	mu      sync.Mutex
	at      *localNode // where the next connection goes
	nc      net.Conn
	news    chan struct{} // closed and made anew when anything has come
	state   *snapshot
	states  int
	players []Player
	rooms   *Overview
	moved   int
	errs    []error
}

func connect(t *testing.T, n *localNode) *player {
	t.Helper()
	p := &player{t: t, at: n, news: make(chan struct{})}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		p.mu.Lock()
		at := p.at
		p.mu.Unlock()
		nc, err := new(net.Dialer).DialContext(ctx, network, page.Address(at.conf.page.Addr()))
		p.noted(func() { p.nc = nc })
		return nc, err
	}
	p.Client = client.New("ws://"+page.Address(n.conf.page.Addr())+"/nano", client.WithDialer(dial))
	p.On(pushState, func(data []byte) {
		s, err := parseSnapshot(data)
		p.noted(func() {
			if p.state, p.states = s, p.states+1; err != nil {
				p.errs = append(p.errs, err)
			}
		})
	})
	client.On(p.Client, pushPlayers, func(m *Players) { p.noted(func() { p.players = m.Players }) })
	client.On(p.Client, pushRooms, func(m *Overview) { p.noted(func() { p.rooms = m }) })
	client.On(p.Client, pushMoved, func(*Empty) { p.noted(func() { p.moved++ }) })
	if err := p.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := p.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		for _, err := range p.errs {
			t.Error(err)
		}
	})
	return p
}

// noted changes what the player knows.
func (p *player) noted(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.news)
	p.news = make(chan struct{})
}

// until waits until what has come makes something true.
func (p *player) until(what string, ok func() bool) {
	p.t.Helper()
	late := time.After(patience)
	for {
		p.mu.Lock()
		is, news := ok(), p.news
		p.mu.Unlock()
		if is {
			return
		}
		select {
		case <-news:
		case <-late:
			p.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// join does what the page does to get into a room, and waits until it sees itself there.
func (p *player) join(room, name, token string) *player {
	p.t.Helper()
	// A backend may be going just now: the page tries again as well, until it is in.
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		err := p.tryJoin(room, name, token)
		if err == nil {
			break
		}
		if client.CodeOf(err) != client.CodeUnavailable || time.Since(begin) > patience {
			p.t.Fatalf("join %s: %v", room, err)
		}
	}
	p.until("the disc is in the snapshot", func() bool { return p.state != nil && p.state.has(p.reply.You) })
	return p
}

func (p *player) tryJoin(room, name, token string) error {
	reply, err := client.Call[JoinReply](p.t.Context(), p.Client, "arena.join", &JoinRequest{Room: room, Name: name, Token: token})
	if err == nil {
		p.noted(func() { p.reply, p.state, p.seq = reply, nil, 0 })
	}
	return err
}

func (s *snapshot) has(place int) bool {
	return slices.ContainsFunc(s.Discs, func(d disc) bool { return d.Place == place })
}

func (s *snapshot) of(place int) *disc {
	for i := range s.Discs {
		if s.Discs[i].Place == place {
			return &s.Discs[i]
		}
	}
	return &disc{}
}

// steer sends one input.
func (p *player) steer(in sim.Input) {
	p.t.Helper()
	p.seq++
	if err := p.Notify(p.t.Context(), "room.input", appendInput(nil, p.seq, in)); err != nil {
		p.t.Fatal(err)
	}
}

// push steers for as long as it takes until what came makes something true.
func (p *player) push(in sim.Input, what string, ok func() bool) {
	p.t.Helper()
	late := time.Now().Add(patience)
	for done := false; !done; {
		if time.Now().After(late) {
			p.t.Fatalf("not within %v: %s", patience, what)
		}
		p.steer(in)
		p.mu.Lock()
		seen := p.states
		p.mu.Unlock()
		p.until("the next snapshot", func() bool { done = ok(); return p.states > seen })
	}
}

func (p *player) pingOf() (*Pong, error) {
	return client.Call[Pong](p.t.Context(), p.Client, "room.ping", &Ping{})
}

// wantPong wants the room to answer from a backend.
func (p *player) wantPong(backend string) {
	p.t.Helper()
	if pong, err := p.pingOf(); err != nil || pong.Backend != backend {
		p.t.Errorf("a ping: %+v, %v; want one from %q", pong, err, backend)
	}
}

// sees tells whether the player knows of a person by that name, who is there or away.
func (p *player) sees(name string, away bool) func() bool {
	return func() bool {
		return slices.ContainsFunc(p.players, func(o Player) bool { return o.Name == name && o.Away == away && !o.Bot })
	}
}

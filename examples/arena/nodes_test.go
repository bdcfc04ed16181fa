package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/examples/arena/sim"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/session"
)

// patience is what ends a test that would hang; nothing takes that long.
const patience = 30 * time.Second

func startSingle(t *testing.T, addr string) *localNode {
	t.Helper()
	c := &config{name: "arena", heartbeat: 5 * time.Second, bots: 3}
	if err := c.open("", addr, ""); err != nil {
		t.Fatal(err)
	}
	app, err := newSingle(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := &localNode{c, app}
	t.Cleanup(n.shutdown(t))
	return n
}

func (n *localNode) shutdown(t *testing.T) func() {
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := n.app.Shutdown(ctx); err != nil {
			t.Errorf("%s: %v", n.conf.name, err)
		}
	}
}

// Two people meet on one node, see each other move, and leave nothing behind.
func TestOneNode(t *testing.T) {
	before := runtime.NumGoroutine()
	n := startSingle(t, "127.0.0.1:0")
	lobby := connect(t, n)
	first, err := client.Call[LobbyReply](t.Context(), lobby.Client, "gate.lobby", &Empty{})
	if err != nil || first.Gate != "arena" || len(first.Rooms) != 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	ada := connect(t, n).join("garden", "Ada", "")
	ben := connect(t, n).join("garden", "Ben", "")
	ada.until("Ada sees Ben", ada.sees("Ben", false))
	lobby.until("the room is listed", func() bool {
		return lobby.rooms != nil && len(lobby.rooms.Rooms) == 1 && lobby.rooms.Rooms[0] == Listed{"garden", 2, sim.Places, "arena"}
	})

	meet(t, ada, ben)

	pong, err := ada.pingOf()
	if err != nil || pong.Backend != "arena" || pong.Room != "garden" || pong.Tick == 0 {
		t.Errorf("%+v, %v", pong, err)
	}
	_, err = lobby.pingOf()
	if client.CodeOf(err) != client.CodeNotFound {
		t.Errorf("a ping without a room: %v", err)
	}
	for _, p := range []*player{ada, ben} {
		if _, err := client.Call[Empty](t.Context(), p.Client, "arena.leave", &Empty{}); err != nil {
			t.Error(err)
		}
	}
	lobby.until("the room is gone", func() bool { return len(lobby.rooms.Rooms) == 0 })
	if err := ada.Notify(t.Context(), "room.input", make([]byte, inputSize)); err != nil { // to no room: nothing happens
		t.Error(err)
	}
	for _, p := range []*player{lobby, ada, ben} {
		p.Close()
	}
	n.shutdown(t)()
	for begin := time.Now(); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Since(begin) > patience {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, before it were %d:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}

// meet has ada and ben, who are in one room, see each other move.
func meet(t *testing.T, ada, ben *player) {
	t.Helper()
	for _, c := range []struct {
		mover, watcher *player
		in             sim.Input
	}{{ada, ben, sim.Input{AX: -127}}, {ben, ada, sim.Input{AX: 127, AY: 1}}} {
		me := c.mover.reply.You
		c.mover.until("the round has begun", func() bool { return c.mover.state.Phase == sim.Play && c.mover.state.of(me).Alive })
		// Bots may push it about meanwhile: that it is steered as it was told is what counts, and
		// that it moves.
		var acked uint16
		c.mover.push(c.in, "the disc moves", func() bool {
			d := c.mover.state.of(me)
			acked = d.Ack.seq
			return d.Alive && d.AX == c.in.AX && acked > 2 && float64(c.in.AX)*d.VX > 0
		})
		c.watcher.until("the other sees it", func() bool {
			d := c.watcher.state.of(me)
			return d.Ack.seq >= acked && (d.AX == c.in.AX || !d.Alive)
		})
	}
}

// Who loses the connection comes back to the same session, and to the game as it is: what was to be
// seen meanwhile is not sent. A bot plays until then.
func TestAConnectionIsLost(t *testing.T) {
	n := startSingle(t, "127.0.0.1:0")
	ada, ben := connect(t, n).join("garden", "Ada", ""), connect(t, n).join("garden", "Ben", "")
	reply := ada.reply
	for again := range uint64(2) {
		ada.noted(func() { _ = ada.nc.Close() })
		ada.until("she is back", func() bool { return ada.Stats().Connects >= again+2 }) // each snapshot has it look
		ada.noted(func() { ada.state = nil })
		ada.until("the game goes on", func() bool { return ada.state != nil && ada.state.has(reply.You) })
		ben.until("she plays", func() bool {
			return slices.ContainsFunc(ben.players, func(p Player) bool { return p.ID == reply.You && p.Name == "Ada" && !p.Away && !p.Bot })
		})
	}
	if pong, err := client.Call[Pong](t.Context(), ada.Client, "room.ping", &Ping{}); err != nil || pong.Room != "garden" || pong.Gate != pong.Backend {
		t.Errorf("%+v, %v", pong, err) // it is the session from before: she has not joined again
	}
}

// What comes from clients and is for nodes only is refused, and so is what is malformed; the node
// serves on.
func TestStrangers(t *testing.T) {
	n := startSingle(t, "127.0.0.1:0")
	eve := connect(t, n)
	for _, c := range []struct {
		route, code string
		v           any
	}{
		{"tally.report", client.CodeRefused, &Report{Name: "eve's", Rooms: []Listed{{Name: "free coins"}}}},
		{"tally.overview", client.CodeRefused, &Empty{}},
		{"gate.tell", client.CodeRefused, &Overview{}},
		{"arena.claim", client.CodeRefused, &Claim{Room: "garden", Addr: "eve"}},
		{"arena.join", client.CodeInvalid, []byte("{")},
		{"arena.join", client.CodeInvalid, []byte(`{"room":7}`)},
		{"arena.join", client.CodeInvalid, &JoinRequest{Room: strings.Repeat("x", 3000), Name: "Eve"}},
		{"room.input", client.CodeNotFound, []byte{}},
		{"room.nothing", client.CodeNotFound, []byte{}},
	} {
		if err := eve.Request(t.Context(), c.route, c.v, nil); client.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want the code %s", c.route, err, c.code)
		}
	}
	connect(t, n).join("garden", "Ada", "")
}

// What the lobby says must be so: how long a round is, how a phone gets at the page, and no "no
// rooms" while nobody knows.
func TestTheLobbyKnowsWhatItSays(t *testing.T) {
	c := &config{name: "arena", heartbeat: 5 * time.Second, bots: 3, round: 9 * time.Second, flag: "addr"}
	if err := c.open("", "127.0.0.1:0", ""); err != nil {
		t.Fatal(err)
	}
	app, err := newSingle(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := &localNode{c, app}
	t.Cleanup(n.shutdown(t))
	_, port, err := net.SplitHostPort(c.page.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := connect(t, n)
	reply, err := client.Call[LobbyReply](t.Context(), p.Client, "gate.lobby", &Empty{})
	if err != nil {
		t.Fatal(err)
	}
	if reply.Round == 0 { // the first report takes a moment
		p.until("the length of a round is told", func() bool { return p.rooms != nil && p.rooms.Round > 0 })
		if reply, err = client.Call[LobbyReply](t.Context(), p.Client, "gate.lobby", &Empty{}); err != nil {
			t.Fatal(err)
		}
	}
	if want := (Phone{Flag: "--addr 0.0.0.0:" + port}); reply.Phone != want || reply.Round != 9 || !reply.Known {
		t.Errorf("%+v; want %+v and rounds of 9 s", reply, want)
	}
	if p.join("garden", "Ada", ""); p.reply.Round != 9 {
		t.Errorf("in the room they take %d s", p.reply.Round)
	}

	alone := newGateway("alone") // nobody has told it of rooms, and it can ask nobody
	reply, err = alone.Lobby(t.Context(), session.New(nil), &Empty{})
	if err != nil || reply.Known || reply.Rooms == nil || reply.Backends == nil {
		t.Errorf("without a master: %+v, %v", reply, err)
	}
}

// A server that comes back at its old address has forgotten the game, and lets people in all the
// same.
func TestRestart(t *testing.T) {
	n := startSingle(t, "127.0.0.1:0")
	addr := n.conf.page.Addr().String()
	ada := connect(t, n).join("garden", "Ada", "")
	n.shutdown(t)()
	var kick *client.KickError
	<-ada.Done()
	if !errors.As(ada.Err(), &kick) || kick.Reason != "server shutdown" {
		t.Errorf("she was told %v", ada.Err())
	}
	again := connect(t, startSingle(t, addr)).join("garden", "Ada", ada.reply.Token)
	if again.reply.Back || again.reply.Token == ada.reply.Token {
		t.Errorf("a new server knows the old one's token: %+v", again.reply)
	}
}

func startTestLocal(t *testing.T, backends int) *local {
	t.Helper()
	l, err := startLocal([]string{"127.0.0.1:0", "127.0.0.1:0"}, backends, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.stop(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *local) named(name string) *localNode {
	return l.nodes[slices.IndexFunc(l.nodes, func(n *localNode) bool { return n.conf.name == name })]
}

// Who looks at the list of rooms and comes back at another gate gets no second list from the first.
func TestTheLobbyIsAtOneGate(t *testing.T) {
	l := startTestLocal(t, 1)
	gate1, gate2 := l.named("gate 1"), l.named("gate 2")
	inLobby := func(n *localNode) (count int) {
		for _, g := range n.app.Snapshot().Groups.Largest {
			if g.Name == "lobby" {
				count += g.Members
			}
		}
		return count
	}
	ada := connect(t, gate1)
	if _, err := client.Call[LobbyReply](t.Context(), ada.Client, "gate.lobby", &Empty{}); err != nil {
		t.Fatal(err)
	}
	if n := inLobby(gate1); n != 1 {
		t.Fatalf("%d people are in the lobby", n)
	}
	ada.noted(func() {
		ada.at = gate2
		_ = ada.nc.Close()
	})
	nanotest.Until(t, "she is at the other gate, and in no lobby", func() bool {
		return gate2.app.Stats().Sessions == 1 && inLobby(gate1) == 0
	})
}

// Behind two gates people meet in one room, on whichever backend it is. Who is disconnected comes
// back to the same place, by another gate. When the backend ends, all go on at another one.
func TestCluster(t *testing.T) {
	l := startTestLocal(t, 3)
	gate1, gate2 := l.named("gate 1"), l.named("gate 2")
	lobby := connect(t, gate2)
	if _, err := client.Call[LobbyReply](t.Context(), lobby.Client, "gate.lobby", &Empty{}); err != nil {
		t.Fatal(err)
	}
	ada := connect(t, gate1).join("garden", "Ada", "")
	ben := connect(t, gate2).join("garden", "Ben", "")
	if ada.reply.Gate != "gate 1" || ben.reply.Gate != "gate 2" || ada.reply.Backend != ben.reply.Backend {
		t.Fatalf("gates %q and %q, backends %q and %q", ada.reply.Gate, ben.reply.Gate, ada.reply.Backend, ben.reply.Backend)
	}
	ada.until("Ada sees Ben", ada.sees("Ben", false))
	ben.until("Ben sees by which gate Ada came", func() bool {
		return slices.ContainsFunc(ben.players, func(p Player) bool { return p.Name == "Ada" && p.Gate == "gate 1" })
	})
	meet(t, ada, ben)

	// Rooms are spread over the backends, and the list has them all.
	backends := map[string]bool{ada.reply.Backend: true}
	for i := 0; len(backends) < 3; i++ {
		if i > 100 {
			t.Fatalf("a hundred rooms are on %v", backends)
		}
		backends[connect(t, gate1).join(fmt.Sprint("room ", i), "Guest", "").reply.Backend] = true
	}
	lobby.until("the list has rooms of all backends", func() bool {
		seen := make(map[string]bool)
		if lobby.rooms != nil {
			for _, r := range lobby.rooms.Rooms {
				seen[r.Backend] = true
			}
		}
		return len(seen) == 3
	})

	ada.Close()
	ben.until("Ada is away", ben.sees("Ada", true))
	back := connect(t, gate2).join("garden", "Ada", ada.reply.Token)
	if !back.reply.Back || back.reply.You != ada.reply.You {
		t.Errorf("back she has %+v, and had %+v", back.reply, ada.reply)
	}
	ben.until("Ada is back", ben.sees("Ada", false))
	meet(t, back, ben)

	l.named(ben.reply.Backend).shutdown(t)()
	for _, p := range []*player{back, ben} {
		p.until("they are told to go elsewhere", func() bool { return p.moved == 1 })
		old := p.reply.Backend
		if p.join("garden", "Again", p.reply.Token); p.reply.Backend == old {
			t.Errorf("still on %q, which has ended", old)
		}
	}
	if back.reply.Backend != ben.reply.Backend {
		t.Errorf("now they are on %q and %q", back.reply.Backend, ben.reply.Backend)
	}
	meet(t, back, ben)
}

// ownRoom returns the name of a room that belongs to the first of these backends.
func ownRoom(t *testing.T, backends ...string) string {
	t.Helper()
	s := session.New(nil)
	route := nano.RouteHash(func(s *session.Session) string { return s.String(keyWanted) })
	candidates := make([]cluster.Candidate, len(backends))
	for i, addr := range backends {
		candidates[i].Addr = addr
	}
	for i := range 1000 {
		name := fmt.Sprint("room ", i)
		s.Set(keyWanted, name)
		if route("arena", s, candidates) == 0 {
			return name
		}
	}
	t.Fatal("of a thousand rooms none belongs to it")
	return ""
}

// A backend that comes later takes over the rooms that are its own, people and all.
func TestABackendComes(t *testing.T) {
	l := startTestLocal(t, 1)
	gate, old := l.named("gate 1"), l.named("backend 1")
	late := &config{name: "late", master: old.conf.master, heartbeat: time.Second, bots: 3}
	if err := late.open("127.0.0.1:0", "", ""); err != nil {
		t.Fatal(err)
	}
	name := ownRoom(t, late.listen, old.conf.listen)
	ada := connect(t, gate).join(name, "Ada", "")
	if ada.reply.Backend != old.conf.name {
		t.Fatalf("Ada is on %q", ada.reply.Backend)
	}
	ada.wantPong(old.conf.name)
	app := newRooms(late)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.nodes = append(l.nodes, &localNode{late, app})

	// The gate hears of it a moment later. Until then Ben meets Ada where she is.
	ben := connect(t, gate)
	for begin := time.Now(); ; {
		if ben.join(name, "Ben", ""); ben.reply.Backend == late.name {
			break
		}
		if err := ben.Request(t.Context(), "arena.leave", &Empty{}, nil); err != nil {
			t.Fatal(err)
		}
		if time.Since(begin) > patience {
			t.Fatalf("Ben is on %q", ben.reply.Backend)
		}
	}
	ada.until("Ada is told to go there", func() bool { return ada.moved == 1 })
	if ada.join(name, "Ada", ada.reply.Token); ada.reply.Backend != late.name {
		t.Errorf("then she is on %q", ada.reply.Backend)
	}
	ada.wantPong(late.name)
	ben.until("they have met", ben.sees("Ada", false))
}

// A client must not be able to open a room where it does not belong: everybody who plays in it
// would be sent away.
func TestNobodyChoosesTheBackend(t *testing.T) {
	l := startTestLocal(t, 2)
	gate := l.named("gate 1")
	one, two := l.named("backend 1").conf, l.named("backend 2").conf
	mine, theirs := ownRoom(t, one.listen, two.listen), ownRoom(t, two.listen, one.listen)
	ada := connect(t, gate).join(theirs, "Ada", "")
	eve := connect(t, gate).join(mine, "Eve", "")
	if ada.reply.Backend != two.name || eve.reply.Backend != one.name {
		t.Fatalf("they are on %q and %q", ada.reply.Backend, eve.reply.Backend)
	}
	// Now she is bound to one backend, and asks for rooms of both, in every way, without waiting
	// for answers.
	requests := make(chan error)
	asked := [][]byte{
		fmt.Appendf(nil, `{"room":%q,"name":"Eve"}`, theirs),
		fmt.Appendf(nil, `{"room":%q,"name":"Eve","room":%q}`, mine, theirs),
		fmt.Appendf(nil, `{"Room":%q,"room":%q,"ROOM":%q,"name":"Eve"}`, theirs, mine, theirs),
		fmt.Appendf(nil, `{"room":%q,"name":"Eve"}`, mine),
		fmt.Appendf(nil, `{"room":%q,"name":"Eve"}`, theirs),
	}
	for _, data := range asked {
		go func() { requests <- eve.Request(t.Context(), "arena.join", data, nil) }()
	}
	for range asked {
		if err := <-requests; err != nil && client.CodeOf(err) != client.CodeExhausted { // one at a time, they say
			t.Error(err)
		}
	}
	if _, err := ada.pingOf(); err != nil {
		t.Errorf("Ada has lost her room: %v", err)
	}
	ada.mu.Lock()
	defer ada.mu.Unlock()
	if ada.moved != 0 {
		t.Error("Ada was sent away")
	}
}

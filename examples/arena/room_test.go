package main

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/arena/sim"
	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/session"
)

// person is somebody in a room, without a network.
type person struct {
	*mock.NetworkEntity
	s     *session.Session
	reply *JoinReply
	seq   uint16
}

func newPerson() *person {
	n := mock.NewNetworkEntity()
	return &person{NetworkEntity: n, s: session.New(n)}
}

// pushes returns what was pushed under a route.
func pushes[T any](p *person, route string) (all []T) {
	for _, push := range p.Pushes() {
		if push.Route == route {
			all = append(all, push.Value.(T))
		}
	}
	return all
}

// players returns who is there as the person was told last.
func (p *person) players(t *testing.T) []Player {
	t.Helper()
	all := pushes[*Players](p, pushPlayers)
	if len(all) == 0 {
		t.Fatal("nobody was told who is there")
	}
	return all[len(all)-1].Players
}

// sees returns the newest snapshot.
func (p *person) sees(t *testing.T) *snapshot {
	t.Helper()
	all := pushes[[]byte](p, pushState)
	if len(all) == 0 {
		t.Fatal("there was no snapshot")
	}
	s, err := parseSnapshot(all[len(all)-1])
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *snapshot) disc(t *testing.T, place int) disc {
	t.Helper()
	i := slices.IndexFunc(s.Discs, func(d disc) bool { return d.Place == place })
	if i < 0 {
		t.Fatalf("place %d is not in the snapshot", place)
	}
	return s.Discs[i]
}

// table is a room whose time the test has in its hands.
type table struct {
	*room
	t        *testing.T
	deserted int
}

func newTable(t *testing.T, fill int) *table {
	tb := &table{t: t}
	tb.room = newRoom("garden", "here", nil, fill, 42, func() { tb.deserted++ })
	return tb
}

func (tb *table) seat(name, token string) *person {
	tb.t.Helper()
	p := newPerson()
	reply, err := tb.enter(p.s, name, token)
	if err != nil {
		tb.t.Fatal(err)
	}
	p.reply = reply
	return p
}

func (tb *table) ticks(n int) {
	for range n {
		tb.tick()
	}
}

// steer sends an input.
func (tb *table) steer(p *person, in sim.Input) error {
	p.seq++
	return tb.input(p.s, appendInput(nil, p.seq, in), time.Now())
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var e *nano.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("got %v, want an error with the code %s", err, code)
	}
}

// Alone one has company, and among eight people there are no bots in the way.
func TestBotsFillTheRoomAndMakeWay(t *testing.T) {
	for _, c := range []struct{ fill, people, bots int }{
		{5, 1, 4}, {5, 3, 2}, {5, 5, 0}, {5, 8, 0}, {0, 2, 0}, {8, 3, 5}, {99, 1, 7},
	} {
		t.Run(fmt.Sprintf("fill=%d,people=%d", c.fill, c.people), func(t *testing.T) {
			tb := newTable(t, c.fill)
			var all []*person
			for i := range c.people {
				all = append(all, tb.seat(fmt.Sprint("p", i), ""))
				tb.ticks(3)
			}
			check := func(people, bots int) {
				t.Helper()
				got := make(map[bool]int)
				for _, p := range all[0].players(t) {
					got[p.Bot]++
				}
				if got[false] != people || got[true] != bots || len(all[0].sees(t).Discs) != people+bots {
					t.Errorf("%d people and %d bots, %d discs; want %d and %d", got[false], got[true], len(all[0].sees(t).Discs), people, bots)
				}
			}
			check(c.people, c.bots)
			for len(all) > 1 {
				tb.leave(all[len(all)-1].s)
				all = all[:len(all)-1]
			}
			tb.ticks(1)
			check(1, max(0, min(c.fill, sim.Places)-1))
		})
	}
}

// Who is new is spared in the first rounds, and then plays like everybody else; so does who comes
// back to a place.
func TestBotsAreKindInTheFirstRounds(t *testing.T) {
	tb := newTable(t, 3)
	ada := tb.seat("Ada", "")
	for round := 1; round <= kindRounds+1; round++ {
		for tb.world.Phase != sim.Play {
			tb.tick()
		}
		tb.tick()
		want := round <= kindRounds
		for _, p := range ada.players(t) {
			easy := want && !p.Bot
			if p.Easy != easy || tb.world.Players[p.ID].Novice != easy {
				t.Errorf("round %d: %s is told %t, bots know %t, want %t", round, p.Name, p.Easy, tb.world.Players[p.ID].Novice, easy)
			}
		}
		if round == kindRounds {
			tb.lost(ada.s)
			ada = tb.seat("Ada", ada.reply.Token)
		}
		for tb.world.Phase == sim.Play {
			tb.tick()
		}
	}
}

func TestEnter(t *testing.T) {
	tb := newTable(t, 5)
	names, places := make(map[string]bool), make(map[int]bool)
	var ada *person
	for range sim.Places {
		ada = tb.seat("Ada", "")
		names[ada.reply.Name], places[ada.reply.You] = true, true
	}
	if len(names) != sim.Places || len(places) != sim.Places || !names["Ada"] || !names["Ada 2"] {
		t.Errorf("names %v, places %v", names, places)
	}
	_, err := tb.enter(newPerson().s, "Ben", "")
	wantCode(t, err, codeFull)

	again, err := tb.enter(ada.s, "Ada", "") // asked twice, one still has one place
	if err != nil || again.You != ada.reply.You || again.Token != ada.reply.Token {
		t.Errorf("%+v, %v; want place %d", again, err, ada.reply.You)
	}
	tb.leave(ada.s)
	tb.leave(ada.s)
	if ben := tb.seat("Ben", ""); ben.reply.You != ada.reply.You {
		t.Errorf("the free place is %d, and Ben has %d", ada.reply.You, ben.reply.You)
	}
}

// What one steers is what one's disc does, and the snapshot says which input it was.
func TestSteeringMovesOnesDisc(t *testing.T) {
	tb := newTable(t, 0)
	ada, ben := tb.seat("Ada", ""), tb.seat("Ben", "")
	for tb.world.Phase == sim.Ready {
		tb.tick()
	}
	before := [2]disc{ada.sees(t).disc(t, ada.reply.You), ada.sees(t).disc(t, ben.reply.You)}
	for range 10 {
		if err := tb.steer(ada, sim.Input{AX: 127}); err != nil {
			t.Fatal(err)
		}
		tb.tick()
	}
	for _, who := range []*person{ada, ben} {
		s := who.sees(t)
		mine, other := s.disc(t, ada.reply.You), s.disc(t, ben.reply.You)
		if mine.X < before[0].X+50 || mine.Ack != (ack{true, 10}) || mine.AX != 127 {
			t.Errorf("Ada's disc is at %v, and was at %v; %+v", mine.X, before[0].X, mine)
		}
		if other.X != before[1].X || other.Ack != (ack{true, 0}) {
			t.Errorf("Ben's disc has moved: %+v", other)
		}
	}
	ada.seq = 5
	if err := tb.steer(ada, sim.Input{AX: -127}); err != nil { // an old number: it counts for nothing
		t.Fatal(err)
	}
	tb.tick()
	if d := ada.sees(t).disc(t, ada.reply.You); d.AX != 127 || d.Ack.seq != 10 {
		t.Errorf("an old input was played: %+v", d)
	}
	if _, err := tb.enter(ada.s, "Ada", ""); err != nil { // a page that joins again begins to count anew
		t.Fatal(err)
	}
	ada.seq = 0
	if err := tb.steer(ada, sim.Input{AY: 127}); err != nil {
		t.Fatal(err)
	}
	tb.tick()
	if d := ada.sees(t).disc(t, ada.reply.You); d.AY != 127 || d.Ack.seq != 1 {
		t.Errorf("after joining again: %+v", d)
	}
	wantCode(t, tb.input(ada.s, []byte("no input"), time.Now()), component.CodeInvalid)
	wantCode(t, tb.input(newPerson().s, make([]byte, inputSize), time.Now()), component.CodeNotFound)
}

// One snapshot a tick, and everything else only when something happens: that is what a room costs.
func TestWhatIsPushed(t *testing.T) {
	tb := newTable(t, 5)
	ada := tb.seat("Ada", "")
	ticks, rounds := 0, 0
	for ; rounds < 2; ticks++ {
		before := len(ada.Pushes())
		tb.tick()
		routes := make(map[string]int)
		for _, p := range ada.Pushes()[before:] {
			routes[p.Route]++
			if r, ok := p.Value.(*Round); ok && r.Over {
				rounds++
			}
		}
		if routes[pushState] != 1 || routes[pushPlayers] > 2 {
			t.Fatalf("tick %d: %v", ticks, routes)
		}
	}
	states := pushes[[]byte](ada, pushState)
	bytes, most := 0, 0
	for _, s := range states {
		bytes += len(s)
		most = max(most, len(s))
	}
	rare := len(ada.Pushes()) - len(states)
	if rare*10 > len(states) {
		t.Errorf("%d pushes beside %d snapshots", rare, len(states))
	}
	if mean := bytes / len(states); mean < 50 || mean > 130 || most > 192 {
		t.Errorf("a snapshot has %d bytes, at most %d", mean, most)
	}
	t.Logf("%d ticks: %d bytes a snapshot, at most %d; %d other pushes", ticks, bytes/len(states), most, rare)

	// When a round is over, its table has come before.
	var last *Players
	for _, p := range ada.Pushes() {
		switch v := p.Value.(type) {
		case *Players:
			last = v
		case *Round:
			if !v.Over || v.Winner == sim.Nobody {
				continue
			}
			best := slices.MaxFunc(last.Players, func(a, b Player) int { return a.Points - b.Points })
			won := last.Players[slices.IndexFunc(last.Players, func(p Player) bool { return p.ID == v.Winner })]
			if won.Points < best.Points || won.Wins == 0 {
				t.Errorf("%+v has won before %+v", won, best)
			}
		}
	}
}

// A client that sends more than a page does is slowed down, and then taken out; it never plays
// faster.
func TestFlood(t *testing.T) {
	tb := newTable(t, 0)
	eve, ada := tb.seat("Eve", ""), tb.seat("Ada", "")
	for tb.world.Phase == sim.Ready {
		tb.tick()
	}
	now := time.Now()
	taken, refused := 0, 0
	for i := 0; ; i++ {
		eve.seq++
		err := tb.input(eve.s, appendInput(nil, eve.seq, sim.Input{AX: -127, Dash: true}), now)
		if err == nil {
			taken++
		} else {
			wantCode(t, err, component.CodeExhausted)
			refused++
		}
		if i%10 == 0 {
			tb.tick()
			now = now.Add(tick)
		}
		if _, kicked := eve.Kicked(); kicked {
			break
		}
		if i > 100_000 {
			t.Fatal("nobody takes her out")
		}
	}
	if taken > 150 || refused <= maxRefused {
		t.Errorf("%d taken, %d refused", taken, refused)
	}
	if d := ada.sees(t).disc(t, eve.reply.You); math.Hypot(d.VX, d.VY) > 1100 {
		t.Errorf("she is as fast as %v,%v", d.VX, d.VY)
	}
	if q := &tb.seats[eve.reply.You].inputs; q.n > maxWaiting {
		t.Errorf("%d of her inputs wait", q.n)
	}
}

// A room without people says so, and does not stop to.
func TestDeserted(t *testing.T) {
	tb := newTable(t, 5)
	ada := tb.seat("Ada", "")
	tb.ticks(5)
	if tb.deserted != 0 {
		t.Fatal("with somebody there it says that nobody is")
	}
	tb.leave(ada.s)
	tb.tick()
	if tb.deserted != 1 {
		t.Fatal("it has not said so")
	}
	tb.ticks(2 * sim.Rate)
	if tb.deserted != 3 {
		t.Errorf("in two seconds more it has said so %d times, want 2", tb.deserted-1)
	}
	tb.seat("Ben", "")
	tb.ticks(2 * sim.Rate)
	if tb.deserted != 3 {
		t.Error("with somebody there again it says that nobody is")
	}
}

func TestInbox(t *testing.T) {
	in := func(x int8) sim.Input { return sim.Input{AX: x} }
	dash := func(x int8) sim.Input { return sim.Input{AX: x, Dash: true} }
	for _, c := range []struct {
		name string
		// Of each tick: what comes before it, by number.
		comes []map[uint16]sim.Input
		plays []sim.Input
		acks  []uint16
	}{
		{
			"one a tick", []map[uint16]sim.Input{{1: in(1)}, {2: dash(2)}, {3: in(3)}},
			[]sim.Input{in(1), dash(2), in(3)}, []uint16{1, 2, 3},
		},
		{
			"a gap: the last one goes on, without its dash", []map[uint16]sim.Input{{1: dash(1)}, {}, {2: in(2), 3: in(3)}, {}},
			[]sim.Input{dash(1), in(1), in(2), in(3)}, []uint16{1, 1, 2, 3},
		},
		{
			"a crowd: some are skipped, and no dash is lost", []map[uint16]sim.Input{{1: in(1), 2: dash(2), 3: in(3), 4: in(4), 5: in(5), 6: in(6)}, {}, {}, {}},
			[]sim.Input{dash(4), in(5), in(6), in(6)}, []uint16{4, 5, 6, 6},
		},
		{
			"old ones and doubles", []map[uint16]sim.Input{{7: in(7)}, {7: in(1), 5: in(5)}, {8: in(8)}},
			[]sim.Input{in(7), in(7), in(8)}, []uint16{7, 7, 8},
		},
		{
			"around the end of the numbers", []map[uint16]sim.Input{{65534: in(1)}, {65535: in(2)}, {0: in(3)}, {1: in(4)}},
			[]sim.Input{in(1), in(2), in(3), in(4)}, []uint16{65534, 65535, 0, 1},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q inbox
			for tick, comes := range c.comes {
				for _, seq := range slices.SortedFunc(maps.Keys(comes), func(a, b uint16) int { return int(int16(a - b)) }) {
					q.put(seq, comes[seq])
				}
				if got := q.take(); got != c.plays[tick] || q.played != c.acks[tick] {
					t.Errorf("tick %d: %+v with number %d, want %+v with %d", tick, got, q.played, c.plays[tick], c.acks[tick])
				}
			}
		})
	}

	var q inbox
	q.put(1, in(100))
	for range silentFor {
		if q.take() != in(100) {
			t.Fatal("a short silence has stopped the disc")
		}
	}
	if q.take() != (sim.Input{}) {
		t.Error("after a long silence somebody still holds the stick")
	}
}

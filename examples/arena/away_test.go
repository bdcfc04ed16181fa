package main

import (
	"slices"
	"testing"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/arena/sim"
	"github.com/lonng/nano/mock"
)

// A connection that breaks costs ten seconds, not the place: a bot plays for the person until then.
func TestLostAndBack(t *testing.T) {
	tb := newTable(t, 2)
	ada, ben := tb.seat("Ada", ""), tb.seat("Ben", "")
	tb.ticks(80)
	tb.world.Players[ada.reply.You].Points = 3
	ada.s.NetworkEntity().(*mock.NetworkEntity).Close()
	tb.lost(ada.s)
	tb.ticks(40)
	of := func(place int) *Player {
		all := ben.players(t)
		if i := slices.IndexFunc(all, func(p Player) bool { return p.ID == place }); i >= 0 {
			return &all[i]
		}
		return nil
	}
	if p := of(ada.reply.You); p == nil || !p.Away || p.Bot || p.Name != "Ada" {
		t.Fatalf("while she is away: %+v", p)
	}
	if in := tb.seats[ada.reply.You].input(tb.world, ada.reply.You); tb.world.Bodies[ada.reply.You].Alive && in == (sim.Input{}) {
		t.Error("nobody plays for her")
	}

	back := tb.seat("Ada", ada.reply.Token)
	tb.tick()
	if back.reply.You != ada.reply.You || !back.reply.Back || back.reply.Token != ada.reply.Token {
		t.Fatalf("back she has %+v, and had %+v", back.reply, ada.reply)
	}
	if p := of(back.reply.You); p == nil || p.Away || p.Points < 3 {
		t.Errorf("when she is back: %+v", p)
	}
	for range 5 {
		_ = tb.steer(back, sim.Input{AY: 127}) // her numbers begin anew
		tb.tick()
	}
	if d := back.sees(t).disc(t, back.reply.You); d.Ack.seq != 5 {
		t.Errorf("back she cannot steer: %+v", d)
	}

	tb.lost(back.s)
	tb.ticks(awayTicks - 1)
	if p := of(ada.reply.You); p == nil || p.Name != "Ada" {
		t.Errorf("too early, her place is %+v", p)
	}
	tb.ticks(2)
	if all := ben.players(t); len(all) != 2 || !slices.ContainsFunc(all, func(p Player) bool { return p.Bot }) {
		t.Errorf("after ten seconds there are %+v", all)
	}
	if late := tb.seat("Ada", ada.reply.Token); late.reply.Back || late.reply.Token == ada.reply.Token {
		t.Errorf("too late she has %+v", late.reply)
	}
}

// While a session waits for its connection, a bot plays for the person, and the place is hers.
func TestAwayAndResumed(t *testing.T) {
	tb := newTable(t, 2)
	ada, ben := tb.seat("Ada", ""), tb.seat("Ben", "")
	tb.ticks(80)
	away := func() bool {
		t.Helper()
		for _, p := range ben.players(t) {
			if p.ID == ada.reply.You {
				return p.Away && !p.Bot && p.Name == "Ada"
			}
		}
		t.Fatal("she has no place")
		return false
	}
	for range 2 { // more than once, and for longer than the place of a closed session is kept
		tb.away(ada.s)
		tb.ticks(awayTicks + 1)
		if !away() || tb.seats[ada.reply.You].bot == nil {
			t.Error("nobody plays for her")
		}
		tb.back(ada.s)
		tb.tick()
		if away() || tb.seats[ada.reply.You].bot != nil {
			t.Error("back she does not play")
		}
	}
	seq := ada.sees(t).disc(t, ada.reply.You).Ack.seq
	for range 5 {
		_ = tb.steer(ada, sim.Input{AY: 127}) // her numbers go on
		tb.tick()
	}
	if d := ada.sees(t).disc(t, ada.reply.You); d.Ack.seq != seq+5 {
		t.Errorf("back she cannot steer: %+v after %d", d, seq)
	}
	tb.away(ada.s)
	tb.lost(ada.s) // she came too late
	tb.back(ada.s)
	tb.ticks(2)
	if !away() {
		t.Error("her session has closed, and she is not away")
	}
}

// A second page with the same token takes the place over, and the first is told.
func TestTwoPagesOfOnePerson(t *testing.T) {
	tb := newTable(t, 0)
	first := tb.seat("Ada", "")
	second := tb.seat("Ada", first.reply.Token)
	tb.tick()
	if second.reply.You != first.reply.You || tb.people() != 1 {
		t.Errorf("places %d and %d, %d people", first.reply.You, second.reply.You, tb.people())
	}
	if len(pushes[*Empty](first, pushTaken)) != 1 || len(pushes[[]byte](first, pushState)) != 0 {
		t.Error("the first page was not told, or is still told of the game")
	}
	tb.lost(first.s) // it closes now
	tb.tick()
	if p := second.players(t)[0]; p.Away {
		t.Error("the end of the first page has made the second one away")
	}
	wantCode(t, tb.steer(first, sim.Input{}), component.CodeNotFound)
}

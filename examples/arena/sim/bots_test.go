package sim

import (
	"math"
	"testing"
)

// Bots that fall by themselves, or let each other be, are no company. That they all win now and
// then, and not all as often, is what makes them differ.
func TestBotsPlay(t *testing.T) {
	const rounds = 60
	outs, alone := 0, 0
	var wins, falls [len(tempers)]int
	g := newGame(1, 0, 0)
	for who := range tempers {
		g.Enter(who)
		g.bots[who] = NewBot(uint64(who))
	}
	for round := 0; round < rounds; {
		for _, e := range g.step() {
			switch {
			case e.Kind == Out && g.Phase == Play:
				outs++
				falls[e.Who]++
				if e.By == Nobody {
					alone++
				}
			case e.Kind == Ended:
				round++
				if e.Who != Nobody {
					wins[e.Who]++
				}
			}
		}
	}
	if outs < 8*rounds || outs > 40*rounds || alone*4 > outs {
		t.Errorf("%d falls in %d rounds, %d of them without a push", outs, rounds, alone)
	}
	for who := range tempers {
		if falls[who] == 0 || wins[who] > rounds*2/3 {
			t.Errorf("wins %v, falls %v", wins, falls)
		}
	}
	t.Logf("%.1f falls a round, %.0f%% without a push; wins %v, falls %v", float64(outs)/rounds, 100*float64(alone)/float64(outs), wins, falls)
}

// Who just stands there loses against them, but is not hunted down at once.
func TestBotsAgainstAFool(t *testing.T) {
	g := newGame(8, 4, 0)
	g.Enter(4)
	falls, wins := 0, 0
	for round := 0; round < 40; {
		in := g.inputs()
		in[4] = Input{}
		for _, e := range g.Step(&in) {
			if e.Kind == Out && e.Who == 4 {
				falls++
			}
			if e.Kind == Ended {
				round++
				if e.Who == 4 {
					wins++
				}
			}
		}
	}
	if falls < 40 || falls > 40*12 || wins > 4 {
		t.Errorf("in 40 rounds it fell %d times and won %d", falls, wins)
	}
}

// Who plays for the first time falls far less often while the bots are kind, and they still play
// against each other. Of a beginner who only ever goes for the nearest disc there is not much to
// expect.
func TestBotsAreKindToNovices(t *testing.T) {
	play := func(novice bool) (falls, others, wins int) {
		g := newGame(8, 4, 0)
		g.Enter(4)
		g.Players[4].Novice = novice
		for round := 0; round < 40; {
			in := g.inputs()
			in[4] = beginner(g.World, 4)
			for _, e := range g.Step(&in) {
				switch {
				case e.Kind == Out && g.Phase == Play && e.Who == 4:
					falls++
				case e.Kind == Out && g.Phase == Play:
					others++
				case e.Kind == Ended:
					round++
					if e.Who == 4 {
						wins++
					}
				}
			}
		}
		return falls, others, wins
	}
	falls, _, wins := play(false)
	kindFalls, others, kindWins := play(true)
	t.Logf("in 40 rounds: %d falls and %d wins; while bots are kind %d and %d, and %d falls of bots", falls, wins, kindFalls, kindWins, others)
	if kindFalls*2 > falls || kindWins <= wins {
		t.Errorf("the beginner fell %d times and won %d; while bots were kind %d times and won %d", falls, wins, kindFalls, kindWins)
	}
	if others < 40*3 {
		t.Errorf("the bots hardly play: %d falls in 40 rounds", others)
	}
}

// beginner goes at half speed for who is nearest, and turns back late at the rim.
func beginner(w *World, me int) Input {
	at := vec{w.Bodies[me].X, w.Bodies[me].Y}
	if at.long() > w.Rim*0.75 {
		return towards(at.unit().times(-0.8), false)
	}
	way, near := vec{}, math.Inf(1)
	for i := range w.Bodies {
		there := vec{w.Bodies[i].X, w.Bodies[i].Y}.minus(at)
		if i != me && w.Bodies[i].Alive && there.long() < near {
			way, near = there.unit(), there.long()
		}
	}
	return towards(way.times(0.5), w.Bodies[me].Cooldown == 0 && near < 120)
}

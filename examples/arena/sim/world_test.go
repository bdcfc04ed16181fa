package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
)

// game is a world whose places are played by bots, or by nobody who knows what he does.
type game struct {
	*World
	bots  [Places]*Bot
	fools *rand.Rand
}

func newGame(seed uint64, bots, fools int) *game {
	g := &game{World: New(seed), fools: rand.New(rand.NewPCG(seed, 1))}
	for who := range bots + fools {
		g.Enter(who)
		if who < bots {
			g.bots[who] = NewBot(seed*Places + uint64(who))
		}
	}
	return g
}

func (g *game) inputs() (in [Places]Input) {
	for who, bot := range g.bots {
		if bot != nil {
			in[who] = bot.Steer(g.World, who)
		} else {
			in[who] = Input{int8(g.fools.Uint32()), int8(g.fools.Uint32()), g.fools.IntN(20) == 0}
		}
	}
	return in
}

func (g *game) step() []Event {
	in := g.inputs()
	return g.Step(&in)
}

// until steps to the first event of a kind.
func (g *game) until(t *testing.T, k Kind) Event {
	t.Helper()
	for range ReadyTicks + PlayTicks + OverTicks + 1 {
		for _, e := range g.step() {
			if e.Kind == k {
				return e
			}
		}
	}
	t.Fatalf("in a whole round there was no event of the kind %d", k)
	return Event{}
}

// Nobody leaves the platform without having fallen, and who has fallen does not stay: an
// independent look at the same tick says who must be out.
func TestWhoIsOutHasFallen(t *testing.T) {
	outs := 0
	for seed := range uint64(20) {
		g := newGame(seed, int(seed)%5, 4)
		for range 3000 {
			in := g.inputs()
			before := *g.World
			moved := g.Bodies
			Move(&moved, &in, nil)
			out := make(map[int]bool)
			for _, e := range g.Step(&in) {
				if e.Kind == Out {
					out[e.Who] = true
					outs++
				}
			}
			for who := range g.Bodies {
				if !before.Bodies[who].Alive || g.Phase == Ready {
					continue
				}
				beyond := math.Hypot(moved[who].X, moved[who].Y) > g.Rim
				if out[who] != beyond || g.Bodies[who].Alive == beyond {
					t.Fatalf("seed %d, tick %d: disc %d at %.1f,%.1f, rim %.1f: out is %v, alive is %v", seed, g.Tick, who,
						moved[who].X, moved[who].Y, g.Rim, out[who], g.Bodies[who].Alive)
				}
			}
		}
	}
	if outs < 1000 {
		t.Errorf("only %d falls", outs)
	}
}

// The same seed and inputs are the same game, to the last digit; another seed is another one.
func TestTheSameSeedIsTheSameGame(t *testing.T) {
	run := func(seed uint64) World {
		g := newGame(seed, 6, 2)
		for range 5000 {
			g.step()
		}
		return *g.World
	}
	if run(1) != run(1) {
		t.Error("the same seed was two games")
	}
	if run(1) == run(2) {
		t.Error("two seeds were one game")
	}
}

// A copy of a world goes on as the world does: that is what makes it a value.
func TestACopyIsAWorldOfItsOwn(t *testing.T) {
	g := newGame(3, 0, 5)
	for range 500 {
		g.step()
	}
	saved := *g.World
	var tape [][Places]Input
	for range 500 {
		in := g.inputs()
		tape = append(tape, in)
		g.Step(&in)
	}
	for _, in := range tape {
		saved.Step(&in)
	}
	if saved != *g.World {
		t.Error("the copy went another way")
	}
}

// Every round comes to its end, and its points are those of its falls.
func TestRounds(t *testing.T) {
	for n := 1; n <= Places; n++ {
		t.Run(fmt.Sprintf("%d players", n), func(t *testing.T) {
			g := newGame(uint64(n), n, 0)
			for round := 1; round <= 10; round++ {
				g.until(t, Began)
				if g.Round != round || g.Rim != RimStart || g.Left != PlayTicks {
					t.Fatalf("round %d begins as %d, with a rim of %v, for %d ticks", round, g.Round, g.Rim, g.Left)
				}
				merits, ended := 0, false
				for !ended {
					for _, e := range g.step() {
						switch e.Kind {
						case Out:
							if e.By != Nobody {
								merits++
							}
						case Ended:
							ended = true
							points := 0
							for _, p := range g.Players {
								points += p.Points
							}
							here, standing := g.count()
							if bonus := here > 1 && standing == 1; points != merits+map[bool]int{true: lastPoints}[bonus] {
								t.Errorf("%d points for %d falls, last one standing: %v", points, merits, bonus)
							}
							if e.Who != g.Leader() {
								t.Errorf("%d has won, and %d leads", e.Who, g.Leader())
							}
						}
					}
				}
			}
		})
	}
}

func TestLeader(t *testing.T) {
	for _, c := range []struct {
		name   string
		points [3]int
		falls  [3]int
		alive  [3]bool
		want   int
	}{
		{"nobody has done anything", [3]int{}, [3]int{}, [3]bool{true, true, true}, Nobody},
		{"points count", [3]int{1, 3, 2}, [3]int{0, 5, 0}, [3]bool{true, false, true}, 1},
		{"then standing", [3]int{3, 3, 2}, [3]int{1, 5, 0}, [3]bool{false, true, true}, 1},
		{"then fewer falls", [3]int{3, 3, 3}, [3]int{2, 1, 2}, [3]bool{false, false, false}, 1},
		{"or nobody", [3]int{3, 3, 2}, [3]int{1, 1, 0}, [3]bool{true, true, true}, Nobody},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := New(1)
			for who := range 3 {
				w.Players[who] = Player{Here: true, Points: c.points[who], Falls: c.falls[who]}
				w.Bodies[who].Alive = c.alive[who]
			}
			if got := w.Leader(); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}

// scene is a world in the middle of a round, with discs where they are put.
func scene(left int, bodies ...Body) *World {
	w := New(9)
	w.Phase, w.Left, w.nextPickup = Play, left, 1<<30
	for who, b := range bodies {
		w.Players[who] = Player{Here: true, foe: Nobody}
		w.Bodies[who] = b
	}
	return w
}

// Who falls early comes back soon, in the middle and untouchable; who falls late does not.
func TestComingBack(t *testing.T) {
	over := at(479, 0).moving(600, 0)
	for _, c := range []struct {
		name  string
		left  int
		ticks int // from the fall to the return; 0 for never
	}{
		{"early", PlayTicks - 100, backTicks},
		{"just before the end begins: at its begin", SuddenTicks + 12, 11},
		{"in the end", SuddenTicks + 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := scene(c.left, over, at(0, 0), at(0, 100))
			if e := w.Step(&[Places]Input{}); len(e) != 1 || e[0] != (Event{Kind: Out, Who: 0, By: Nobody}) {
				t.Fatalf("it did not fall: %+v", e)
			}
			back := 0
			for tick := 1; tick < 100 && back == 0; tick++ {
				w.Step(&[Places]Input{})
				if w.Bodies[0].Alive {
					back = tick
				}
			}
			if back != c.ticks {
				t.Errorf("it came back after %d ticks, want %d", back, c.ticks)
			}
			if b := w.Bodies[0]; back > 0 && (b.Ghost == 0 || math.Hypot(b.X, b.Y) > w.Rim*0.6+1) {
				t.Errorf("it came back as %+v", b)
			}
		})
	}
}

// A fall is the merit of who touched last, for a while.
func TestMerit(t *testing.T) {
	w := scene(PlayTicks-1, at(300, 0), at(220, 0).moving(1400, 0), at(-300, 0))
	for tick := 0; w.Bodies[0].Alive; tick++ {
		for _, e := range w.Step(&[Places]Input{}) {
			if want := (Event{Kind: Out, Who: 0, By: 1}); e != want || w.Players[1].Points != 1 {
				t.Fatalf("%+v, want %+v; %d points", e, want, w.Players[1].Points)
			}
		}
		if tick > 40 {
			t.Fatal("it did not fall")
		}
	}

	w = scene(PlayTicks-1, at(0, 0), at(60, 0), at(-300, 0))
	w.Step(&[Places]Input{0: {AX: 127}})
	w.Step(&[Places]Input{0: {AX: 127}})
	for range foeTicks {
		w.Step(&[Places]Input{0: {AX: -20}})
	}
	w.Bodies[1] = at(479, 0).moving(600, 0)
	if e := w.Step(&[Places]Input{}); len(e) != 1 || e[0].By != Nobody {
		t.Errorf("long after the touch: %+v", e)
	}
}

// The last one standing ends the round, and has a bonus for it.
func TestTheLastOneStanding(t *testing.T) {
	w := scene(SuddenTicks, at(0, 0), at(479, 0).moving(600, 0))
	events := w.Step(&[Places]Input{})
	want := []Event{{Kind: Out, Who: 1, By: Nobody}, {Kind: Ended, Who: 0, By: Nobody}}
	if fmt.Sprint(events) != fmt.Sprint(want) || w.Players[0].Points != lastPoints || w.Players[0].Wins != 1 || w.Phase != Over {
		t.Errorf("%+v, want %+v; %+v, phase %d", events, want, w.Players[0], w.Phase)
	}
}

func TestPickups(t *testing.T) {
	for _, c := range []struct {
		name string
		kind PickupKind
		ok   func(w *World) bool
	}{
		{"heavy", Heavy, func(w *World) bool { return w.Bodies[0].Heavy > 100 && w.Bodies[1].Heavy == 0 }},
		{"freeze", Freeze, func(w *World) bool {
			return w.Bodies[0].Frozen == 0 && w.Bodies[1].Frozen > 20 && w.Bodies[2].Frozen > 20
		}},
		{"blast", Blast, func(w *World) bool { return w.Bodies[0].VX == 0 && w.Bodies[1].VX > 300 && w.Bodies[2].VX == 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := scene(PlayTicks-1, at(0, 0), at(100, 0), at(-400, 0))
			w.Pickups[1] = Pickup{c.kind, 10, 10}
			events := w.Step(&[Places]Input{})
			if want := (Event{Kind: Took, Who: 0, By: Nobody, What: c.kind}); len(events) != 1 || events[0] != want {
				t.Fatalf("%+v, want %+v", events, want)
			}
			if w.Pickups[1].Kind != 0 || !c.ok(w) {
				t.Errorf("pick-up %+v, discs %+v", w.Pickups[1], w.Bodies[:3])
			}
		})
	}

	// They are laid out in time, of every kind, never too many, and none stays where the platform
	// has gone.
	seen, most := make(map[PickupKind]int), 0
	w := New(4)
	for range 20 * (ReadyTicks + PlayTicks + OverTicks) {
		w.Step(&[Places]Input{})
		for _, p := range w.Pickups {
			if p.Kind != 0 {
				seen[p.Kind]++
				if w.Phase == Play && math.Hypot(p.X, p.Y) > w.Rim {
					t.Fatalf("%+v lies beyond the rim of %v", p, w.Rim)
				}
			}
		}
		if w.Pickups[0].Kind != 0 && w.Pickups[1].Kind != 0 {
			most++
		}
	}
	if len(seen) != 3 || most == 0 {
		t.Errorf("seen %v, two at once for %d ticks", seen, most)
	}
}

// Somebody who comes late drops in, or waits for the next round, and who goes leaves nothing
// behind.
func TestEnterAndLeave(t *testing.T) {
	w := New(5)
	w.Enter(2)
	w.Enter(5)
	if !w.Bodies[2].Alive || !w.Bodies[5].Alive || w.Bodies[2].Frozen != ReadyTicks {
		t.Fatalf("before a round they do not stand there: %+v", w.Bodies)
	}
	for w.Phase == Ready {
		w.Step(&[Places]Input{2: {AX: 127}})
	}
	if w.Bodies[2].VX != 0 {
		t.Error("it moved before the round began")
	}
	w.Enter(0)
	w.Step(&[Places]Input{})
	if !w.Bodies[0].Alive || w.Bodies[0].Ghost == 0 {
		t.Errorf("in a round: %+v", w.Bodies[0])
	}
	w.Players[0].Points = 7
	w.Leave(0)
	w.Left = SuddenTicks + 1
	w.Step(&[Places]Input{})
	w.Enter(0)
	for w.Phase == Play {
		w.Step(&[Places]Input{})
		if w.Bodies[0].Alive {
			t.Fatal("it came into the end of a round")
		}
	}
	for w.Phase == Over {
		w.Step(&[Places]Input{})
	}
	if !w.Bodies[0].Alive || w.Players[0].Points != 0 {
		t.Errorf("in the next round: %+v %+v", w.Bodies[0], w.Players[0])
	}
}

// A shorter round is the same game: its last third is the end, and the rim is as small when it is
// over.
func TestARoundOfAnotherLength(t *testing.T) {
	g := newGame(3, 4, 0)
	g.Length = 9 * Rate
	g.until(t, Began)
	if g.Left != 9*Rate || g.Sudden() {
		t.Fatalf("it begins with %d ticks left, as its end: %t", g.Left, g.Sudden())
	}
	for g.Left > 3*Rate {
		g.step()
	}
	if !g.Sudden() {
		t.Error("its last third is not its end")
	}
	for g.Phase == Play {
		if g.step(); g.Phase == Play && g.Left == 1 && g.Rim > RimEnd+10 {
			t.Errorf("at its end the rim is at %v", g.Rim)
		}
	}
}

// The page tells people the rules, and in numbers.
func TestThePageTellsTheRules(t *testing.T) {
	page, err := os.ReadFile("../page/index.html")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(page), "&nbsp;", " ")
	seconds := func(ticks int) string { return strconv.FormatFloat(float64(ticks)/Rate, 'f', -1, 64) + " s" }
	for what, want := range map[string]string{
		"a push":   fmt.Sprintf("over the rim: %d point each", outPoints),
		"a fall":   "comes back after " + seconds(backTicks),
		"a round":  fmt.Sprintf(`<span data-rule="round">%d</span>`, PlayTicks/Rate),
		"its end":  fmt.Sprintf(`<span data-rule="end">%d</span>`, SuddenTicks/Rate),
		"the last": fmt.Sprintf("%d points for the last one standing", lastPoints),
		"heavy":    "with three times the weight, for " + seconds(heavyTicks),
		"freeze":   "cannot steer, for " + seconds(freezeTicks),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s: the page does not say %q", what, want)
		}
	}
	if heavyMass != 3*mass {
		t.Errorf("a heavy disc has %v times the mass", heavyMass/mass)
	}
}

// The cost of a room: one tick of a full world, bots and all.
func BenchmarkStep(b *testing.B) {
	for _, c := range []struct {
		name        string
		bots, fools int
	}{{"people=8", 0, 8}, {"bots=8", 8, 0}} {
		b.Run(c.name, func(b *testing.B) {
			g := newGame(1, c.bots, c.fools)
			b.ReportAllocs()
			for b.Loop() {
				g.step()
			}
		})
	}
}

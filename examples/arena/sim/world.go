package sim

import (
	"math"
	"math/rand/v2"
)

// How a round goes, in ticks. For two thirds of it who falls comes back; then nobody does, and the
// last one standing has won a bonus.
const (
	ReadyTicks  = 3 * Rate
	PlayTicks   = 60 * Rate
	SuddenTicks = PlayTicks / 3 // the end of PlayTicks
	OverTicks   = 6 * Rate

	backTicks  = 2 * Rate // from a fall to the return
	ghostTicks = Rate
	foeTicks   = 4 * Rate // for so long a fall is the merit of who touched last
)

// How far the rim is from the middle.
const (
	RimStart = 480.0 // when a round begins
	RimEnd   = 110.0 // when its time is over
)

const (
	outPoints  = 1 // for each who falls over you
	lastPoints = 2 // for the last one standing
)

// Never is Player.Back of who does not come back in this round.
const Never = -1

// Phase is what part of a round it is.
type Phase uint8

// The phases. In Ready all stand still and see where they are; in Over nothing counts any more.
const (
	Ready Phase = iota
	Play
	Over
)

// Player is what a place is besides its disc.
type Player struct {
	Here   bool // somebody has the place
	Back   int  // ticks until its disc comes back, or Never
	Points int  // in this round
	Falls  int
	Wins   int // rounds

	Novice bool // bots are kind to it; whoever runs the world decides that

	foe, foeFor int // who touched it last, and for how many ticks that counts
}

// Kind is what happened.
type Kind uint8

// What happens. Only what people are told is an event; where discs are is in the World.
const (
	Began Kind = iota + 1 // a round
	Out                   // Who has fallen, over By
	Took                  // Who has taken the pick-up What
	Ended                 // a round; Who has won it
)

// Nobody stands for no player in events.
const Nobody = -1

// Event is something that happened in a tick.
type Event struct {
	Kind    Kind
	Who, By int // a place, or Nobody
	What    PickupKind
}

// World is a game. The zero value is none; see New. It may be copied, which keeps the game as it
// is.
type World struct {
	Tick    uint32
	Round   int
	Phase   Phase
	Left    int // ticks until the phase is over
	Rim     float64
	Length  int // of the play in a round, in ticks; New sets it to PlayTicks
	Bodies  [Places]Body
	Players [Places]Player
	Pickups [MaxPickups]Pickup

	nextPickup int
	source     rand.PCG
}

// New returns a world without players, before its first round.
func New(seed uint64) *World {
	w := &World{Phase: Ready, Left: ReadyTicks, Rim: RimStart, Round: 1, Length: PlayTicks}
	w.source.Seed(seed, 0x9e3779b97f4a7c15)
	w.nextPickup = pickupTicks
	return w
}

// chance returns a number below 1.
func (w *World) chance() float64 { return float64(w.source.Uint64()>>11) / (1 << 53) }

// Sudden tells whether who falls now does not come back.
func (w *World) Sudden() bool { return w.Phase != Play || w.Left <= w.SuddenTicks() }

// SuddenTicks is how long the end of a round is, in which nobody comes back: a third of the round.
func (w *World) SuddenTicks() int { return w.Length / 3 }

// Enter gives a place to somebody new, who drops onto the platform as soon as the round allows it.
func (w *World) Enter(who int) {
	w.Players[who] = Player{Here: true, Back: Never, foe: Nobody}
	w.Bodies[who] = Body{}
	switch {
	case w.Phase == Ready:
		w.line()
	case !w.Sudden():
		w.Players[who].Back = 1
	}
}

// Leave frees a place.
func (w *World) Leave(who int) {
	w.Players[who] = Player{Back: Never, foe: Nobody}
	w.Bodies[who] = Body{}
}

// Step is one tick. The events are in the order in which they happened.
func (w *World) Step(inputs *[Places]Input) (events []Event) {
	w.Tick++
	Move(&w.Bodies, inputs, w.touched)
	w.Left--
	switch w.Phase {
	case Ready:
		if w.Left <= 0 {
			w.Phase, w.Left = Play, w.Length
			events = append(events, Event{Kind: Began, Who: Nobody, By: Nobody})
		}
	case Play:
		w.shrink()
		w.returns()
		events = w.falls(events)
		events = w.pickups(events)
		if w.Left <= 0 || w.decided() {
			events = append(events, w.end())
		}
	case Over:
		events = w.falls(events)
		if w.Left <= 0 {
			w.begin()
		}
	}
	return events
}

// touched notes who hit whom: a fall soon after is the other's merit.
func (w *World) touched(a, b int, _ float64) {
	w.Players[a].foe, w.Players[a].foeFor = b, foeTicks
	w.Players[b].foe, w.Players[b].foeFor = a, foeTicks
}

// shrink sets the rim: it stays for a sixth of the round, and is at its smallest when the round
// ends.
func (w *World) shrink() {
	moving := w.Length * 5 / 6
	at := float64(min(moving, max(0, w.Left))) / float64(moving)
	w.Rim = math.Floor((RimEnd+(RimStart-RimEnd)*at)*Fine) / Fine
}

// falls finds out who has left the platform.
func (w *World) falls(events []Event) []Event {
	for who := range w.Bodies {
		b, p := &w.Bodies[who], &w.Players[who]
		if p.foeFor > 0 {
			p.foeFor--
		}
		if !b.Alive || dot(b.X, b.Y, b.X, b.Y) <= w.Rim*w.Rim {
			continue
		}
		e := Event{Kind: Out, Who: who, By: Nobody}
		if p.foeFor > 0 && w.Players[p.foe].Here {
			e.By = p.foe
		}
		*b = Body{}
		p.Falls++
		p.Back, p.foe, p.foeFor = Never, Nobody, 0
		if !w.Sudden() {
			p.Back = backTicks
		}
		if w.Phase == Play && e.By != Nobody {
			w.Players[e.By].Points += outPoints
		}
		events = append(events, e)
	}
	return events
}

// returns lets those come back whose time it is. Whoever waits when the end of the round begins
// comes back at once: the last to fall before it has not fallen for good.
func (w *World) returns() {
	for who := range w.Players {
		p := &w.Players[who]
		if !p.Here || p.Back <= 0 {
			continue
		}
		if p.Back--; p.Back == 0 || w.Left == w.SuddenTicks() {
			p.Back = 0
			w.drop(who)
		}
	}
}

// drop puts a disc where it is furthest from the others, of a few spots.
func (w *World) drop(who int) {
	var best Body
	most := -1.0
	for range 8 {
		turn, far := 2*math.Pi*w.chance(), w.Rim*0.6*math.Sqrt(w.chance())
		b := Body{Alive: true, Ghost: ghostTicks, X: far * math.Cos(turn), Y: far * math.Sin(turn)}
		near := math.Inf(1)
		for i := range w.Bodies {
			if o := &w.Bodies[i]; o.Alive {
				near = min(near, math.Hypot(o.X-b.X, o.Y-b.Y))
			}
		}
		if near > most {
			best, most = b, near
		}
	}
	best.settle()
	w.Bodies[who] = best
}

// decided tells whether it is clear who is the last one standing.
func (w *World) decided() bool {
	if !w.Sudden() {
		return false
	}
	here, standing := w.count()
	return standing == 0 || here > 1 && standing == 1
}

func (w *World) count() (here, standing int) {
	for who := range w.Players {
		if w.Players[who].Here {
			here++
		}
		if w.Bodies[who].Alive {
			standing++
		}
	}
	return here, standing
}

// end ends a round, and says who has won it.
func (w *World) end() Event {
	if here, standing := w.count(); here > 1 && standing == 1 {
		for who := range w.Bodies {
			if w.Bodies[who].Alive {
				w.Players[who].Points += lastPoints
			}
		}
	}
	winner := w.Leader()
	if winner != Nobody {
		w.Players[winner].Wins++
	}
	w.Phase, w.Left = Over, OverTicks
	for who := range w.Players {
		if w.Players[who].Back > 0 {
			w.Players[who].Back = Never
		}
	}
	return Event{Kind: Ended, Who: winner, By: Nobody}
}

// Leader returns who has the most points: of several who stands, and then who fell less often.
// Nobody leads while nobody has points, and while two cannot be told apart.
func (w *World) Leader() int {
	best, tied := Nobody, false
	for who := range w.Players {
		p := &w.Players[who]
		if !p.Here || p.Points == 0 {
			continue
		}
		switch c := w.compare(who, best); {
		case c > 0:
			best, tied = who, false
		case c == 0:
			tied = true
		}
	}
	if tied {
		return Nobody
	}
	return best
}

// compare is positive if a is before b.
func (w *World) compare(a, b int) int {
	if b == Nobody {
		return 1
	}
	p, q := &w.Players[a], &w.Players[b]
	if p.Points != q.Points {
		return p.Points - q.Points
	}
	if w.Bodies[a].Alive != w.Bodies[b].Alive {
		if w.Bodies[a].Alive {
			return 1
		}
		return -1
	}
	return q.Falls - p.Falls
}

// begin makes the next round.
func (w *World) begin() {
	w.Round++
	w.Phase, w.Left, w.Rim = Ready, ReadyTicks, RimStart
	w.Pickups = [MaxPickups]Pickup{}
	w.nextPickup = pickupTicks
	for who := range w.Players {
		p := &w.Players[who]
		p.Points, p.Falls, p.foe, p.foeFor = 0, 0, Nobody, 0
	}
	w.line()
}

// line puts all players on a ring, where they stand still until the round begins.
func (w *World) line() {
	here, _ := w.count()
	at := 0
	for who := range w.Players {
		if !w.Players[who].Here {
			continue
		}
		turn := 2 * math.Pi * (float64(at)/float64(here) - 0.25)
		at++
		b := Body{Alive: true, X: RimStart * 0.62 * math.Cos(turn), Y: RimStart * 0.62 * math.Sin(turn)}
		b.settle()
		b.Frozen = uint8(w.Left)
		w.Bodies[who], w.Players[who].Back = b, 0
	}
}

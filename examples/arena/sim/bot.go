package sim

import (
	"math"
	"math/rand/v2"
)

// Temper is what makes bots differ.
type Temper struct {
	Brink  float64 // how near to the rim it dares to come: 1 is the rim itself
	Charge float64 // from how far away it dashes at somebody
	Greed  float64 // how far it goes for a pick-up
	Care   float64 // how near a fast disc may come before it steps aside
	Slip   float64 // by how much it misses what it aims at, at most: radians
	Pause  int     // ticks from one thought to the next: nobody sees everything at once
}

// Tempers are those that bots have, in turn.
var tempers = [...]Temper{
	{Brink: 0.86, Charge: 210, Greed: 130, Care: 0, Slip: 0.16, Pause: 4},   // a bruiser, always at somebody
	{Brink: 0.68, Charge: 120, Greed: 170, Care: 190, Slip: 0.10, Pause: 3}, // a fox: keeps to the middle, and lets others miss
	{Brink: 0.78, Charge: 150, Greed: 420, Care: 90, Slip: 0.18, Pause: 5},  // a magpie, after whatever lies around
	{Brink: 0.92, Charge: 300, Greed: 60, Care: 0, Slip: 0.42, Pause: 6},    // a whirlwind, mostly past everybody
	{Brink: 0.74, Charge: 170, Greed: 220, Care: 130, Slip: 0.14, Pause: 2}, // a duelist
}

// Towards novices a bot is kind: it goes for others first, comes slowly, never dashes at them, and
// turns away when they have the rim behind them. What lies around is left to them, when they are
// nearer.
const (
	kindThrust = 0.45 // of full thrust, at a novice
	kindRim    = 0.55 // of the rim: further out a novice is left alone
)

// Bot steers one disc. Make it with NewBot. What it knows is what everybody sees.
type Bot struct {
	Temper
	source rand.PCG

	wait int     // ticks until it thinks again
	want Input   // what it thought last
	slip float64 // by how much it misses now
	prey int
}

// NewBot returns a bot; seed decides its temper and its luck.
func NewBot(seed uint64) *Bot {
	b := &Bot{Temper: tempers[seed%uint64(len(tempers))], prey: Nobody}
	b.source.Seed(seed, 0xbf58476d1ce4e5b9)
	return b
}

// vec is a place, or a direction.
type vec struct{ x, y float64 }

func (a vec) plus(b vec) vec      { return vec{a.x + b.x, a.y + b.y} }
func (a vec) minus(b vec) vec     { return vec{a.x - b.x, a.y - b.y} }
func (a vec) times(f float64) vec { return vec{a.x * f, a.y * f} }
func (a vec) dot(b vec) float64   { return a.x*b.x + a.y*b.y }
func (a vec) long() float64       { return math.Hypot(a.x, a.y) }
func (a vec) turned(turn float64) vec {
	s, c := math.Sincos(turn)
	return vec{a.x*c - a.y*s, a.x*s + a.y*c}
}

func (a vec) unit() vec {
	if d := a.long(); d > 0 {
		return a.times(1 / d)
	}
	return vec{}
}

// Steer returns what the disc at place me does in this tick.
func (b *Bot) Steer(w *World, me int) Input {
	body := &w.Bodies[me]
	if !body.Alive {
		b.wait = 0
		return Input{}
	}
	b.want.Dash = false
	if b.wait--; b.wait > 0 {
		return b.want
	}
	chance := float64(b.source.Uint64()>>11) / (1 << 53)
	b.wait = b.Pause + int(3*chance)
	b.slip = b.Slip * (2*chance - 1)
	b.want = b.think(w, me)
	return b.want
}

func (b *Bot) think(w *World, me int) Input {
	body := &w.Bodies[me]
	at, speed := vec{body.X, body.Y}, vec{body.VX, body.VY}

	// First of all, stay: where it will be soon must not be beyond the brink.
	soon := at.plus(speed.times(0.4))
	if soon.long() > w.Rim*b.Brink {
		home := at.times(-1).unit().minus(speed.times(0.5 / 400))
		late := at.long() > w.Rim*0.8 && speed.dot(at.unit()) > 220
		return towards(home, late)
	}
	if away, yes := b.dodge(w, me); yes {
		return towards(away, false)
	}
	if goal, yes := b.treat(w, at); yes {
		return towards(goal.minus(soon), false)
	}
	return b.hunt(w, me, at, speed)
}

// dodge steps aside where somebody fast comes near, and towards the middle.
func (b *Bot) dodge(w *World, me int) (vec, bool) {
	body := &w.Bodies[me]
	if b.Care == 0 || body.Heavy > 0 {
		return vec{}, false
	}
	for i := range w.Bodies {
		o := &w.Bodies[i]
		if i == me || !o.Alive || o.Ghost > 0 {
			continue
		}
		way := vec{body.X - o.X, body.Y - o.Y}
		coming := vec{o.VX - body.VX, o.VY - body.VY}
		if way.long() > b.Care || coming.dot(way.unit()) < 330 {
			continue
		}
		aside := way.unit().turned(math.Pi / 2)
		if aside.dot(vec{body.X, body.Y}) > 0 {
			aside = aside.times(-1)
		}
		return aside, true
	}
	return vec{}, false
}

// treat finds a pick-up that is worth the way.
func (b *Bot) treat(w *World, at vec) (vec, bool) {
	for i := range w.Pickups {
		p := &w.Pickups[i]
		goal := vec{p.X, p.Y}
		if p.Kind != 0 && goal.minus(at).long() < b.Greed && goal.long() < w.Rim*b.Brink && !w.noviceNearer(goal, at) {
			return goal, true
		}
	}
	return vec{}, false
}

// noviceNearer tells whether a novice is nearer to goal than at is.
func (w *World) noviceNearer(goal, at vec) bool {
	for i := range w.Bodies {
		o := &w.Bodies[i]
		if o.Alive && w.Players[i].Novice && goal.minus(vec{o.X, o.Y}).long() < goal.minus(at).long() {
			return true
		}
	}
	return false
}

// hunt goes for somebody: best one who is near, and has the rim behind.
func (b *Bot) hunt(w *World, me int, at, speed vec) Input {
	body := &w.Bodies[me]
	best := math.Inf(-1)
	b.prey = Nobody
	for i := range w.Bodies {
		o := &w.Bodies[i]
		if i == me || !o.Alive || o.Ghost > 0 || o.Heavy > 0 && body.Heavy == 0 {
			continue
		}
		there := vec{o.X, o.Y}
		way := there.minus(at)
		worth := there.long()/w.Rim + way.unit().dot(there.unit()) - way.long()/260
		if o.Frozen > 0 {
			worth++
		}
		if w.Players[i].Novice {
			if there.long() > w.Rim*kindRim {
				continue
			}
			worth -= 3
		}
		if worth > best {
			best, b.prey = worth, i
		}
	}
	if b.prey == Nobody {
		return towards(at.times(-1.0/200), false)
	}
	o := &w.Bodies[b.prey]
	there := vec{o.X, o.Y}
	far := there.minus(at).long()
	// Where the other will be, and a little to its inner side, so that it goes outwards.
	meet := there.plus(vec{o.VX, o.VY}.times(min(0.5, far/700)))
	meet = meet.minus(meet.unit().times(o.Radius() * 0.6))
	way := meet.minus(at).unit()
	if w.Players[b.prey].Novice {
		return towards(way.turned(b.slip).times(kindThrust), false)
	}
	dash := far < b.Charge && body.Cooldown == 0 && way.dot(speed.unit()) > 0.3 &&
		at.plus(way.times(far+60)).long() < w.Rim*1.05
	return towards(way.turned(b.slip), dash && !w.noviceAhead(at, way, far))
}

// noviceAhead tells whether a novice is in the way of a dash, or right behind who it is meant for.
func (w *World) noviceAhead(at, way vec, far float64) bool {
	for i := range w.Bodies {
		o := &w.Bodies[i]
		if !o.Alive || !w.Players[i].Novice {
			continue
		}
		there := vec{o.X, o.Y}.minus(at)
		along := there.dot(way)
		if along > 0 && along < far+200 && there.minus(way.times(along)).long() < 2.5*Radius {
			return true
		}
	}
	return false
}

// towards is full thrust in a direction, less where that is short.
func towards(way vec, dash bool) Input {
	if d := way.long(); d > 1 {
		way = way.times(1 / d)
	}
	return Input{AX: int8(math.Round(way.x * 127)), AY: int8(math.Round(way.y * 127)), Dash: dash}
}

package sim

import "math"

// PickupKind is what a pick-up does to who takes it, or to all others.
type PickupKind uint8

// The pick-ups. The zero value is none.
const (
	Heavy  PickupKind = iota + 1 // large, and three times as heavy
	Freeze                       // all others slide for a moment, and cannot steer
	Blast                        // pushes away who is near
)

// MaxPickups is how many lie there at a time.
const MaxPickups = 2

const (
	pickupTicks  = 5 * Rate
	pickupRadius = 20.0

	heavyTicks  = 6 * Rate
	freezeTicks = 3 * Rate / 2

	blastReach, blastSpeed = 260.0, 620.0
)

// Pickup is something that lies on the platform.
type Pickup struct {
	Kind PickupKind // 0: none
	X, Y float64
}

// pickups lays out new ones, takes those away from under which the platform has gone, and gives the
// others to who is there.
func (w *World) pickups(events []Event) []Event {
	if w.nextPickup--; w.nextPickup <= 0 {
		w.nextPickup = pickupTicks
		w.lay()
	}
	for i := range w.Pickups {
		p := &w.Pickups[i]
		if p.Kind == 0 {
			continue
		}
		if math.Hypot(p.X, p.Y) > w.Rim-pickupRadius {
			*p = Pickup{}
			continue
		}
		for who := range w.Bodies {
			b := &w.Bodies[who]
			if !b.Alive || math.Hypot(b.X-p.X, b.Y-p.Y) > b.Radius()+pickupRadius {
				continue
			}
			events = append(events, Event{Kind: Took, Who: who, By: Nobody, What: p.Kind})
			w.use(who, p.Kind)
			*p = Pickup{}
			break
		}
	}
	return events
}

// lay puts a pick-up onto the platform, if one is missing.
func (w *World) lay() {
	for i := range w.Pickups {
		if w.Pickups[i].Kind != 0 {
			continue
		}
		turn, far := 2*math.Pi*w.chance(), w.Rim*0.7*math.Sqrt(w.chance())
		w.Pickups[i] = Pickup{
			Kind: Heavy + PickupKind(3*w.chance()),
			X:    fine(far * math.Cos(turn)), Y: fine(far * math.Sin(turn)),
		}
		return
	}
}

// use is what a pick-up does.
func (w *World) use(who int, kind PickupKind) {
	me := &w.Bodies[who]
	if kind == Heavy {
		me.Heavy = heavyTicks
		return
	}
	for i := range w.Bodies {
		b := &w.Bodies[i]
		if i == who || !b.Alive || b.Ghost > 0 {
			continue
		}
		if kind == Freeze {
			b.Frozen = freezeTicks
		} else if !w.blow(me, b) {
			continue
		}
		w.Players[i].foe, w.Players[i].foeFor = who, foeTicks // where it slides to is who's merit
	}
}

// blow pushes b away from me, the more the nearer it is.
func (w *World) blow(me, b *Body) bool {
	dx, dy := b.X-me.X, b.Y-me.Y
	d := math.Hypot(dx, dy)
	if d >= blastReach || d == 0 {
		return false
	}
	speed := blastSpeed * (1 - d/blastReach) / b.mass()
	b.VX = coarse(b.VX + speed*dx/d)
	b.VY = coarse(b.VY + speed*dy/d)
	return true
}

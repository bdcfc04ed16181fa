// Package sim is the game of the arena, without people, clocks or a network: discs on a round
// platform push each other over its rim. A World is a value, and Step is a twentieth of a second of
// it. The same seed and the same inputs give the same game, so a test plays a thousand rounds in a
// few seconds.
//
//	w := sim.New(7)
//	w.Enter(0)
//	w.Enter(1)
//	for range 60 * sim.Rate {
//		w.Step(&[sim.Places]sim.Input{0: {AX: 127}})
//	}
//
// physics.go is what the page predicts with: page/physics.js does the same in JavaScript, number
// for number. world.go is rounds, points and pick-ups, which only a server decides; bot.go plays
// where people are missing.
//
// A World has no lock: one goroutine at a time. Nothing in this package knows of sessions.
package sim

import "math"

// Places is how many discs a world has room for.
const Places = 8

// Rate is how many ticks there are in a second.
const Rate = 20

// The measures of the world: units, and units a second. They are written out, and not worked out of
// each other, so that Go, whose constants are exact, and JavaScript, whose are not, begin with the
// same numbers.
const (
	Radius      = 34.0 // of a disc
	HeavyRadius = 46.0 // of a heavy one
	mass        = 1.0
	heavyMass   = 3.0

	slices = 5    // of a tick: between two looks nothing may pass through another disc
	dt     = 0.01 // seconds in a slice

	push     = 11.0   // speed that is gained in a slice at full thrust
	glide    = 0.978  // of its speed a disc keeps in a slice: the floor is slippery
	kick     = 560.0  // speed that a dash gives
	maxSpeed = 1900.0 // of each component

	dashTicks = 28 // until the next dash
)

// Input is what a disc wants in one tick: a direction, as far as the stick is bent, and a dash.
type Input struct {
	AX, AY int8 // 127 is full thrust to the right, and down
	Dash   bool
}

// Body is a disc as physics sees it.
type Body struct {
	Alive        bool // on the platform; the others are nowhere
	X, Y, VX, VY float64
	AX, AY       int8 // where it was steered last: a page that sees it goes on like that

	// Ticks that are left of each.
	Cooldown uint8 // until it may dash again
	Heavy    uint8
	Frozen   uint8 // it slides, and cannot steer
	Ghost    uint8 // it has just come, and touches nobody
}

// Radius returns how large the disc is now.
func (b *Body) Radius() float64 {
	if b.Heavy > 0 {
		return HeavyRadius
	}
	return Radius
}

func (b *Body) mass() float64 {
	if b.Heavy > 0 {
		return heavyMass
	}
	return mass
}

// Move is one tick of all bodies. touched, if there is one, is told of each hit, and how fast the
// two met.
func Move(bodies *[Places]Body, inputs *[Places]Input, touched func(a, b int, speed float64)) {
	for i := range bodies {
		if bodies[i].Alive {
			bodies[i].steer(inputs[i])
		}
	}
	for range slices {
		for i := range bodies {
			if bodies[i].Alive {
				bodies[i].slide()
			}
		}
		for i := range bodies {
			for j := i + 1; j < Places; j++ {
				if speed := collide(&bodies[i], &bodies[j]); speed > 0 && touched != nil {
					touched(i, j, speed)
				}
			}
		}
	}
	for i := range bodies {
		bodies[i].settle()
	}
}

// steer takes the input of a tick.
func (b *Body) steer(in Input) {
	if b.Frozen > 0 {
		in = Input{}
	}
	b.AX, b.AY = in.AX, in.AY
	if !in.Dash || b.Cooldown > 0 {
		return
	}
	// Where to: as steered, or as it moves. Who does neither has no direction to dash in.
	dx, dy := float64(in.AX), float64(in.AY)
	if dx == 0 && dy == 0 {
		dx, dy = b.VX, b.VY
	}
	long := math.Sqrt(dot(dx, dy, dx, dy))
	if long < 1 {
		return
	}
	b.VX += float64(kick * (dx / long))
	b.VY += float64(kick * (dy / long))
	b.Cooldown = dashTicks
}

// slide moves a body for one slice, as if it were alone.
func (b *Body) slide() {
	tx, ty := float64(b.AX)/127, float64(b.AY)/127
	if long := dot(tx, ty, tx, ty); long > 1 { // no stick goes further than full
		long = math.Sqrt(long)
		tx, ty = tx/long, ty/long
	}
	b.VX = float64((b.VX + float64(push*tx)) * glide)
	b.VY = float64((b.VY + float64(push*ty)) * glide)
	b.X += float64(b.VX * dt)
	b.Y += float64(b.VY * dt)
}

// collide has two bodies bounce off each other if they touch: apart first, and then an elastic hit,
// in which momentum and energy stay. It returns how fast they met, 0 if they did not.
func collide(a, b *Body) float64 {
	if !a.Alive || !b.Alive || a.Ghost > 0 || b.Ghost > 0 {
		return 0
	}
	dx, dy := b.X-a.X, b.Y-a.Y
	reach := a.Radius() + b.Radius()
	near := dot(dx, dy, dx, dy)
	if near >= reach*reach {
		return 0
	}
	d := math.Sqrt(near)
	nx, ny := 1.0, 0.0 // of two in one spot, the second goes to the right
	if d > 0 {
		nx, ny = dx/d, dy/d
	}
	ma, mb := a.mass(), b.mass()
	total := ma + mb
	gap := reach - d
	ga, gb := gap*mb/total, gap*ma/total
	a.X -= float64(ga * nx)
	a.Y -= float64(ga * ny)
	b.X += float64(gb * nx)
	b.Y += float64(gb * ny)

	speed := dot(a.VX-b.VX, a.VY-b.VY, nx, ny)
	if speed <= 0 { // they part already
		return 0
	}
	j := 2 * speed * ma * mb / total
	ja, jb := j/ma, j/mb
	a.VX -= float64(ja * nx)
	a.VY -= float64(ja * ny)
	b.VX += float64(jb * nx)
	b.VY += float64(jb * ny)
	return speed
}

// settle ends a tick: what runs out runs out, and what is left is rounded to what a snapshot can
// carry. A page that has the snapshot then has the world itself, and what it predicts from there is
// what will be.
func (b *Body) settle() {
	if !b.Alive {
		*b = Body{}
		return
	}
	b.X, b.Y = fine(b.X), fine(b.Y)
	b.VX, b.VY = coarse(b.VX), coarse(b.VY)
	for _, left := range []*uint8{&b.Cooldown, &b.Heavy, &b.Frozen, &b.Ghost} {
		if *left > 0 {
			*left--
		}
	}
}

// The grids on which positions and speeds lie: parts of a unit.
const (
	Fine   = 32
	Coarse = 16
)

// fine rounds a coordinate to the nearest place on its grid.
func fine(v float64) float64 { return math.Floor(max(-1000, min(1000, v))*Fine+0.5) / Fine }

// coarse cuts a speed down to its grid: rounded to the nearest, the slowest would never come to
// rest.
func coarse(v float64) float64 { return math.Trunc(max(-maxSpeed, min(maxSpeed, v))*Coarse) / Coarse }

// dot is ax·bx + ay·by. Products are converted before they are added, here and above: a Go compiler
// may otherwise make one instruction of a product and a sum, which rounds once and not twice, and
// no browser does that. (Times a power of two, as in fine, is exact either way.)
func dot(ax, ay, bx, by float64) float64 { return float64(ax*bx) + float64(ay*by) }

package sim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"
)

// at is a body at rest.
func at(x, y float64) Body { return Body{Alive: true, X: x, Y: y} }

// moving gives a body a speed.
func (b Body) moving(vx, vy float64) Body {
	b.VX, b.VY = vx, vy
	return b
}

func (b Body) heavy() Body {
	b.Heavy = 100
	return b
}

// A hit that does not feel right is the end of a game about hits.
func TestCollide(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b Body
		// The speeds to the right afterwards, and how fast they met.
		va, vb, met float64
	}{
		{"who runs into somebody hands the speed over", at(0, 0).moving(300, 0), at(60, 0), 0, 300, 300},
		{"head on they swap", at(0, 0).moving(300, 0), at(60, 0).moving(-100, 0), -100, 300, 400},
		{"from behind too", at(0, 0).moving(300, 0), at(60, 0).moving(100, 0), 100, 300, 200},
		{"they part already", at(0, 0).moving(-10, 0), at(60, 0).moving(10, 0), -10, 10, 0},
		{"too far apart", at(0, 0).moving(300, 0), at(68, 0), 300, 0, 0},
		{"a heavy one goes on", at(0, 0).moving(300, 0).heavy(), at(60, 0), 150, 450, 300},
		{"and is hard to move", at(0, 0).moving(300, 0), at(60, 0).heavy(), -150, 150, 300},
		{"a ghost touches nobody", Body{Alive: true, VX: 300, Ghost: 1}, at(60, 0), 300, 0, 0},
		{"and nobody a ghost", at(0, 0).moving(300, 0), Body{Alive: true, X: 60, Ghost: 1}, 300, 0, 0},
		{"who has fallen is not there", at(0, 0).moving(300, 0), Body{X: 60}, 300, 0, 0},
		{"in one spot", at(5, 5).moving(300, 0), at(5, 5), 0, 300, 300},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := c.a, c.b
			met := collide(&a, &b)
			if a.VX != c.va || b.VX != c.vb || met != c.met {
				t.Errorf("%v and %v, met at %v; want %v and %v, met at %v", a.VX, b.VX, met, c.va, c.vb, c.met)
			}
		})
	}
}

// Momentum and energy stay, and so does the centre of gravity, whatever meets at whatever angle.
func TestCollisionsAreElastic(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	some := func() Body {
		b := at(60*r.Float64(), 60*r.Float64()).moving(2000*r.Float64()-1000, 2000*r.Float64()-1000)
		if r.IntN(3) == 0 {
			b = b.heavy()
		}
		return b
	}
	momentum := func(a, b *Body) (x, y float64) { return a.mass()*a.VX + b.mass()*b.VX, a.mass()*a.VY + b.mass()*b.VY }
	centre := func(a, b *Body) (x, y float64) { return a.mass()*a.X + b.mass()*b.X, a.mass()*a.Y + b.mass()*b.Y }
	energy := func(a, b *Body) float64 {
		return a.mass()*dot(a.VX, a.VY, a.VX, a.VY) + b.mass()*dot(b.VX, b.VY, b.VX, b.VY)
	}
	close := func(a, b float64) bool { return math.Abs(a-b) <= 1e-6*max(1, math.Abs(a)) }
	hits := 0
	for range 10_000 {
		a, b := some(), some()
		px, py := momentum(&a, &b)
		cx, cy := centre(&a, &b)
		e := energy(&a, &b)
		if collide(&a, &b) > 0 {
			hits++
		}
		qx, qy := momentum(&a, &b)
		dx, dy := centre(&a, &b)
		if !close(px, qx) || !close(py, qy) || !close(cx, dx) || !close(cy, dy) || !close(e, energy(&a, &b)) {
			t.Fatalf("momentum %v,%v became %v,%v; centre %v,%v became %v,%v; energy %v became %v", px, py, qx, qy, cx, cy, dx, dy, e, energy(&a, &b))
		}
		if gap := math.Hypot(a.X-b.X, a.Y-b.Y) - a.Radius() - b.Radius(); gap < -1e-9 {
			t.Fatalf("they are %v inside each other", -gap)
		}
	}
	if hits < 3000 {
		t.Errorf("only %d hits", hits)
	}
}

// alone moves one body for a number of ticks.
func alone(b Body, ticks int, in Input) Body {
	bodies := [Places]Body{b}
	for range ticks {
		Move(&bodies, &[Places]Input{in}, nil)
	}
	return bodies[0]
}

func TestSteering(t *testing.T) {
	for _, c := range []struct {
		name  string
		b     Body
		in    Input
		ticks int
		ok    func(b Body) bool
	}{
		{"full thrust gets up to speed", at(0, 0), Input{AX: 127}, 40, func(b Body) bool { return b.VX > 470 && b.VX < 490 && b.VY == 0 }},
		{"half thrust to half of it", at(0, 0), Input{AX: 64}, 40, func(b Body) bool { return b.VX > 235 && b.VX < 250 }},
		{"without thrust it comes to rest", at(0, 0).moving(480, 0), Input{}, 80, func(b Body) bool { return b.VX == 0 && b.X > 180 && b.X < 230 }},
		{"a corner of the keyboard is no faster", at(0, 0), Input{AX: 127, AY: 127}, 40, func(b Body) bool { return math.Hypot(b.VX, b.VY) < 490 }},
		{"nor is what no stick can send", at(0, 0), Input{AX: -128, AY: -128}, 40, func(b Body) bool { return math.Hypot(b.VX, b.VY) < 490 }},
		{"a dash goes where it is steered", at(0, 0).moving(0, 100), Input{AX: 1, Dash: true}, 1, func(b Body) bool { return b.VX > 480 && b.VY < 100 }},
		{"or where it moves", at(0, 0).moving(0, 100), Input{Dash: true}, 1, func(b Body) bool { return b.VX == 0 && b.VY > 560 }},
		{"or nowhere", at(0, 0), Input{Dash: true}, 1, func(b Body) bool { return b.VX == 0 && b.VY == 0 && b.Cooldown == 0 }},
		{"and then it has to wait", at(0, 0), Input{AX: 127, Dash: true}, dashTicks, func(b Body) bool { return b.VX < 600 && b.Cooldown == 0 }},
		{"who is frozen cannot steer", Body{Alive: true, Frozen: 5}, Input{AX: 127, Dash: true}, 5, func(b Body) bool { return b.VX == 0 }},
		{"and then can again", Body{Alive: true, Frozen: 5}, Input{AX: 127}, 6, func(b Body) bool { return b.VX > 0 }},
		{"there is a limit to everything", at(0, 0).moving(1e9, -1e9), Input{}, 1, func(b Body) bool { return b.VX == maxSpeed && b.VY == -maxSpeed && b.X == 1000 && b.Y == -1000 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if b := alone(c.b, c.ticks, c.in); !c.ok(b) {
				t.Errorf("%+v", b)
			}
		})
	}
}

// Whatever a client sends, its disc gets no more than one thrust a tick, and no more than one dash
// in a while.
func TestNoInputIsFasterThanAllowed(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		b, dashed := at(0, 0), -1000
		for tick := range 200 {
			before := b.moving(0, 0)
			in := Input{int8(r.Uint32()), int8(r.Uint32()), r.IntN(2) == 0}
			b.X, b.Y = 0, 0
			was := math.Hypot(b.VX, b.VY)
			b = alone(b, 1, in)
			gain := math.Hypot(b.VX, b.VY) - was
			if gain > push*slices+1 {
				if tick-dashed < dashTicks || gain > kick+push*slices+1 {
					t.Fatalf("tick %d: %+v made it faster by %v, from %+v", tick, in, gain, before)
				}
				dashed = tick
			}
		}
	}
}

var update = flag.Bool("update", false, "write testdata/physics.json anew")

// script is a game that is all physics, and what becomes of it, for the JavaScript that has to do
// the same.
type script struct {
	Begin  [Places]encoded         `json:"begin"`
	Inputs [][Places][3]int        `json:"inputs"` // of each tick: AX, AY, Dash
	States map[int][Places]encoded `json:"states"` // after so many ticks
}

// encoded is a body in whole numbers: alive, position, speed, direction and what runs out.
type encoded [11]int

func encode(b *Body) encoded {
	alive := 0
	if b.Alive {
		alive = 1
	}
	return encoded{
		alive, int(b.X * Fine), int(b.Y * Fine), int(b.VX * Coarse), int(b.VY * Coarse), int(b.AX), int(b.AY),
		int(b.Cooldown), int(b.Heavy), int(b.Frozen), int(b.Ghost),
	}
}

func encodeAll(bodies *[Places]Body) (all [Places]encoded) {
	for i := range bodies {
		all[i] = encode(&bodies[i])
	}
	return all
}

// play makes the script: discs in all states that crowd in the middle, fall apart, and dash into
// each other.
func play() *script {
	r := rand.New(rand.NewPCG(5, 6))
	bodies := [Places]Body{
		at(0, 0), at(-100, 20), at(90, -140).heavy(), {Alive: true, X: 200, Y: 50, Frozen: 30},
		{Alive: true, X: -50, Y: 190, Ghost: 20}, at(-210, -70).moving(400, 100), {}, at(10.5, 160.25).moving(-3.0625, -800),
	}
	s := &script{Begin: encodeAll(&bodies), States: make(map[int][Places]encoded)}
	var inputs [Places]Input
	for tick := 1; tick <= 320; tick++ {
		var row [Places][3]int
		for i := range inputs {
			in, dash := &inputs[i], 0
			if r.IntN(5) == 0 {
				away := float64(1 - 2*(tick/40%2)) // for two seconds to the middle, for two away from it
				in.AX = int8(max(-127, min(127, away*bodies[i].X+60*r.NormFloat64())))
				in.AY = int8(max(-127, min(127, away*bodies[i].Y+60*r.NormFloat64())))
			}
			if in.Dash = r.IntN(12) == 0; in.Dash {
				dash = 1
			}
			row[i] = [3]int{int(in.AX), int(in.AY), dash}
		}
		s.Inputs = append(s.Inputs, row)
		Move(&bodies, &inputs, nil)
		if tick%10 == 0 {
			s.States[tick] = encodeAll(&bodies)
		}
	}
	return s
}

// write makes a file of which a person can read a tick.
func (s *script) write() []byte {
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	line := func(v any) string { j, _ := json.Marshal(v); return string(j) }
	fmt.Fprintf(w, "{\n\"begin\": %s,\n\"inputs\": [", line(s.Begin))
	for i, row := range s.Inputs {
		fmt.Fprintf(w, "%s\n%s", map[bool]string{true: ","}[i > 0], line(row))
	}
	fmt.Fprint(w, "\n],\n\"states\": {")
	for tick := 10; tick <= len(s.Inputs); tick += 10 {
		fmt.Fprintf(w, "%s\n\"%d\": %s", map[bool]string{true: ","}[tick > 10], tick, line(s.States[tick]))
	}
	fmt.Fprint(w, "\n}\n}\n")
	w.Flush()
	return b.Bytes()
}

// The page predicts with the same numbers: its test (arena-physics.test.js) plays the same file. A
// change of the physics here is a change there: go test ./examples/arena/sim -update.
func TestTheScriptOfThePage(t *testing.T) {
	const file = "testdata/physics.json"
	got := play().write()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		a, b := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
		for i := range min(len(a), len(b)) {
			if !bytes.Equal(a[i], b[i]) {
				t.Fatalf("%s, line %d:\n%s\nwant\n%s", file, i+1, a[i], b[i])
			}
		}
		t.Fatalf("%d lines, want %d", len(a), len(b))
	}
}

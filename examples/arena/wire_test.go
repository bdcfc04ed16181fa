package main

import (
	"bytes"
	"testing"

	"github.com/lonng/nano/examples/arena/sim"
)

func TestParseInput(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		seq  uint16
		in   sim.Input
		ok   bool
	}{
		{"steering and dash", []byte{0x34, 0x12, 127, 0x81, 1}, 0x1234, sim.Input{AX: 127, AY: -127, Dash: true}, true},
		{"nothing", []byte{0, 0, 0, 0, 0}, 0, sim.Input{}, true},
		{"further than a stick goes", []byte{1, 0, 0x80, 0x80, 0}, 1, sim.Input{AX: -127, AY: -127}, true},
		{"buttons that there are not", []byte{1, 0, 0, 0, 0xfe}, 1, sim.Input{}, true},
		{"empty", nil, 0, sim.Input{}, false},
		{"too short", []byte{1, 2, 3, 4}, 0, sim.Input{}, false},
		{"too long", []byte{1, 2, 3, 4, 5, 6}, 0, sim.Input{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			seq, in, err := parseInput(c.data)
			if (err == nil) != c.ok || seq != c.seq || in != c.in {
				t.Errorf("%d %+v %v, want %d %+v", seq, in, err, c.seq, c.in)
			}
		})
	}
}

// What strangers send must not do more than one input can: whatever it is, it is one, or refused.
func FuzzParseInput(f *testing.F) {
	for _, seed := range [][]byte{nil, {1}, {0x34, 0x12, 127, 0x81, 1}, {0xff, 0xff, 0x80, 0x80, 0xff}, bytes.Repeat([]byte{7}, 100)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		seq, in, err := parseInput(data)
		if (err == nil) != (len(data) == inputSize) {
			t.Fatalf("%x: %v", data, err)
		}
		if err != nil {
			return
		}
		if in.AX < -127 || in.AY < -127 {
			t.Fatalf("%x is %+v", data, in)
		}
		if again, same, err := parseInput(appendInput(nil, seq, in)); err != nil || again != seq || same != in {
			t.Fatalf("%x: %d %+v became %d %+v, %v", data, seq, in, again, same, err)
		}
	})
}

// A snapshot is the world, to the last digit: what a page predicts begins there.
func TestSnapshotRoundTrip(t *testing.T) {
	w := sim.New(7)
	var bots [sim.Places]*sim.Bot
	for who := range bots {
		if who != 3 {
			w.Enter(who)
			bots[who] = sim.NewBot(uint64(who))
		}
	}
	acks := [sim.Places]ack{0: {true, 65535}, 5: {true, 7}}
	states, pickups := make(map[string]int), 0
	for range 2000 {
		var inputs [sim.Places]sim.Input
		for who, bot := range bots {
			if bot != nil {
				inputs[who] = bot.Steer(w, who)
			}
		}
		w.Step(&inputs)
		s, err := parseSnapshot(appendSnapshot(nil, w, &acks))
		if err != nil {
			t.Fatal(err)
		}
		if s.Tick != w.Tick || s.Phase != w.Phase || s.Left != w.Left || s.Rim != w.Rim || len(s.Discs) != sim.Places-1 {
			t.Fatalf("%+v is not %+v", s, w)
		}
		for _, d := range s.Discs {
			if d.Body != w.Bodies[d.Place] || d.Ack != acks[d.Place] || !d.Alive && d.Back != w.Players[d.Place].Back {
				t.Fatalf("place %d: %+v is not %+v", d.Place, d, w.Bodies[d.Place])
			}
			for state, is := range map[string]bool{"out": !d.Alive, "heavy": d.Heavy > 0, "frozen": d.Frozen > 0, "ghost": d.Ghost > 0, "for good": !d.Alive && d.Back == sim.Never} {
				if is {
					states[state]++
				}
			}
		}
		for _, p := range s.Pickups {
			pickups++
			if p != w.Pickups[0] && p != w.Pickups[1] {
				t.Fatalf("%+v is not one of %+v", p, w.Pickups)
			}
		}
	}
	if len(states) != 5 || pickups == 0 {
		t.Errorf("not everything has come up: %v, %d pick-ups", states, pickups)
	}
}

// BenchmarkRoom is a whole tick of a room with eight discs: inputs, bots, the world, and the
// snapshot. What the network adds is not in it.
func BenchmarkRoom(b *testing.B) {
	for _, c := range []struct {
		name   string
		people int
	}{{"people=8", 8}, {"people=1,bots=7", 1}} {
		b.Run(c.name, func(b *testing.B) {
			r := newRoom("garden", "here", nil, sim.Places, 42, func() {})
			var all []*person
			for range c.people {
				p := newPerson()
				if _, err := r.enter(p.s, "p", ""); err != nil {
					b.Fatal(err)
				}
				_ = r.group.Leave(p.s) // mocks would keep all that they are sent
				all = append(all, p)
			}
			bytes, n := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				for i, p := range all {
					p.seq++
					at := &r.world.Bodies[r.placeOf(p.s)]
					r.seats[r.placeOf(p.s)].inputs.put(p.seq, sim.Input{AX: int8(-at.X / 8), AY: int8(-at.Y / 8), Dash: n%40 == i})
				}
				r.tick()
				bytes += len(r.snapshot())
				n++
			}
			b.ReportMetric(float64(bytes)/float64(n), "B/snapshot")
		})
	}
}

package gate

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/internal/wsframe"
	"github.com/lonng/nano/session"
)

// classes are the routes of these tests: "all" is of the default class.
func classes(c *Config) {
	c.Deliveries = map[string]session.Delivery{
		"latest": {Class: session.DeliverLatest, Key: func(v any) (string, bool) {
			b, ok := v.([]byte)
			key, _, _ := strings.Cut(string(b), "=")
			return key, ok
		}},
		"busy": {Class: session.DeliverUnlessBusy},
	}
}

// stall has the connection keep what is queued: as if the kernel took no more, or nobody had come
// to it yet.
func stall(c *Conn, busy bool) {
	c.listed, c.first = true, true
	c.writing, c.stuck = busy, busy
}

// takeOutput takes what waits for a connection and returns its messages, "route payload" each.
func takeOutput(t *testing.T, c *Conn) (all []string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.queuedLocked() {
		return nil
	}
	size := c.waitingLocked()
	o := c.takeLocked()
	c.inFlight = weight{}
	c.ready(o)
	defer o.release()
	b := written(o, 1<<20)
	if !c.merges && len(b) != size {
		t.Errorf("%d bytes come out of a queue of %d", len(b), size)
	}
	if c.websocket {
		var p wsframe.Parser
		p.InitClient(0)
		var packets []byte
		for {
			ev, rest, err := p.Next(b)
			if err != nil {
				t.Fatal(err)
			}
			if ev.Kind == wsframe.None {
				break
			}
			if ev.Kind == wsframe.Data {
				packets = append(packets, ev.Payload...)
			}
			b = rest
		}
		b = packets
	}
	d := codec.NewDecoder(0)
	d.Feed(b)
	for {
		p, ok, err := d.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return all
		}
		switch p.Type {
		case codec.Kick:
			all = append(all, "kick")
		case codec.Data:
			m, err := nanotest.Decode(p.Body, nil)
			if err != nil {
				t.Fatal(err)
			}
			if m.Type == codec.Response {
				m.Route = fmt.Sprint("response ", m.ID)
			}
			all = append(all, m.Route+" "+string(m.Data))
		}
	}
}

// What waits is, in order, what was pushed without what its class has left out: whatever came by a
// broadcast and whatever by a push, however the connection writes it. The model is the sentence of
// nano.WithDelivery.
func TestDeliveryAgainstModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, classes)
		rnd := rand.New(rand.NewPCG(5, 6))
		for round := range 600 {
			c, s := hold(w, round%3 > 0, round%3 == 2)
			other, s2 := hold(w, round%3 > 0, round%3 == 2) // gets the broadcasts only
			busy := rnd.IntN(2) == 0
			stall(c, busy)
			stall(other, busy)
			type item struct{ route, key, text string }
			var model []item
			push := func(model []item, route, data string) []item {
				key, _, _ := strings.Cut(data, "=")
				if route == "latest" {
					model = slices.DeleteFunc(model, func(x item) bool { return x.route == route && x.key == key })
				}
				return append(model, item{route, key, route + " " + data})
			}
			var others []item
			for i := range rnd.IntN(40) {
				data := fmt.Sprintf("%d=%d%s", rnd.IntN(4), i, strings.Repeat(".", rnd.IntN([]int{3, 200, 6000}[rnd.IntN(3)])))
				route := []string{"all", "latest", "busy"}[rnd.IntN(3)]
				skip := route == "busy" && busy
				var err error
				switch rnd.IntN(5) {
				case 0, 1, 2:
					err = w.Multicast(route, []byte(data), []*session.Session{s, s2})
					if !skip {
						others = push(others, route, data)
					}
				case 3:
					err = s.Push(route, []byte(data))
				default:
					route, skip = "response", false
					err = c.ResponseMid(7, []byte(data))
				}
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case skip:
				case route == "response":
					at := len(model)
					for busy && at > 0 && (model[at-1].route == "latest" || model[at-1].route == "busy") {
						at--
					}
					model = slices.Insert(model, at, item{route, "", "response 7 " + data})
				default:
					model = push(model, route, data)
				}
			}
			for who, x := range map[*Conn][]item{c: model, other: others} {
				var want []string
				for _, i := range x {
					want = append(want, i.text)
				}
				if got := takeOutput(t, who); !slices.Equal(got, want) {
					t.Fatalf("round %d, busy %v:\n got %.200q\nwant %.200q", round, busy, got, want)
				}
			}
		}
		if c := &w.counters; c.Skipped.Load() == 0 || c.Replaced.Load() == 0 {
			t.Errorf("left out: %d skipped, %d replaced", c.Skipped.Load(), c.Replaced.Load())
		}
	})
}

// Members who get the same positions share them, also after some were replaced.
func TestLatestIsSharedByMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, classes)
		var cs []*Conn
		var to []*session.Session
		for range 50 {
			c, s := hold(w, false, false)
			stall(c, false)
			cs, to = append(cs, c), append(to, s)
		}
		for _, m := range []string{"all x", "latest a=1", "latest b=1", "latest a=2", "all y", "latest a=3"} {
			route, data, _ := strings.Cut(m, " ")
			if err := w.Multicast(route, []byte(data), to); err != nil {
				t.Fatal(err)
			}
		}
		shared := cs[0].chain
		for _, c := range cs {
			if c.chain != shared {
				t.Fatal("a member has a queue of its own")
			}
			if got := fmt.Sprint(takeOutput(t, c)); got != "[all x latest b=1 all y latest a=3]" {
				t.Fatalf("waiting: %s", got)
			}
		}
		if got := w.counters.Replaced.Load(); got != 2*50 {
			t.Errorf("%d counted as replaced, want 100", got)
		}
	})
}

// A client that stands still while positions go on costs what the newest of each key cost, for as
// long as it stands.
func TestLatestIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, classes)
		c, s := hold(w, false, false)
		stall(c, true)
		if err := s.Push("all", []byte("x")); err != nil {
			t.Fatal(err)
		}
		for i := range 20_000 {
			if err := s.Push("latest", fmt.Appendf(nil, "%d=%d", i%100, i)); err != nil {
				t.Fatal(err)
			}
		}
		c.mu.Lock()
		all, own := len(c.out.loose.all), len(c.out.own)
		c.mu.Unlock()
		if all > 300 || own > 100 {
			t.Errorf("the queue holds %d messages and %d bytes of its own", all, own)
		}
		if got := takeOutput(t, c); len(got) != 101 || got[100] != "latest 99=19999" {
			t.Errorf("%d messages wait, the last is %q", len(got), got[len(got)-1])
		}
	})
}

// A full queue makes room by what may be dropped, and has room for answers when it has none for
// pushes.
func TestFullQueueMakesRoom(t *testing.T) {
	for _, drop := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, classes, func(c *Config) { c.SendQueue, c.DropSlow = 8000, drop })
			c, s := hold(w, false, false)
			stall(c, false)
			kilo := bytes.Repeat([]byte("x"), 1000)
			for range 3 {
				if err := s.Push("busy", kilo); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 7 {
				if err := s.Push("all", kilo); err != nil {
					t.Fatalf("push %d: %v", i, err)
				}
			}
			if err := s.Push("busy", kilo); err != nil {
				t.Errorf("a message that may be dropped is an error: %v", err)
			}
			if err := c.ResponseMid(1, kilo[:900]); err != nil {
				t.Errorf("an answer finds no room: %v", err)
			}
			err := s.Push("all", kilo)
			if got := fmt.Sprint(err); !strings.Contains(got, "queue is full") {
				t.Errorf("a push into the full queue: %v", err)
			}
			if got := w.counters.Skipped.Load(); got != 4 {
				t.Errorf("%d are counted as left out, want 4", got)
			}
			got := takeOutput(t, c)
			want := 8
			if !drop { // it was kicked
				want = 9
			}
			if len(got) != want || strings.Contains(strings.Join(got, " "), "busy") || !strings.HasPrefix(got[7], "response 1") {
				t.Errorf("%d messages wait, want %d: %.12q", len(got), want, got)
			}
		})
	}
}

// A kick does not wait behind positions that the client does not read; what has to arrive does,
// before it.
func TestKickDropsWhatMayBeDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, classes)
		for _, busy := range []bool{false, true} {
			c, s := hold(w, false, false)
			stall(c, busy)
			for _, m := range []string{"all 1", "latest a=1", "all 2"} {
				route, data, _ := strings.Cut(m, " ")
				if err := s.Push(route, []byte(data)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Kick("over"); err != nil {
				t.Fatal(err)
			}
			want := "[all 1 latest a=1 all 2 kick]"
			if busy {
				want = "[all 1 all 2 kick]"
			}
			if got := fmt.Sprint(takeOutput(t, c)); got != want {
				t.Errorf("busy %v: %s waits, want %s", busy, got, want)
			}
		}
	})
}

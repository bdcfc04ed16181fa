package main

import (
	"time"

	"github.com/lonng/nano/examples/arena/sim"
	"github.com/lonng/nano/examples/rules"
	"github.com/lonng/nano/session"
)

// seat is one place of a room: who has it, and what it wants of its disc.
type seat struct {
	name    string
	bot     *sim.Bot         // plays the disc; nil if a person does
	session *session.Session // of a person; nil of a bot, and when the session has closed
	token   string           // of a person, who comes back with it
	away    int              // ticks since the session has closed
	rounds  int              // that have begun with it

	inputs  inbox
	may     rules.Bucket
	refused int
}

func (s *seat) person() bool { return s.token != "" }

// easy tells whether bots are kind to who has the place.
func (s *seat) easy() bool { return s.person() && s.rounds <= kindRounds }

// input returns what the disc at place me does in this tick.
func (s *seat) input(w *sim.World, me int) sim.Input {
	if s.bot != nil {
		return s.bot.Steer(w, me)
	}
	return s.inputs.take()
}

// allow tells whether the client may send one message more, and that it is to be taken out if it
// sends and sends.
func (s *seat) allow(now time.Time) (ok, flood bool) {
	if s.may.Take(now, playBurst, playEvery) {
		return true, false
	}
	s.refused++
	return false, s.refused > maxRefused
}

// inbox is the inputs of a person that have come and are not played yet.
//
// The page makes one input for each of its ticks and the room plays one in each of its own: so the
// page can calculate what the room will make of them. Their clocks are not in step, and the network
// is not even, so some inputs wait a little. When none is there the last one goes on; when too many
// are there some are skipped, as old ones would make a disc sluggish for good. Both cost the page a
// small correction.
//
// It is also why a client that sends more plays no faster: there is one input a tick, and four that
// wait.
type inbox struct {
	waiting [maxWaiting]numbered
	n       int

	begun  bool
	newest uint16    // the number of the last one that came
	played uint16    // and of the last one that was played
	last   sim.Input // which it was
	silent int       // ticks since the last one came
}

type numbered struct {
	seq uint16
	in  sim.Input
}

const (
	maxWaiting = 4            // 200 ms
	enough     = 2            // may wait after a tick
	silentFor  = sim.Rate / 2 // without inputs, nobody holds the stick any more
)

// put takes an input that has come. Numbers only go up: what does not fit into that is an old one,
// or a lie.
func (q *inbox) put(seq uint16, in sim.Input) {
	if q.begun && !newer(seq, q.newest) {
		return
	}
	if !q.begun {
		q.begun, q.played = true, seq-1
	}
	q.newest, q.silent = seq, 0
	if q.n == maxWaiting {
		q.skip()
	}
	q.waiting[q.n] = numbered{seq, in}
	q.n++
}

// skip leaves out the oldest that waits; only a dash is not lost, and goes with the next one.
func (q *inbox) skip() {
	dash := q.waiting[0].in.Dash
	q.played = q.waiting[0].seq
	copy(q.waiting[:], q.waiting[1:q.n])
	q.n--
	if q.n > 0 {
		q.waiting[0].in.Dash = q.waiting[0].in.Dash || dash
	}
}

// take returns the input of a tick.
func (q *inbox) take() sim.Input {
	q.silent++
	for q.n > enough+1 {
		q.skip()
	}
	if q.n == 0 {
		q.last.Dash = false
		if q.silent > silentFor {
			q.last = sim.Input{}
		}
		return q.last
	}
	q.last, q.played = q.waiting[0].in, q.waiting[0].seq
	copy(q.waiting[:], q.waiting[1:q.n])
	q.n--
	return q.last
}

package main

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/examples/arena/sim"
	"github.com/lonng/nano/examples/rules"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

const (
	tick      = time.Second / sim.Rate
	awayTicks = 10 * sim.Rate // for so long a place is kept for who has lost the connection
)

// room is one game. All of it belongs to the room's own scheduler: the handlers of its people
// (play.go), its timer, and the tasks by which the hall lets people in and out. They take turns, so
// nothing here has a lock; and rooms run beside each other, on as many processors as there are, so
// none waits for another.
type room struct {
	title   string
	backend string
	sched   *scheduler.Scheduler
	fill    int    // places that bots take while people do not
	desert  func() // tells the hall that nobody is here

	group *nano.Group
	world *sim.World
	seats [sim.Places]*seat
	bots  uint64 // how many there have been
	seed  uint64
	empty int  // ticks without people
	late  bool // the players have changed since they were told
	ended bool
}

// newRoom makes a room on a scheduler. It runs from start on.
func newRoom(title, backend string, sched *scheduler.Scheduler, fill int, seed uint64, desert func()) *room {
	r := &room{
		title: title, backend: backend, sched: sched, fill: min(fill, sim.Places), desert: desert,
		group: nano.NewGroup(title), world: sim.New(seed), seed: seed,
	}
	r.populate()
	return r
}

// start has the room's time pass. A tick that comes late is not made up for (see
// scheduler.NewTimer): the game is slower then for everybody alike.
func (r *room) start() {
	r.sched.NewTimer(tick, r.tick)
	r.sched.Start()
}

// end is the last thing that happens in a room. Close stops the timer, too, and does not wait: the
// scheduler ends when it has run what is queued.
func (r *room) end() {
	if r.ended {
		return
	}
	r.ended = true
	_ = r.group.Close()
	r.sched.Close()
}

// tick is a twentieth of a second: everybody's input, the world, and what everybody is told of it.
func (r *room) tick() {
	r.giveUp()
	var inputs [sim.Places]sim.Input
	for who, s := range r.seats {
		if s != nil {
			inputs[who] = s.input(r.world, who)
		}
	}
	events := r.world.Step(&inputs)
	r.tell(pushState, r.snapshot())
	for _, e := range events {
		r.report(e)
	}
	if r.late {
		r.tellPlayers()
	}
	if r.people() > 0 {
		r.empty = 0
	} else if r.empty++; r.empty%sim.Rate == 1 {
		r.desert()
	}
}

// snapshot is the world as everybody is sent it. The bytes are new ones each time: a push may still
// be on its way.
func (r *room) snapshot() []byte {
	var acks [sim.Places]ack
	for who, s := range r.seats {
		if s != nil && s.person() {
			acks[who] = ack{true, s.inputs.played}
		}
	}
	return appendSnapshot(make([]byte, 0, 192), r.world, &acks)
}

// report tells what is rare enough to be told in words.
func (r *room) report(e sim.Event) {
	switch e.Kind {
	case sim.Began:
		r.late = true // points begin anew
		for who, s := range r.seats {
			if s != nil {
				s.rounds++
				r.world.Players[who].Novice = s.easy()
			}
		}
		r.tell(pushRound, &Round{N: r.world.Round, Winner: sim.Nobody})
	case sim.Out:
		r.late = r.late || e.By != sim.Nobody
		r.tell(pushOut, &Fall{Who: e.Who, By: e.By})
	case sim.Took:
		r.tell(pushTook, &Taken{Who: e.Who, What: e.What})
	case sim.Ended:
		r.late = true
		r.tellPlayers() // before the round is over, so that its table is the last word
		r.tell(pushRound, &Round{N: r.world.Round, Over: true, Winner: e.Who})
	}
}

// tell pushes to everybody in the room, at once: one frame for all who are at one gate. Somebody
// who is just leaving is the usual reason why one cannot be reached.
func (r *room) tell(route string, v any) {
	if err := r.group.Broadcast(route, v); err != nil {
		slog.Debug("broadcast", "room", r.title, "route", route, "err", err)
	}
}

func (r *room) tellPlayers() {
	r.late = false
	all := Players{Players: make([]Player, 0, sim.Places)}
	for who, s := range r.seats {
		if s == nil {
			continue
		}
		p := Player{ID: who, Name: s.name, Bot: !s.person(), Away: s.person() && s.bot != nil, Easy: s.easy()}
		if s.session != nil {
			p.Gate = s.session.String(keyGate)
		}
		p.Points, p.Wins = r.world.Players[who].Points, r.world.Players[who].Wins
		all.Players = append(all.Players, p)
	}
	r.tell(pushPlayers, &all)
}

// ---- who comes and goes

// enter gives a session a place: the one that its token has been kept for, or a new one.
func (r *room) enter(s *session.Session, name, token string) (*JoinReply, error) {
	who, back := r.placeOf(s), false
	if who < 0 {
		who, back = r.kept(token), true
	}
	if who >= 0 {
		if err := r.resume(who, s); err != nil {
			return nil, err
		}
	} else {
		back = false
		if who = r.free(); who < 0 {
			return nil, nano.Errorf(codeFull, "%s is full: it has %d places", r.title, sim.Places)
		}
		if err := r.group.Add(s); err != nil {
			return nil, err
		}
		r.seats[who] = &seat{name: r.unlike(name), session: s, token: rand.Text()}
		r.world.Enter(who)
		r.world.Players[who].Novice = true
		r.populate()
	}
	r.late = true
	me := r.seats[who]
	return &JoinReply{
		Room: r.title, Gate: s.String(keyGate), Backend: r.backend, You: who, Name: me.name, Token: me.token, Back: back,
		Round: r.world.Length / sim.Rate,
	}, nil
}

// resume gives a place to a new session of who has it. The disc is where the bot has taken it
// meanwhile.
func (r *room) resume(who int, s *session.Session) error {
	me := r.seats[who]
	me.inputs = inbox{} // a page that joins begins to count anew
	if me.session == s {
		return nil
	}
	if err := r.group.Add(s); err != nil {
		return err
	}
	if me.session != nil { // another page has the token: two cannot steer one disc
		_ = r.group.Leave(me.session)
		_ = me.session.Push(pushTaken, &Empty{})
	}
	me.session, me.bot, me.away = s, nil, 0
	return nil
}

// leave takes a session out that wants to go.
func (r *room) leave(s *session.Session) {
	who := r.placeOf(s)
	if who < 0 {
		return
	}
	_ = r.group.Leave(s)
	r.clear(who)
	r.populate()
}

// lost keeps the place of who has lost the connection, and lets a bot play there meanwhile.
func (r *room) lost(s *session.Session) {
	if who := r.placeOf(s); who >= 0 {
		r.seats[who].session, r.seats[who].bot = nil, r.newBot()
		r.late = true
	}
}

// away lets a bot play for who has no connection now, while the session waits for one.
func (r *room) away(s *session.Session) {
	if who := r.placeOf(s); who >= 0 && r.seats[who].bot == nil {
		r.seats[who].bot = r.newBot()
		r.late = true
	}
}

// back is told when the session goes on. The disc is where the bot has taken it.
func (r *room) back(s *session.Session) {
	if who := r.placeOf(s); who >= 0 {
		r.seats[who].bot = nil
		r.late = true
	}
}

// giveUp frees the places that were kept for long enough.
func (r *room) giveUp() {
	for who, s := range r.seats {
		if s == nil || !s.person() || s.session != nil {
			continue
		}
		if s.away++; s.away > awayTicks {
			r.clear(who)
			r.populate()
		}
	}
}

func (r *room) clear(who int) {
	r.seats[who] = nil
	r.world.Leave(who)
	r.late = true
}

// populate has bots come until enough discs are there, and go while there are more.
func (r *room) populate() {
	for r.taken() < r.fill {
		who := r.free()
		b := r.newBot()
		r.seats[who] = &seat{name: r.unlike(botNames[(r.bots+r.seed)%uint64(len(botNames))]), bot: b}
		r.world.Enter(who)
		r.late = true
	}
	for r.taken() > max(r.fill, r.people()) {
		r.clear(r.dispensable())
	}
}

func (r *room) newBot() *sim.Bot {
	r.bots++
	return sim.NewBot(r.seed + r.bots)
}

// free returns a place for somebody new: one that nobody has, or a bot's.
func (r *room) free() int {
	for who, s := range r.seats {
		if s == nil {
			return who
		}
	}
	who := r.dispensable()
	if who >= 0 {
		r.clear(who)
	}
	return who
}

// dispensable returns the bot whose going is noticed least: one that is out, or else the one with
// the fewest points; -1 if there are no bots.
func (r *room) dispensable() int {
	best, least := -1, 0
	for who, s := range r.seats {
		if s == nil || s.person() {
			continue
		}
		worth := r.world.Players[who].Points
		if !r.world.Bodies[who].Alive {
			worth -= 100
		}
		if best < 0 || worth < least {
			best, least = who, worth
		}
	}
	return best
}

// placeOf returns the place of a session, -1 if it has none.
func (r *room) placeOf(s *session.Session) int {
	for who, seat := range r.seats {
		if seat != nil && seat.session == s {
			return who
		}
	}
	return -1
}

// kept returns the place that a token is for, -1 if there is none.
func (r *room) kept(token string) int {
	for who, seat := range r.seats {
		if seat != nil && seat.person() && seat.token == token {
			return who
		}
	}
	return -1
}

func (r *room) taken() (n int) {
	for _, s := range r.seats {
		if s != nil {
			n++
		}
	}
	return n
}

// people counts the places of people, also of those who are away.
func (r *room) people() (n int) {
	for _, s := range r.seats {
		if s != nil && s.person() {
			n++
		}
	}
	return n
}

// unlike returns the name, or the name with a number, so that no two in the room have the same.
func (r *room) unlike(name string) string {
	try := name
	for n := 2; ; n++ {
		found := false
		for _, s := range r.seats {
			found = found || s != nil && rules.Fold(s.name) == rules.Fold(try)
		}
		if !found {
			return try
		}
		try = fmt.Sprintf("%s %d", name, n)
	}
}

// botNames are what bots are called.
var botNames = [...]string{"Pebble", "Bumble", "Rook", "Maple", "Comet", "Tofu", "Moss", "Wobble", "Pogo", "Juno", "Biscuit", "Zephyr"}

package resume

import (
	"errors"
	"slices"
	"time"

	"github.com/lonng/nano/codec"
)

// A client may come back to any gate of its cluster. What stands here decides how its session gets
// there: [Search] is the part of the gate that it comes to, [Handover] and [Moves] are that of the
// gate that has the session. Who uses them carries out what they say and tells them what came of
// it.

// Place is one run of a node.
type Place struct {
	Addr  string
	Epoch uint64
}

// Before orders places: of two gates that look for one session, the first in order goes on.
func (p Place) Before(q Place) bool {
	return p.Addr < q.Addr || p.Addr == q.Addr && p.Epoch < q.Epoch
}

// State is a session without a connection, on its way from one gate to another.
type State struct {
	Key      Key
	Proven   uint32 // see [Session]
	Issued   uint32
	Received uint64   // data packets of the client
	Base     uint64   // number of the last packet that is not kept
	Packets  [][]byte // those behind it, one or more whole packets each
}

// State returns what another gate needs to go on with the session. Its packets do not change any
// more.
func (s *Session) State() State {
	st := State{Key: s.key, Proven: s.proven, Issued: s.issued, Received: s.Received(), Base: s.Out.Base()}
	for p := range s.Out.All() {
		st.Packets = append(st.Packets, p)
	}
	return st
}

// errState is the error of a session that another gate has sent malformed.
var errState = errors.New("resume: the state of a session is malformed")

// Restore makes s the session that another gate has given away. It has no connection, and waits
// until a time.
func (s *Session) Restore(st State, until time.Time) error {
	s.key, s.proven, s.issued = st.Key, st.Proven, st.Issued
	s.received.Store(st.Received)
	s.Out = Outbox{sent: st.Base}
	for _, packets := range st.Packets {
		for len(packets) > 0 {
			if len(packets) < codec.HeadLength || len(packets) < Length(packets) {
				return errState
			}
			n := Length(packets)
			s.Out.Copy(packets[:n])
			packets = packets[n:]
		}
	}
	s.away = nil
	s.Suspend(until)
	return nil
}

// lostTurns is how many connections a session may have had since a token that is good.
const lostTurns = 1 << 16

// Lost returns the state of a session whose gate is gone with all that it kept. The token is one of
// the session's, and its client may have a later one, also of a gate that has lost the session
// since: so turns go on from the time in seconds. Both sides count from 0 again.
func Lost(t Token, now time.Time) State {
	return State{Key: t.Key, Proven: t.Turn, Issued: max(t.Turn+lostTurns, uint32(now.Unix()))}
}

// Loss says which clients of a session have to hear that messages were lost on its way here. The
// zero value is a session that is whole.
type Loss struct {
	Turn uint32 // clients with a token up to this turn were not told
	Anew bool   // and count from 0, as the gate does
}

// Concerns reports whether a client with a token has to hear of it.
func (l Loss) Concerns(t Token) bool { return t.Turn <= l.Turn }

// Tell has a client with a token hear of one more loss of a session, with all that have come before
// it, unless it hears of one anyway.
func (l *Loss) Tell(t Token, s State) {
	if !l.Concerns(t) {
		*l = Loss{Turn: s.Issued}
	}
}

// Handover is the owner's part of giving a session away. The owner serves its client no more, and
// tells all who know the session where it goes. When each of them has said that it knows, nothing
// more comes for the session, and the owner sends its state.
type Handover struct {
	waits map[Place]struct{}
	late  []Place
}

// NewHandover begins with the nodes that were told.
func NewHandover(nodes []Place) *Handover {
	h := &Handover{waits: make(map[Place]struct{}, len(nodes))}
	for _, n := range nodes {
		h.waits[n] = struct{}{}
	}
	return h
}

// Told notes that a node knows where the session goes, or with ok unset that it is not to be
// waited for, because it is gone.
func (h *Handover) Told(n Place, ok bool) {
	if _, waits := h.waits[n]; !waits {
		return
	}
	delete(h.waits, n)
	if !ok {
		h.late = append(h.late, n)
	}
}

// Expire says that the time is over.
func (h *Handover) Expire() {
	for n := range h.waits {
		h.Told(n, false)
	}
}

// Ready reports whether the session can go.
func (h *Handover) Ready() bool { return len(h.waits) == 0 }

// Late returns the nodes that did not say that they know: what comes of them is lost.
func (h *Handover) Late() []Place { return h.late }

// maxMoves is how many sessions that have gone elsewhere are remembered.
const maxMoves = 1 << 17

// Moves remembers where sessions have gone, for a time: so long a client may come back with a token
// that names this gate, and other nodes may send what is for the session. The zero value is empty.
// Its owner guards it.
type Moves struct {
	to    map[int64]move
	order []moved // the oldest first
}

type move struct {
	to    Place
	until time.Time
}

type moved struct {
	session int64
	until   time.Time
}

// Add notes that a session has gone.
func (m *Moves) Add(session int64, to Place, now, until time.Time) {
	if m.to == nil {
		m.to = make(map[int64]move)
	}
	drop := 0
	for drop < len(m.order) && (!now.Before(m.order[drop].until) || len(m.order)-drop >= maxMoves) {
		// An entry that was made again since has another time.
		if old := m.order[drop]; m.to[old.session].until.Equal(old.until) {
			delete(m.to, old.session)
		}
		drop++
	}
	if m.order = m.order[drop:]; len(m.order) == 0 {
		m.order = nil
	}
	m.to[session] = move{to, until}
	m.order = append(m.order, moved{session, until})
}

// Find returns where a session has gone.
func (m *Moves) Find(session int64, now time.Time) (Place, bool) {
	mv, ok := m.to[session]
	if !ok || !now.Before(mv.until) {
		return Place{}, false
	}
	return mv.to, true
}

// Forget drops what is known of a session, which has come back.
func (m *Moves) Forget(session int64) { delete(m.to, session) }

// Bounds of a search.
const (
	maxHops     = 8                      // gates that one search asks
	searchEvery = 250 * time.Millisecond // between questions to those who believe that the owner lives
)

// Search is the claimer's part: it finds a session that a client comes back for. It asks the gate
// that the token names, goes on to where that has given the session away, and when the owner is
// gone asks the nodes that know the session. The client's handshake waits meanwhile. A machine that
// has lost its power may be taken for alive for longer than that: then the client is to come again.
//
// A search has no clock of its own for an answer: the owner is silent when the link to it says so.
type Search struct {
	self  Place
	until time.Time
	owner Place   // who is asked, or is gone
	giver Place   // who has given the session to this gate already; zero: nobody
	free  bool    // the owner lives, and does not have the session
	taker bool    // nodes say that the owner has taken the session from a gate that is gone
	split bool    // and others that this gate has
	gone  []Place // owners that were silent
	hops  int
	busy  int // times that the owner has looked for it, too
}

// StepKind is what a search wants done next.
type StepKind byte

// The kinds of steps.
const (
	Ask   StepKind = iota // ask Step.At for the session, after Step.Wait, and tell [Search.Asked]
	Look                  // ask all nodes who knows the session of Step.At, or of one of [Search.Gone], and tell [Search.Looked]
	Adopt                 // have these nodes take it for one of this gate's, and tell [Search.Adopted]
	Here                  // this gate has the session now; if it does not, tell [Search.Missing]
	Stop                  // there is none: Step.Why says why
)

// Step is what a search wants done next.
type Step struct {
	Kind StepKind
	At   Place
	Free bool // of Look and Adopt: the gate at At lives, and does not have the session
	Wait time.Duration
	Why  Reason
}

// NewSearch begins a search by the gate self for the session of a token. Its client waits until a
// time.
func NewSearch(self Place, t Token, until time.Time) (*Search, Step) {
	s := &Search{self: self, until: until}
	return s, s.ask(Place{t.Gate, t.Epoch})
}

// Wait says that a client waits until a time, too.
func (s *Search) Wait(until time.Time) {
	if until.After(s.until) {
		s.until = until
	}
}

func (s *Search) ask(at Place) Step {
	s.owner = at
	if s.hops++; s.hops > maxHops {
		return Step{Kind: Stop, Why: Unknown}
	}
	switch {
	case at == s.self:
		return Step{Kind: Here}
	case at.Addr == s.self.Addr: // an earlier run of this gate
		return s.look(at, false)
	}
	return Step{Kind: Ask, At: at}
}

func (s *Search) look(at Place, free bool) Step {
	if s.owner, s.free = at, free; !free && !slices.Contains(s.gone, at) {
		s.gone = append(s.gone, at)
	}
	return Step{Kind: Look, At: at, Free: free}
}

// Gone returns the gates that were silent. Each may have died while it gave the session to the
// next, and some nodes have the session at the one and some at the other.
func (s *Search) Gone() []Place { return s.gone }

// again asks the owner once more, as long as a client waits.
func (s *Search) again(now time.Time) Step {
	if now.Add(searchEvery).Before(s.until) {
		return Step{Kind: Ask, At: s.owner, Wait: searchEvery}
	}
	return Step{Kind: Stop, Why: Later}
}

// Claimed is what an owner says to a claim.
type Claimed byte

// What it may say.
const (
	Given   Claimed = iota // the session comes with the answer
	Gone                   // it is at another gate
	No                     // there is none, and why
	Silent                 // nothing: the owner does not answer, or is not there any more
	Nowhere                // the owner does not have it, and does not know where it is; and why
	Busy                   // the owner looks for it, too
)

// Asked takes what the owner said; to is where a session has gone, and why there is none.
func (s *Search) Asked(said Claimed, to Place, why Reason) Step {
	switch said {
	case Given:
		return Step{Kind: Here}
	case Gone:
		switch {
		case to == s.self:
			s.giver = s.owner
		case slices.Contains(s.gone, to): // where it died, and nodes say that the owner has taken it again
			return s.look(s.owner, true)
		}
		return s.ask(to)
	case Nowhere:
		// It has looked for it at the same time, and given up; or it has never got it.
		if s.taker || s.hops > 1 && why == Unknown {
			return s.look(s.owner, true)
		}
		return Step{Kind: Stop, Why: why}
	case Busy:
		if s.busy++; s.busy > maxHops || s.split && s.owner.Before(s.self) {
			return Step{Kind: Stop, Why: Later}
		}
		return Step{Kind: Ask, At: s.owner, Wait: searchEvery}
	case No:
		return Step{Kind: Stop, Why: why}
	}
	return s.look(s.owner, false)
}

// Missing says that this gate does not have the session; ended is what it remembers of its end,
// Unknown if that is nothing. If another gate has given it away to this one, it was lost on its
// way, and the nodes that know it are asked.
func (s *Search) Missing(ended Reason) Step {
	if s.giver == (Place{}) || ended != Unknown {
		return Step{Kind: Stop, Why: ended}
	}
	return s.look(s.giver, true)
}

// Found is what the nodes that may know a session of a dead gate say.
type Found struct {
	Nodes int   // that know it, and after Adopt take it from this gate from now on
	At    Place // not zero: another gate has it by now
	Alive bool  // a node hears the owner, and does not give the session away, or does not answer
}

// Looked takes what the nodes said that were asked who knows the session. Nothing has changed by
// that, and nothing does while one of them may be right that the owner has it.
func (s *Search) Looked(f Found, now time.Time) Step {
	switch {
	case f.At != Place{}:
		s.taker = true
		return s.ask(f.At)
	case f.Alive:
		return s.again(now)
	case f.Nodes > 0:
		return Step{Kind: Adopt, At: s.owner, Free: s.free}
	}
	return Step{Kind: Stop, Why: Unknown}
}

// Adopted takes what the nodes said that were to take the session for one of this gate's. When two
// gates look for the session of a dead one at the same moment, each may get some of the nodes: then
// one of them gives up, and the other takes all.
func (s *Search) Adopted(f Found, now time.Time) Step {
	switch {
	case f.At != Place{}:
		s.taker, s.split = true, s.split || f.Nodes > 0
		return s.ask(f.At)
	case f.Alive:
		return s.again(now)
	case f.Nodes > 0:
		return Step{Kind: Here}
	}
	return Step{Kind: Stop, Why: Unknown}
}

// Taken reports whether the session is this gate's after [Step] Adopt, with what the nodes know of
// it.
func (f Found) Taken() bool { return f.Nodes > 0 && !f.Alive && f.At == Place{} }

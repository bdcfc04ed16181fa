package mesh

import (
	"context"
	"time"

	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/resume"
)

// How a gate takes over the session of another one that is gone: it asks all nodes who knows the
// session, and has those that do take it for one of its own.

// adopting is what a gate says that looks for a session, or takes it over.
type adopting struct {
	From resume.Place   // which is gone
	Free bool           // or lives, and does not have the session
	Look bool           // it only looks
	Also []resume.Place // more gates that are gone, where the session may have been
}

// found is what a node says that may know a session of a dead gate.
type found struct {
	Knows    bool
	Alive    bool         // it hears the gate
	At       resume.Place // not zero: where the session is by now
	UID      int64
	Values   encodedValues // those that the gate had forwarded
	Services []string      // that it serves for the session
}

// told is what one node says.
type told struct {
	of resume.Place
	found
}

// askAll asks all nodes, this one among them, and waits until each has answered or is gone.
func (a *arrivals) askAll(id int64, q adopting) (all []told) {
	ctx, cancel := context.WithTimeout(a.ctx, a.gate.Window())
	defer cancel()
	b, _ := encodeGob(q) // strings and numbers can be encoded
	words := make(chan told)
	asked := 0
	for _, p := range a.peers.all() {
		if p.version < handsOverFrom || p.lost.Load() || !q.Free && placeOf(p) == q.From {
			continue
		}
		asked++
		a.background(func() {
			said := told{of: placeOf(p)}
			if data, err := p.ask(ctx, &link.Frame{Kind: link.Adopt, Session: id, Data: b}); err == nil {
				_ = decodeGob(data, &said.found) // what cannot be read says nothing
			} else {
				said.Alive = !p.lost.Load() // one that answers later may know it
			}
			words <- said
		})
	}
	all = append(all, told{a.place(), a.remotes.adopt(q, a.place(), id)})
	for range asked {
		all = append(all, <-words) // each comes when ctx ends, at the latest
	}
	return all
}

// sum is what all say together.
func (a *arrivals) sum(all []told) (f resume.Found) {
	for _, w := range all {
		f.Alive = f.Alive || w.Alive
		if w.At != (resume.Place{}) && w.At != a.place() {
			f.At = w.At
		}
		if w.Knows {
			f.Nodes++
		}
	}
	return f
}

// rivals returns what this gate says to another that looks for a session which it has itself, or
// looks for: of two, the first in order goes on.
func (a *arrivals) rivals(id int64, other resume.Place) (found, bool) {
	if a.users.Session(id) != nil {
		return found{At: a.place()}, true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return found{Alive: true}, a.all[id] != nil && a.place().Before(other)
}

// look asks all nodes who knows a session whose gate is gone, and changes nothing.
func (a *arrivals) look(step resume.Step, gone []resume.Place, id int64) resume.Found {
	return a.sum(a.askAll(id, adopting{From: step.At, Free: step.Free, Look: true, Also: gone}))
}

// adopt has all nodes that know a session whose gate is gone take it for one of this gate's, and
// makes it one.
func (a *arrivals) adopt(step resume.Step, gone []resume.Place, ar *arrival) resume.Found {
	id := ar.claim.Token.Session
	all := a.askAll(id, adopting{From: step.At, Free: step.Free, Also: gone})
	f := a.sum(all)
	if !f.Taken() {
		return f
	}
	d := departing{Router: make(map[string]string), Values: make(encodedValues)}
	for _, w := range all {
		if !w.Knows {
			continue
		}
		if w.UID != 0 {
			d.UID = w.UID
		}
		for k, b := range w.Values {
			d.Values[k] = b
		}
		if w.of == a.place() {
			continue
		}
		d.Known = append(d.Known, w.of)
		for _, service := range w.Services {
			d.Router[service] = w.of.Addr
		}
	}
	d.State, d.Errors = resume.Lost(ar.claim.Token, time.Now()), ar.claim.Errors
	d.Loss = resume.Loss{Turn: d.State.Issued, Anew: true}
	if err := a.arrive(step.At, ar, d); err != nil {
		a.log.Warn("a session of a gate that is gone was lost", "session", id, "err", err)
		return resume.Found{}
	}
	a.log.Info("session taken over from a gate that is gone", "session", id, "uid", d.UID, "gate", step.At.Addr, "nodes", f.Nodes)
	return f
}

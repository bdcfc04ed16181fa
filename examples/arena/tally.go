package main

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

// announceEvery is how often, at most, the gates are told of changes.
const announceEvery = 250 * time.Millisecond

// Tally is the master's component: the list of all rooms. Backends report theirs by a Notify, gates
// ask by a Call, and are told of changes. Everything runs on the master's scheduler.
type Tally struct {
	component.Base

	announce func(*Overview) // tells all gates
	reports  map[string]*Report
	changed  bool
}

func newTally() *Tally { return &Tally{reports: make(map[string]*Report)} }

// Report takes a backend's report.
func (t *Tally) Report(s *session.Session, r *Report) error {
	if err := onlyNodes(s); err != nil {
		return err
	}
	old := t.reports[r.Addr]
	t.changed = t.changed || old == nil || old.Name != r.Name || old.Round != r.Round || !slices.Equal(old.Rooms, r.Rooms)
	t.reports[r.Addr] = r
	return nil
}

// Overview returns all rooms.
func (t *Tally) Overview(_ context.Context, s *session.Session, _ *Empty) (*Overview, error) {
	if err := onlyNodes(s); err != nil {
		return nil, err
	}
	return t.overview(), nil
}

// left is told by the member list that a node is gone.
func (t *Tally) left(addr string) {
	if _, ok := t.reports[addr]; ok {
		delete(t.reports, addr)
		t.changed = true
	}
}

// look runs every announceEvery.
func (t *Tally) look() {
	if t.changed {
		t.changed = false
		t.announce(t.overview())
	}
}

func (t *Tally) overview() *Overview {
	o := &Overview{Rooms: []Listed{}, Backends: []string{}}
	for _, r := range t.reports {
		o.Rooms = append(o.Rooms, r.Rooms...)
		o.Backends = append(o.Backends, r.Name)
		o.Round = max(o.Round, r.Round)
	}
	slices.Sort(o.Backends)
	slices.SortFunc(o.Rooms, func(a, b Listed) int {
		return cmp.Or(b.People-a.People, cmp.Compare(a.Name, b.Name), cmp.Compare(a.Backend, b.Backend))
	})
	return o
}

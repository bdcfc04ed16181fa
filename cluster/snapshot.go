package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/tally"
	"github.com/lonng/nano/metrics"
	"github.com/lonng/nano/scheduler"
)

// Figures tells what a node does: see App.Snapshot of package nano. The methods may be called from
// any goroutine, and wait for no handler.
type Figures struct{ n *Node }

// FiguresOf returns the figures of a node.
func FiguresOf(n *Node) Figures { return Figures{n} }

// Snapshot returns the figures of this moment. Before the node serves they are zero but for its
// health.
func (f Figures) Snapshot() metrics.Snapshot {
	n := f.n
	s := metrics.Snapshot{At: time.Now(), Health: f.Health()}
	if !n.ready.Load() {
		return s
	}
	set := n.set.Load()
	s.Node, s.Label, s.Started = n.ServiceAddr, set.mesh.Label, n.began
	n.table.Figures(&s)
	s.Schedulers, s.MadeSchedulers = n.schedulers.figures()
	s.Gate = n.gate.Figures()
	s.Gate.Sessions, s.Gate.Users = n.users.Len(), n.users.Users()
	s.Groups = n.groups.Figures()
	s.Cluster = n.mesh.Figures()
	return s
}

// schedulers are those that the node knows.
type schedulers struct {
	main *scheduler.Scheduler
	own  []*scheduler.Scheduler            // of components
	made tally.Living[scheduler.Scheduler] // by NewScheduler
}

// figures returns what they do: all of the node and of components, and the busiest of the others.
func (ss *schedulers) figures() (all []metrics.Scheduler, made metrics.MadeSchedulers) {
	all = append(all, figuresOf(ss.main, metrics.SchedulerOfNode))
	for _, s := range ss.own {
		all = append(all, figuresOf(s, metrics.SchedulerOfComponent))
	}
	busiest := tally.NewTop(metrics.MaxListed, func(a, b *metrics.Scheduler) bool {
		return cmp.Or(cmp.Compare(b.Wait, a.Wait), cmp.Compare(b.Queued, a.Queued), cmp.Compare(b.Busy, a.Busy)) < 0
	})
	for _, s := range ss.made.All() {
		if s.Closed() || s == ss.main || slices.Contains(ss.own, s) {
			continue
		}
		f := figuresOf(s, metrics.SchedulerMade)
		made.Count++
		made.Queued += f.Queued
		made.Wait = max(made.Wait, f.Wait)
		busiest.Add(f)
	}
	return append(all, busiest.All()...), made
}

// stack returns where the call is that runs on the scheduler of a name.
func (ss *schedulers) stack(name string) (stack string, ok bool) {
	for _, s := range slices.Concat([]*scheduler.Scheduler{ss.main}, ss.own, ss.made.All()) {
		st := s.Stats()
		if st.Name != name {
			continue
		}
		ok = true
		if st.Running != "" {
			if stack = s.Stack(); stack != "" {
				return stack, true
			}
		}
	}
	return "", ok
}

func figuresOf(s *scheduler.Scheduler, kind metrics.SchedulerKind) metrics.Scheduler {
	st := s.Stats()
	return metrics.Scheduler{
		Name: st.Name, Kind: kind, Queued: st.Queued, Wait: st.Wait, Timers: st.Timers, Awaiting: st.Awaiting,
		Busy: st.Busy, Executed: st.Executed, Dropped: st.Dropped, Panics: st.Panics, Running: st.Running, Since: st.Since,
	}
}

// componentSchedulers returns the schedulers that components have of their own.
func componentSchedulers(services []*component.Service, but *scheduler.Scheduler) (own []*scheduler.Scheduler) {
	for _, svc := range services {
		s, ok := svc.Scheduler.(*scheduler.Scheduler)
		if ok && s != nil && s != but && !slices.Contains(own, s) {
			own = append(own, s)
		}
	}
	return own
}

// SchedulerStack returns where the call is that runs on the scheduler of that name, one of the
// snapshot's; empty if none runs. ok is false if there is no such scheduler. Of several with one
// name, it is one that runs something. It costs a profile of all goroutines, some milliseconds with
// many of them.
func (f Figures) SchedulerStack(name string) (stack string, ok bool) {
	if !f.n.ready.Load() {
		return "", false
	}
	return f.n.schedulers.stack(name)
}

// phase is how far a node is in its life.
type phase int32

const (
	phaseNew phase = iota
	phaseStarting
	phaseWorking
	phaseEnded
)

const (
	// overloadedAt is how long calls may wait for the node's scheduler before the node is not ready
	// for more clients.
	overloadedAt = 5 * time.Second
	// stuckAt is how long the node's scheduler may be held up before the node is not live.
	stuckAt = time.Minute
)

// Health says whether the node works and whether it should get new clients.
func (f Figures) Health() metrics.Health {
	n := f.n
	h := metrics.Health{Live: true}
	add := func(code metrics.ReasonCode, format string, args ...any) {
		h.Reasons = append(h.Reasons, metrics.Reason{Code: code, Text: fmt.Sprintf(format, args...)})
	}
	switch phase(n.phase.Load()) {
	case phaseNew, phaseStarting:
		add(metrics.ReasonStarting, "The node is starting.")
	case phaseWorking:
		if n.draining.Load() {
			add(metrics.ReasonDraining, "The node takes no new clients: it is drained, or about to end.")
		} else if !n.mesh.Listed() {
			add(metrics.ReasonNoMaster, "The list of the cluster's members does not answer, or does not have this node.")
		}
	case phaseEnded:
		h.Live = false
		add(metrics.ReasonStopped, "The node has ended.")
		return h
	}
	if !n.ready.Load() {
		return h
	}
	full, queues := n.gate.Full()
	if full {
		add(metrics.ReasonOverloaded, "The node has as many connections as it may.")
	}
	if queues {
		add(metrics.ReasonOverloaded, "The clients' queues have as many bytes as they may.")
	}
	st := n.sched.Stats()
	if st.Queued > 0 && st.Wait > overloadedAt {
		add(metrics.ReasonOverloaded, "Calls have waited for their scheduler for %v.", st.Wait.Round(time.Millisecond))
	}
	if st.Running != "" && time.Since(st.Since) > stuckAt {
		h.Live = false
		add(metrics.ReasonStuck, "The node's scheduler is held up by %s for %v.", st.Running, time.Since(st.Since).Round(time.Second))
	}
	h.Ready = len(h.Reasons) == 0
	return h
}

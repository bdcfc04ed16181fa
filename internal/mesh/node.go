package mesh

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/internal/dispatch"
	"github.com/lonng/nano/internal/gate"
	"github.com/lonng/nano/internal/resume"
	"github.com/lonng/nano/internal/users"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// node is this node, as every part of the mesh knows it. New makes it, Attach and Listen complete
// it; after that it does not change.
type node struct {
	cfg   Config
	addr  string // at which other nodes reach this one
	epoch uint64 // tells this run of the node from others
	log   *slog.Logger
	users *users.Register
	sched *scheduler.Scheduler
	life  *session.Lifetimes
	table *dispatch.Table
	gate  *gate.Gate

	ctx      context.Context // ends with the node
	cancel   context.CancelFunc
	tasks    sync.WaitGroup // goroutines of the mesh
	refusals Refusals
	secret   []byte // which signs what clients resume with, as this master hands it out; nil: another
}

func newNode(cfg Config) *node {
	n := &node{
		cfg: cfg, addr: cfg.Addr, epoch: newEpoch(), log: cfg.Log, users: cfg.Users, sched: cfg.Scheduler,
		life: cfg.Lifetimes,
	}
	if cfg.IsMaster && cfg.Token == "" {
		n.secret = resume.NewSecret()
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

// Refusals count what was not run or sent on purpose.
type Refusals struct {
	Withdrawn atomic.Uint64 // not sent, as nobody waits for the answer any more
	Late      atomic.Uint64 // of other nodes, and over its time when its turn came
	Unknown   atomic.Uint64 // of sessions that nobody has introduced
	Lost      atomic.Uint64 // queued for a node when the link to it was given up, and of a kind that has no answer
}

// background runs fn in a goroutine that Stop waits for.
func (n *node) background(fn func()) {
	n.tasks.Add(1)
	go func() {
		defer n.tasks.Done()
		fn()
	}()
}

// silence is how long the node at the other end of a link may say nothing: less than three
// heartbeats, so that requests have their error within these.
func (n *node) silence() time.Duration {
	return max(n.cfg.Heartbeat*5/2, time.Second)
}

// initLane makes the order of a session's calls.
func (n *node) initLane(l *scheduler.Lane) { n.sched.InitLane(l, n.cfg.SessionCalls) }

// client returns a session of this gate and its connection, nil if there is none with that id.
func (n *node) client(id int64) (*gate.Conn, *session.Session) {
	s := n.users.Session(id)
	if s == nil {
		return nil, nil
	}
	return connOf(s), s
}

// connOf returns what carries a session at this gate, nil if it is at another.
func connOf(s *session.Session) *gate.Conn {
	switch e := s.NetworkEntity().(type) {
	case *gate.Conn:
		return e
	case *remoteSession:
		return e.at.Load().conn
	}
	return nil
}

// serialize makes the payload of v.
func (n *node) serialize(v any) ([]byte, error) { return dispatch.Serialize(n.cfg.Serializer, v) }

// Package fleet finds the node that a channel lives on. The nodes that run channels tell everybody
// that they are there; each channel belongs to one of them by a hash of its id, on which all nodes
// that see the same fleet agree. While they do not, two nodes may both take a channel for theirs:
// then the store decides (see channels).
package fleet

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/backend"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/session"
)

// Times of the fleet.
const (
	HelloEvery  = 250 * time.Millisecond // a node says so often that it is there
	silentAfter = 1500 * time.Millisecond
	downFor     = time.Second             // a node that a call could not reach is asked no more, unless it says hello after that
	retryFor    = 4 * time.Second         // a call is sent to the next node for so long
	retryEvery  = 60 * time.Millisecond   // at least, between two attempts
	attemptTime = 2500 * time.Millisecond // for one answer: a node that hangs must not hold up its channels
)

// Hello is what a node that runs channels says of itself.
type Hello struct {
	Addr     string `json:"addr"`
	Draining bool   `json:"draining,omitempty"`
}

// Sender is the part of a service that does not wait.
type Sender interface {
	Send(req *protocol.SendRequest, done func(*store.Message, error))
	Typing(req *protocol.TypingRequest)
}

// node is a node that runs channels.
type node struct {
	heard time.Time
	down  time.Time // when a call could not reach it
}

// Fleet knows the nodes that run channels, and is a backend of all of them together. Its methods
// may be called from any goroutine.
type Fleet struct {
	self  string // address of this node
	table map[string]backend.Func
	here  Sender // nil on nodes that run no channels

	app *nano.App

	mu      sync.Mutex
	nodes   map[string]*node
	serving []string // in order
	changed func()
}

// New returns a fleet. table and here are those of this node, if it runs channels. changed is
// called after the nodes that serve are others; it must not wait.
func New(self string, table map[string]backend.Func, here Sender, changed func()) *Fleet {
	return &Fleet{self: self, table: table, here: here, nodes: make(map[string]*node), changed: changed}
}

// Attach gives the fleet its application, before that starts.
func (f *Fleet) Attach(app *nano.App) { f.app = app }

// service returns the name of the service of the node at an address.
func service(addr string) string {
	return "logic_" + strings.NewReplacer(".", "_", ":", "_", "[", "", "]", "").Replace(addr)
}

// Register registers the functions of this node for others.
func (f *Fleet) Register(cs *component.Components) {
	name := service(f.self)
	for fn, h := range f.table {
		h.Serve(cs, name+"."+fn)
	}
	component.HandleNotify(cs, name+".send", func(_ context.Context, s *session.Session, req *protocol.SendRequest) error {
		mid := s.LastMid()
		f.here.Send(req, func(m *store.Message, err error) {
			if err != nil {
				_ = s.FailMID(mid, err) // who asked is gone, or asks another node
			} else {
				_ = s.ResponseMID(mid, m)
			}
		})
		return nil
	}, component.WithNodesOnly())
	component.HandleNotify(cs, name+".typing", func(_ context.Context, _ *session.Session, req *protocol.TypingRequest) error {
		f.here.Typing(req)
		return nil
	}, component.WithNodesOnly())
}

// Heard notes a hello.
func (f *Fleet) Heard(h *Hello) {
	f.mu.Lock()
	if h.Draining {
		delete(f.nodes, h.Addr)
	} else {
		n := f.nodes[h.Addr]
		if n == nil {
			n = &node{}
			f.nodes[h.Addr] = n
		}
		n.heard = time.Now()
	}
	f.lookLocked()
}

// Look notices nodes that have fallen silent. It is to be called now and then.
func (f *Fleet) Look() {
	f.mu.Lock()
	f.lookLocked()
}

// lookLocked finds out which nodes serve, and gives the lock back.
func (f *Fleet) lookLocked() {
	now := time.Now()
	var serving []string
	for addr, n := range f.nodes {
		switch {
		case now.Sub(n.heard) > silentAfter && addr != f.self:
			delete(f.nodes, addr)
		case n.heard.After(n.down) && now.Sub(n.down) > downFor:
			serving = append(serving, addr)
		}
	}
	slices.Sort(serving)
	changed := !slices.Equal(serving, f.serving)
	f.serving = serving
	f.mu.Unlock()
	if changed {
		f.changed()
	}
}

// lost notes that a call could not reach a node.
func (f *Fleet) lost(addr string) {
	if addr == f.self {
		return
	}
	f.mu.Lock()
	if n := f.nodes[addr]; n != nil {
		n.down = time.Now()
	}
	f.lookLocked()
}

// Serving returns the nodes that run channels now.
func (f *Fleet) Serving() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.serving)
}

// Owner returns the node that a channel, or a user, belongs to; "" if there is none now.
func (f *Fleet) Owner(key string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.serving) == 0 {
		return ""
	}
	// The node with the highest hash of both: when one goes, only its channels move.
	return slices.MaxFunc(f.serving, func(a, b string) int { return cmp.Compare(weight(a, key), weight(b, key)) })
}

func weight(addr, key string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // it never fails
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(addr))
	x := h.Sum64() // FNV alone hardly mixes the last bytes into the high bits
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x
}

var errNobody = nano.Errorf(component.CodeUnavailable, "no node runs channels right now; try again")

// once are the functions that must not run twice: who has called them is told that it is not known
// whether they have.
var once = map[string]bool{"create": true, "make": true}

// Call calls a function of the node that key belongs to, and waits. If that node cannot be reached,
// the one that has its channels then is asked.
func (f *Fleet) Call(ctx context.Context, key, name string, req, resp any) error {
	// Not the handler's context: this may run in a wait of the handler, and the call must not wait
	// for the handler's turn.
	bounded, cancel := context.WithTimeout(context.Background(), retryFor+attemptTime)
	defer cancel()
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	return f.retry(bounded, !once[name], key, func(ctx context.Context, addr string) error {
		if addr == f.self {
			return f.table[name].Call(ctx, req, resp)
		}
		return f.remote(ctx, addr, name, req, resp)
	})
}

// remote calls a function of another node.
func (f *Fleet) remote(ctx context.Context, addr, name string, req, resp any) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	return f.app.Call(f.app.Context(ctx), service(addr)+"."+name, req, resp)
}

// retry calls do with the node that key belongs to, until one has answered.
func (f *Fleet) retry(ctx context.Context, again bool, key string, do func(ctx context.Context, addr string) error) error {
	end := time.Now().Add(retryFor)
	for {
		addr := f.Owner(key)
		err := error(errNobody)
		if addr != "" {
			err = do(ctx, addr)
			if err == nil || !isAway(err) {
				return err
			}
			if !told(err) {
				f.lost(addr)
			}
			if !again {
				return err
			}
		}
		if time.Now().After(end) {
			return err
		}
		select {
		case <-time.After(retryEvery):
		case <-ctx.Done():
			return err
		}
	}
}

// isAway reports whether an error says that a node cannot answer now, so that another one may.
func isAway(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var e *nano.Error
	if !errors.As(err, &e) {
		return true // of the link
	}
	return e.Code == component.CodeUnavailable || e.Code == component.CodeDeadline || isMissing(e)
}

// isMissing reports whether the framework says that no node runs the service: the node has left.
func isMissing(e *nano.Error) bool {
	return e.Code == component.CodeNotFound && !strings.HasPrefix(e.Message, "there is no such ") // which is an answer of channels
}

// told reports whether the node itself has said that it cannot: it is there.
func told(err error) bool {
	var e *nano.Error
	return errors.As(err, &e) && e.Code == component.CodeUnavailable && strings.HasSuffix(e.Message, "try again")
}

// Send stores a message on the node of its channel. It is for handlers, and waits in their way, so
// that the messages of one session reach the node in their order.
func (f *Fleet) Send(ctx context.Context, req *protocol.SendRequest, done func(*store.Message, error)) {
	if f.Owner(req.Channel) == f.self && f.here != nil {
		f.here.Send(req, done)
		return
	}
	var m *store.Message
	err := f.retryInTurn(ctx, req.Channel, func(ctx context.Context, addr string) error {
		m = &store.Message{}
		if addr == f.self {
			return f.table["sendnow"].Call(ctx, req, m)
		}
		return f.remote(ctx, addr, "send", req, m)
	})
	if err != nil {
		m = nil
	}
	done(m, err)
}

// retryInTurn is retry on a scheduler: between two attempts others run.
func (f *Fleet) retryInTurn(ctx context.Context, key string, do func(ctx context.Context, addr string) error) error {
	addr := f.Owner(key)
	if addr != "" {
		err := do(ctx, addr)
		if err == nil || !isAway(err) {
			return err
		}
		if !told(err) {
			f.lost(addr)
		}
	}
	var err error
	wait := func() {
		// Not the handler's context: this is no turn of the handler's.
		bounded, cancel := context.WithTimeout(context.Background(), retryFor+attemptTime)
		defer cancel()
		err = f.retry(bounded, true, key, do)
	}
	if s := scheduler.FromContext(ctx); s != nil {
		s.Await(wait)
	} else {
		wait()
	}
	return err
}

// Typing tells that somebody is typing. Nobody waits for it.
func (f *Fleet) Typing(_ context.Context, req *protocol.TypingRequest) {
	switch addr := f.Owner(req.Channel); addr {
	case "":
	case f.self:
		f.here.Typing(req)
	default:
		_ = f.app.NotifyNode(addr, service(addr)+".typing", req) // it is not worth a second attempt
	}
}

// Package channels runs the channels of the messenger: who may do what, in which order, and who is
// told. It keeps nothing that is not in the store: any node can go on with a channel.
//
// Reads ask the store, for any channel. Changes go through the channel's owner, which is the node
// that has claimed it last. A node claims a channel when it is first asked to change it, and
// forgets it when the store says that another node has it now.
package channels

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/examples/rules"
)

// GlobalID is the channel that everybody is in.
const GlobalID = "global"

// Service runs channels. Its methods may be called from any goroutine.
type Service struct {
	*registry
	posting
	membership
	reading
	operating
}

// New returns a service that tells gates by emit, which must not wait.
func New(s store.Store, emit func(*protocol.Event)) *Service {
	r := &registry{store: s, emit: emit, owned: make(map[string]*channel)}
	return &Service{r, posting{r}, membership{r}, reading{r}, operating{r, membership{r}, posting{r}}}
}

// registry holds the channels that this node owns, and tells gates what happens in channels.
type registry struct {
	store store.Store
	emit  func(*protocol.Event)

	failures rules.Seldom // that are logged

	mu    sync.Mutex
	owned map[string]*channel
}

// The parts of a service.
type (
	posting    struct{ *registry } // messages come and change: send.go
	membership struct{ *registry } // who is in a channel: members.go
	reading    struct{ *registry } // what is asked of the store: read.go, pictures.go
	operating  struct {            // what operators' systems ask: operator.go
		*registry
		members membership
		posts   posting
	}
)

// channel is a channel that this node owns, or is about to claim.
type channel struct {
	id string

	mu      sync.Mutex
	ready   bool
	failed  error
	waiting []func() // what is to be done once it is claimed, in order

	kind   string
	epoch  int64
	n, rev int64
	roles  map[string]string // of the members, by user id; nil in the global channel
	used   time.Time
}

// maxOwned is how many channels a node keeps in memory. Beyond that it forgets those that nobody
// uses.
const maxOwned = 50_000

// own calls f with the channel, under its lock, once it is claimed, or with the error. For one
// channel, the calls run in the order in which own was called. It does not wait.
func (s *registry) own(id string, f func(*channel, error)) {
	s.mu.Lock()
	c := s.owned[id]
	if c == nil {
		s.forgetLocked()
		c = &channel{id: id, used: time.Now()}
		s.owned[id] = c
		go s.claim(c)
	}
	s.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ready {
		c.waiting = append(c.waiting, func() { f(c, c.failed) })
		return
	}
	f(c, c.failed)
}

// forgetLocked makes room for another channel.
func (s *registry) forgetLocked() {
	if len(s.owned) < maxOwned {
		return
	}
	cut := time.Now().Add(-time.Minute)
	for id, c := range s.owned {
		if c.mu.TryLock() {
			if c.ready && c.used.Before(cut) {
				delete(s.owned, id)
			}
			c.mu.Unlock()
		}
	}
}

// claimTimeout bounds the claim of a channel.
const claimTimeout = 5 * time.Second

// claim makes this node the owner of a channel, and tells its members how far it is: what an
// earlier owner has stored and could not tell any more is found by that.
func (s *registry) claim(c *channel) {
	ctx, cancel := context.WithTimeout(context.Background(), claimTimeout)
	defer cancel()
	epoch, about, err := s.store.Claim(ctx, c.id)
	var roles map[string]string
	if err == nil && about.Kind != store.Global && about.Kind != store.Live {
		roles, err = s.roles(ctx, c.id)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready, c.failed = true, err
	c.epoch, c.kind, c.n, c.rev, c.roles, c.used = epoch, about.Kind, about.N, about.Rev, roles, time.Now()
	if err != nil {
		s.drop(c)
	} else if epoch > 1 {
		s.push(c.id, protocol.PushHead, protocol.Head{Channel: c.id, N: c.n, Rev: c.rev})
	}
	for _, f := range c.waiting {
		f()
	}
	c.waiting = nil
}

// roles returns the members of a channel.
func (s *registry) roles(ctx context.Context, id string) (map[string]string, error) {
	roles := make(map[string]string)
	for after := ""; ; {
		page, err := s.store.Members(ctx, id, after, memberPage)
		if err != nil {
			return nil, err
		}
		for _, m := range page {
			roles[m.ID] = m.Role
			after = m.ID
		}
		if len(page) < memberPage {
			return roles, nil
		}
	}
}

const memberPage = 1000

// drop forgets a channel: it has another owner, or its state here is not known any more. The next
// request claims it.
func (s *registry) drop(c *channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owned[c.id] == c {
		delete(s.owned, c.id)
	}
}

// TouchAll claims channels if this node has not, so that their members hear how far they are.
func (s *registry) TouchAll(_ context.Context, req *protocol.TouchRequest) (*protocol.Empty, error) {
	for _, id := range req.Channels {
		s.own(id, func(*channel, error) {})
	}
	return &protocol.Empty{}, nil
}

// DropAll forgets all channels: a node that ends leaves them to others.
func (s *registry) DropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.owned)
}

// Owned returns how many channels this node has in memory.
func (s *registry) Owned() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.owned)
}

// with runs f with a channel that this node owns, and waits for it. f must not wait.
func (s *registry) with(ctx context.Context, id string, f func(*channel) error) error {
	answer := make(chan error, 1)
	s.own(id, func(c *channel, err error) {
		if err == nil {
			c.used = time.Now()
			err = f(c)
		}
		answer <- err
	})
	select {
	case err := <-answer:
		return s.outward(err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// manage is with for changes of members and titles. The store does not compare these with the
// epoch, so it is asked for that first: who was taken out by another owner must not go on here.
func (s *registry) manage(ctx context.Context, id string, f func(*channel) error) error {
	epoch, err := s.store.Epoch(ctx, id)
	if err != nil {
		return s.outward(err)
	}
	s.mu.Lock()
	c := s.owned[id]
	s.mu.Unlock()
	if c != nil {
		c.mu.Lock()
		if c.ready && c.epoch < epoch {
			s.drop(c)
		}
		c.mu.Unlock()
	}
	return s.with(ctx, id, f)
}

// push tells the members of a channel.
func (s *registry) push(channel, route string, v any) {
	s.emit(&protocol.Event{Channel: channel, Route: route, Data: encoded(v)})
}

// pushTo tells users.
func (s *registry) pushTo(users []string, route string, v any) {
	s.emit(&protocol.Event{Users: users, Route: route, Data: encoded(v)})
}

// encoded returns v as JSON. What is pushed is made of strings and numbers, and can be encoded.
func encoded(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		slog.Error("push not encoded", "err", err)
		return json.RawMessage("null")
	}
	return b
}

// outward returns an error as clients may see it.
func (s *registry) outward(err error) error {
	var told *nano.Error
	switch {
	case err == nil, errors.As(err, &told):
		return err
	case errors.Is(err, store.ErrNotFound):
		return errNotFound
	case errors.Is(err, store.ErrNotOwner):
		return nano.Errorf(component.CodeUnavailable, "the channel has just moved; try again")
	case errors.Is(err, store.ErrText):
		return nano.Errorf(component.CodeInvalid, "the request holds characters that are none")
	case errors.Is(err, store.ErrBusy):
		return nano.Errorf(component.CodeExhausted, "too much is being written; try again")
	default:
		return s.hidden(err)
	}
}

// hidden hides what is no business of clients, and logs it, once a second.
func (s *registry) hidden(err error) error {
	if s.failures.Now() {
		slog.Warn("requests failed", "err", err) // the database is away, or the disk is full: all fail then
	}
	return nano.Errorf(component.CodeUnavailable, "the messenger cannot do that right now; try again")
}

var errNotFound = nano.Errorf(component.CodeNotFound, "there is no such thing here, or it is not yours to see")

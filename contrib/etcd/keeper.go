// Package etcd keeps the member list of a cluster in etcd, in the place of a master.
//
//	k, err := etcd.New(etcd.Config{Endpoints: []string{"10.0.0.1:2379", "10.0.0.2:2379", "10.0.0.3:2379"}})
//	app := nano.New("10.0.1.5:3250", nano.WithKeeper(k), nano.WithComponents(comps))
//
// Each node has a [Keeper] of its own. While a majority of etcd's members lives, nodes come and go.
// While etcd is away, the nodes go on with the list that they have, and only joins wait.
//
// It does not start etcd, and it stores nothing there but the list.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lonng/nano/cluster/keeper"
)

// Keeper keeps the list of one node in etcd; see [keeper.Keeper]. It serves one node once. Its
// methods may be called from any goroutine.
type Keeper struct {
	cfg    Config
	log    *slog.Logger
	client *clientv3.Client // set by Join before its goroutines start

	turn   chan struct{} // holds one value; whoever took it may use what follows
	node   *presence     // nil before Join
	left   bool
	failed bool // Join has

	lost   chan struct{} // the list does not have the node any more
	heard  chan struct{} // etcd has answered
	anew   chan struct{} // the node was entered anew: the list may be another one than before
	warned time.Time     // when a foreign key was last logged; of whoever reads the list
	end    context.CancelFunc
	done   chan struct{} // closed when the goroutines have ended
}

var _ keeper.Keeper = (*Keeper)(nil)

// New returns a Keeper for one node. It connects to nothing yet. The error names everything that is
// wrong in c.
func New(c Config) (*Keeper, error) {
	c.Endpoints = slices.Clone(c.Endpoints)
	if c.TLS != nil {
		c.TLS = c.TLS.Clone()
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	k := &Keeper{
		cfg: c, log: c.Logger.With("keeper", "etcd"), turn: make(chan struct{}, 1),
		lost: make(chan struct{}, 1), heard: make(chan struct{}, 1), anew: make(chan struct{}, 1), done: make(chan struct{}),
	}
	k.turn <- struct{}{}
	return k, nil
}

// Join enters self in etcd's list; see [keeper.Keeper]. It waits while etcd cannot be reached, and
// the log says so. A refusal ends it: a wrong password, a key that the user may not write, a node
// id that is taken, a newer process at the address.
func (k *Keeper) Join(ctx context.Context, self keeper.Member) (<-chan keeper.View, error) {
	if err := k.lock(ctx); err != nil {
		return nil, err
	}
	defer k.unlock()
	if k.node != nil || k.left {
		return nil, errors.New("etcd: Join was called before; each node, and each start of it, needs a Keeper of its own")
	}
	self.Services = slices.Compact(slices.Sorted(slices.Values(self.Services)))
	self.Fixed = self.Fixed && self.NodeID != 0
	k.node = &presence{cfg: &k.cfg, self: self}
	life, cancel := context.WithCancel(ctx)
	k.end = cancel
	l := newList(self, k.cfg.TTL)
	at, err := k.join(life, l)
	if err != nil {
		cancel()
		k.failed = true
		close(k.done)
		if k.client != nil {
			_ = k.client.Close()
		}
		return nil, fmt.Errorf("etcd: join as %s: %w", self.Addr, err)
	}
	views := make(chan keeper.View, 1)
	if v, ok := l.view(); ok {
		views <- v
	}
	var all sync.WaitGroup
	all.Go(func() { k.keep(life) })
	all.Go(func() { k.follow(life, l, at, views) })
	go func() {
		defer close(k.done)
		all.Wait()
		cancel()
		close(views)
		_ = k.client.Close()
	}()
	return views, nil
}

// join tries until the node is in the list, and reads that. It returns the list's revision.
func (k *Keeper) join(ctx context.Context, l *list) (at int64, err error) {
	for cut, said := (outage{}), false; ; {
		at, err = k.tryJoin(ctx, l)
		if err == nil {
			if said {
				k.log.Info("etcd was reached, and the node is in the list")
			}
			return at, nil
		}
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if refused(err) {
			return 0, err
		}
		if cut.begin(time.Now(), k.cfg.step()) {
			said = true
			k.log.Warn("etcd cannot be reached; the node waits for it to join", "endpoints", k.cfg.Endpoints, "err", err)
		}
		if !wait(ctx, k.cfg.step()) {
			return 0, context.Cause(ctx)
		}
	}
}

func (k *Keeper) tryJoin(ctx context.Context, l *list) (at int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*k.cfg.patience())
	defer cancel()
	if k.client == nil {
		if k.client, err = k.cfg.client(); err != nil {
			return 0, err
		}
		k.node.client = k.client
	}
	if err := k.attempt(ctx, k.node.enter); err != nil {
		return 0, err
	}
	if at, err = k.read(ctx, l); err != nil {
		return 0, err
	}
	if m, ok := l.members[k.node.self.Addr]; !ok || m.Epoch != k.node.self.Epoch {
		return 0, errors.New("the list lost the node at once")
	}
	return at, nil
}

var errEnded = errors.New("the context of Join has ended, so the node's time in the list runs out")

// Update replaces what the list says of the node; see [keeper.Keeper]. It tries once, for a few
// seconds at most. For a process that a newer one has replaced it does nothing.
func (k *Keeper) Update(ctx context.Context, self keeper.Member) error {
	if err := k.lock(ctx); err != nil {
		return fmt.Errorf("etcd: update: %w", err)
	}
	defer k.unlock()
	if k.node == nil || k.left || k.over() {
		return errors.New("etcd: update: the node is not in the list: Join comes before, and nothing after Leave or the end of Join's context")
	}
	now := &k.node.self
	self.Addr, self.Epoch, self.NodeID, self.Fixed = now.Addr, now.Epoch, now.NodeID, now.Fixed
	self.Services = slices.Compact(slices.Sorted(slices.Values(self.Services)))
	*now = self
	if err := k.attempt(ctx, k.node.enter); err != nil && !errors.Is(err, errReplaced) {
		return fmt.Errorf("etcd: update: %w", err)
	}
	return nil
}

// Leave takes the node out of the list at once; see [keeper.Keeper]. After an error, its time there
// runs out by itself.
func (k *Keeper) Leave(ctx context.Context) error {
	if err := k.lock(ctx); err != nil {
		return fmt.Errorf("etcd: leave: %w", err)
	}
	defer k.unlock()
	if k.left || k.node == nil || k.failed {
		k.left = true
		return nil
	}
	k.left = true
	err := errEnded
	for !k.over() {
		if err = k.attempt(ctx, k.node.leave); err == nil || !wait(ctx, k.cfg.step()/2) {
			break
		}
	}
	k.end()
	select {
	case <-k.done:
	case <-ctx.Done():
	}
	if err != nil {
		return fmt.Errorf("etcd: leave: %w", err)
	}
	return nil
}

// again enters the node that the list has lost.
func (k *Keeper) again(ctx context.Context) error {
	if err := k.lock(ctx); err != nil {
		return err
	}
	defer k.unlock()
	if k.left {
		return nil
	}
	err := k.attempt(ctx, k.node.enter)
	if err == nil {
		signal(k.anew)
	}
	return err
}

// leases returns the node's leases.
func (k *Keeper) leases(ctx context.Context) (lease, rest clientv3.LeaseID, err error) {
	if err := k.lock(ctx); err != nil {
		return 0, 0, err
	}
	defer k.unlock()
	return k.node.lease, k.node.rest, nil
}

// renewed enters the node anew after one of its leases has run out.
func (k *Keeper) renewed(ctx context.Context, lease clientv3.LeaseID) error {
	if err := k.lock(ctx); err != nil {
		return err
	}
	if k.node.lease == lease {
		k.node.lease, k.node.rest = 0, 0
	}
	k.unlock()
	return k.again(ctx)
}

// over tells whether Join's context has ended.
func (k *Keeper) over() bool {
	select {
	case <-k.done:
		return true
	default:
		return false
	}
}

// attempt runs something that may ask etcd several times, within a limit for all of it.
func (k *Keeper) attempt(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*k.cfg.patience())
	defer cancel()
	return try(ctx)
}

func (k *Keeper) lock(ctx context.Context) error {
	select {
	case <-k.turn:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (k *Keeper) unlock() { k.turn <- struct{}{} }

// refused tells whether an error stays the same however often the same is tried.
func refused(err error) bool {
	if errors.Is(err, keeper.ErrNodeIDTaken) || errors.Is(err, errReplaced) {
		return true
	}
	if errors.Is(err, rpctypes.ErrAuthOldRevision) { // somebody has just changed users or roles
		return false
	}
	var of rpctypes.EtcdError
	code := status.Code(err)
	if errors.As(err, &of) {
		code = of.Code()
	}
	return code == codes.PermissionDenied || code == codes.InvalidArgument
}

// wait returns after d, or with false when ctx ends.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

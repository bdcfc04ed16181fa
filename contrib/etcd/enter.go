package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lonng/nano/cluster/keeper"
)

const (
	// idRests is how long a node id that was freed is given to nobody.
	idRests = time.Hour

	// firstGiven is where the ids begin that the Keeper gives to nodes. The lower ones are left to
	// nodes whose configuration sets theirs, until the upper ones are used up.
	firstGiven = 1 << 15
)

var (
	// errReplaced is returned for a process whose address a newer one has.
	errReplaced = errors.New("a newer process has the address; if none runs there, the clock of this machine went back")

	errNoID = errors.New("all node ids are taken, or were until an hour ago")
)

// presence is the node in etcd's list: its entry, its id, and the leases that keep both. One
// goroutine uses it at a time.
type presence struct {
	cfg    *Config
	client *clientv3.Client
	self   keeper.Member
	lease  clientv3.LeaseID // of the entry; 0: none
	rest   clientv3.LeaseID // of the id; 0: none
}

// enter puts the node into the list, with an id of its own, or replaces what the list says of it.
func (p *presence) enter(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		if err := p.grant(ctx); err != nil {
			return err
		}
		done, err := p.attempt(ctx)
		switch {
		case errors.Is(err, rpctypes.ErrLeaseNotFound) && attempt == 0:
			p.lease, p.rest = 0, 0 // they ran out meanwhile
		case done || err != nil:
			return err
		}
	}
}

// grant gets the leases that the node does not have.
func (p *presence) grant(ctx context.Context) error {
	for _, l := range []struct {
		id  *clientv3.LeaseID
		ttl time.Duration
	}{{&p.lease, p.cfg.TTL}, {&p.rest, idRests + 2*restStep}} {
		if *l.id != 0 {
			continue
		}
		err := p.cfg.ask(ctx, func(ctx context.Context) error {
			resp, err := p.client.Grant(ctx, int64(l.ttl/time.Second))
			if err == nil {
				*l.id = resp.ID
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("get a lease: %w", err)
		}
	}
	return nil
}

// attempt writes entry and id in one transaction; false if somebody else wrote there meanwhile.
func (p *presence) attempt(ctx context.Context) (done bool, err error) {
	own, err := p.get(ctx, p.cfg.memberKey(p.self.Addr))
	if err != nil {
		return false, err
	}
	if m, err := p.cfg.decode(own.key, own.value); err == nil {
		switch {
		case m.Epoch > p.self.Epoch:
			return false, errReplaced
		case m.Epoch == p.self.Epoch && p.self.NodeID == 0: // an attempt whose answer was lost has written it
			p.self.NodeID = m.NodeID
		}
	}
	id, unchanged, err := p.findID(ctx)
	if err != nil {
		return false, err
	}
	m := p.self
	m.NodeID = id
	value, err := encode(m)
	if err != nil {
		return false, err
	}
	holds, err := json.Marshal(owner{m.Addr, m.Epoch})
	if err != nil {
		return false, err
	}
	// If a try is written although its answer is lost, the next one finds the keys changed.
	err = p.cfg.ask(ctx, func(ctx context.Context) error {
		resp, err := p.client.Txn(ctx).If(append(unchanged, own.unchanged())...).Then(
			clientv3.OpPut(string(own.key), value, clientv3.WithLease(p.lease)),
			clientv3.OpPut(p.cfg.idKey(id), string(holds), clientv3.WithLease(p.rest)),
		).Commit()
		done = err == nil && resp.Succeeded
		return err
	})
	if err != nil {
		return false, fmt.Errorf("write the node's entry: %w", err)
	}
	if done {
		p.self = m
	}
	return done, nil
}

// findID returns the id that the node can have, and what must still be so when it takes it.
func (p *presence) findID(ctx context.Context) (uint64, []clientv3.Cmp, error) {
	if p.self.NodeID == 0 {
		return p.freeID(ctx)
	}
	key, err := p.get(ctx, p.cfg.idKey(p.self.NodeID))
	if err != nil {
		return 0, nil, err
	}
	var o owner
	isOurs := !key.exists || json.Unmarshal(key.value, &o) != nil || o == owner{p.self.Addr, p.self.Epoch}
	if isOurs { // or nobody's, if nothing can be read of it
		return p.self.NodeID, []clientv3.Cmp{key.unchanged()}, nil
	}
	if !p.self.Fixed { // this process was away for more than an hour
		return p.freeID(ctx)
	}
	if o.Addr == p.self.Addr { // the process before this one
		return p.self.NodeID, []clientv3.Cmp{key.unchanged()}, nil
	}
	// An id that only rests may be taken by configuration, one of a living node not.
	other, err := p.get(ctx, p.cfg.memberKey(o.Addr))
	if err != nil {
		return 0, nil, err
	}
	if m, err := p.cfg.decode(other.key, other.value); err == nil && m.Epoch == o.Epoch && m.NodeID == p.self.NodeID {
		return 0, nil, fmt.Errorf("%w: %d is that of %s", keeper.ErrNodeIDTaken, p.self.NodeID, o.Addr)
	}
	return p.self.NodeID, []clientv3.Cmp{key.unchanged(), other.unchanged()}, nil
}

// freeID chooses an id that nobody has or had within the last hour. It begins anywhere: nodes that
// start at once seldom meet, nor do those of a list that begins anew, which does not know who
// lives.
func (p *presence) freeID(ctx context.Context) (uint64, []clientv3.Cmp, error) {
	resp, err := p.cfg.get(ctx, p.client, p.cfg.idsPrefix(), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return 0, nil, fmt.Errorf("read the node ids: %w", err)
	}
	taken := make(map[uint64]bool, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		if id, err := strconv.ParseUint(strings.TrimPrefix(string(kv.Key), p.cfg.idsPrefix()), 10, 64); err == nil {
			taken[id] = true
		}
	}
	id, ok := firstFree(taken, rand.Uint64N(firstGiven)) // spreads nodes, and guards nothing
	if !ok {
		return 0, nil, errNoID
	}
	return id, []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(p.cfg.idKey(id)), "=", 0)}, nil
}

// firstFree returns an id that is not taken: of the upper half, from the place start in it on, and
// of the lower half when there is none.
func firstFree(taken map[uint64]bool, start uint64) (id uint64, ok bool) {
	for i := range uint64(firstGiven) {
		if id = firstGiven + (start+i)%firstGiven; !taken[id] {
			return id, true
		}
	}
	for id = 1; id < firstGiven; id++ {
		if !taken[id] {
			return id, true
		}
	}
	return 0, false
}

// stored is a key as it was read.
type stored struct {
	key, value []byte
	exists     bool
	revision   int64
}

// unchanged is the condition that nobody has written the key since.
func (s stored) unchanged() clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(string(s.key)), "=", s.revision)
}

func (p *presence) get(ctx context.Context, key string) (stored, error) {
	resp, err := p.cfg.get(ctx, p.client, key)
	if err != nil {
		return stored{}, fmt.Errorf("read the key %q: %w", key, err)
	}
	if len(resp.Kvs) == 0 {
		return stored{key: []byte(key)}, nil
	}
	return stored{key: []byte(key), value: resp.Kvs[0].Value, exists: true, revision: resp.Kvs[0].ModRevision}, nil
}

// leave takes the node out of the list. Whatever is still on its way to etcd needs the lease, and
// comes too late. The id rests.
func (p *presence) leave(ctx context.Context) error {
	if p.lease == 0 {
		return nil
	}
	err := p.cfg.ask(ctx, func(ctx context.Context) error {
		_, err := p.client.Revoke(ctx, p.lease)
		return err
	})
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	return err
}

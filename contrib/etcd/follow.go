package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lonng/nano/cluster/keeper"
)

// readAgain is how often the list is read although the watch tells its changes: whatever a watch
// may miss, such as the time before a copy that etcd was restored from, is made good then.
const readAgain = time.Minute

var (
	errSilent = errors.New("the watch says nothing")
	errAnew   = errors.New("the node was entered anew")
	errBack   = errors.New("etcd's revision went back: it was restored from a copy, or begins anew")
)

// follow sends the list after each change until ctx ends. at is the revision of what l holds.
func (k *Keeper) follow(ctx context.Context, l *list, at int64, views chan keeper.View) {
	for {
		err := k.watch(ctx, l, at, views)
		if ctx.Err() != nil {
			return
		}
		// Whatever it was, the list is read anew: changes may have been missed, because etcd has
		// compacted them, was restored from a copy, or could not be reached.
		k.log.Debug("the watch of the list begins anew", "err", err)
		for {
			if at, err = k.read(ctx, l); err == nil {
				break
			}
			if !wait(ctx, k.cfg.step()/2) {
				return
			}
		}
		publish(views, l)
	}
}

// read reads the whole list, and returns its revision.
func (k *Keeper) read(ctx context.Context, l *list) (at int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, k.cfg.patience())
	defer cancel()
	resp, err := k.cfg.get(ctx, k.client, k.cfg.membersPrefix(), clientv3.WithPrefix())
	if err != nil {
		return 0, fmt.Errorf("read the list: %w", err)
	}
	all := make([]keeper.Member, 0, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		if m, ok := k.decode(kv); ok {
			all = append(all, m)
		}
	}
	now := time.Now()
	l.hear(now)
	l.replace(all, now)
	k.missed(l)
	return resp.Header.Revision, nil
}

// watch takes the changes after a revision, until something is wrong.
func (k *Keeper) watch(ctx context.Context, l *list, at int64, views chan keeper.View) error {
	// A member without a leader hears of no changes: it is to say so, and another one is asked.
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	changes := k.client.Watch(ctx, k.cfg.membersPrefix(), clientv3.WithPrefix(), clientv3.WithRev(at+1), clientv3.WithCreatedNotify())
	tick := time.NewTicker(k.cfg.step())
	defer tick.Stop()
	enough := time.NewTimer(readAgain)
	defer enough.Stop()
	for unanswered := 0; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-enough.C:
			return nil
		case <-k.anew: // an etcd that was replaced has no leases, and may count as far as the one before
			return errAnew
		case c, ok := <-changes:
			if !ok {
				return errors.New("the watch has ended")
			}
			if err := c.Err(); err != nil {
				return err
			}
			if c.Header.Revision < at {
				return errBack
			}
			unanswered = 0
			now := time.Now()
			l.hear(now)
			for _, e := range c.Events {
				k.apply(l, e, now)
			}
			k.missed(l)
		case <-k.heard:
			l.hear(time.Now())
		case now := <-tick.C:
			l.tick(now)
			// A quiet list and a connection that swallows everything look alike, until etcd is
			// asked.
			if unanswered++; unanswered > 3 {
				return errSilent
			}
			if err := k.ask(ctx); err != nil {
				return err
			}
		}
		publish(views, l)
	}
}

// ask has the watch say something.
func (k *Keeper) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, k.cfg.step())
	defer cancel()
	return k.client.RequestProgress(ctx)
}

func (k *Keeper) apply(l *list, e *clientv3.Event, now time.Time) {
	if e.Type == mvccpb.DELETE {
		l.remove(k.cfg.addrOf(e.Kv.Key), now)
		return
	}
	if m, ok := k.decode(e.Kv); ok {
		l.put(m)
	}
}

// missed has the node entered again if the list has lost it.
func (k *Keeper) missed(l *list) {
	if _, ok := l.members[l.self]; !ok {
		signal(k.lost)
	}
}

func (k *Keeper) decode(kv *mvccpb.KeyValue) (keeper.Member, bool) {
	m, err := k.cfg.decode(kv.Key, kv.Value)
	if err != nil && time.Since(k.warned) > time.Minute {
		k.warned = time.Now()
		k.log.Warn("a key of the list was ignored: it was not written by a node", "err", err)
	}
	return m, err == nil
}

// publish sends the list if it has changed. A slow reader gets the newest.
func publish(views chan keeper.View, l *list) {
	v, ok := l.view()
	if !ok {
		return
	}
	select {
	case <-views:
	default:
	}
	views <- v
}

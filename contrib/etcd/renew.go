package etcd

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// restStep is how often the lease of the node id is renewed.
const restStep = time.Minute

// renewals is a stream on which leases are renewed. The client's own KeepAlive waits on a stream
// that has gone dead for as long as TCP does, and its KeepAliveOnce signs in anew each time; this
// one is given up after one time without an answer, and the next goes to another of etcd's members.
type renewals struct {
	stream pb.Lease_LeaseKeepAliveClient
	cancel context.CancelFunc
}

// renew renews a lease. After an error the stream is closed. A lease that has run out is
// rpctypes.ErrLeaseNotFound.
func (r *renewals) renew(ctx context.Context, client *clientv3.Client, lease clientv3.LeaseID, within time.Duration) (err error) {
	if r.stream == nil {
		ctx, r.cancel = context.WithCancel(clientv3.WithRequireLeader(ctx))
	}
	late := time.AfterFunc(within, r.cancel)
	defer func() {
		if !late.Stop() && err == nil {
			err = context.DeadlineExceeded
		}
		if err != nil {
			r.close()
		}
	}()
	if r.stream == nil {
		if r.stream, err = pb.NewLeaseClient(client.ActiveConnection()).LeaseKeepAlive(ctx); err != nil {
			return rpctypes.Error(err)
		}
	}
	if err := r.stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(lease)}); err != nil {
		return rpctypes.Error(err)
	}
	resp, err := r.stream.Recv()
	if err != nil {
		return rpctypes.Error(err)
	}
	if resp.TTL <= 0 {
		return rpctypes.ErrLeaseNotFound
	}
	return nil
}

func (r *renewals) close() {
	if r.cancel != nil {
		r.cancel()
	}
	r.stream, r.cancel = nil, nil
}

// keep renews the node's leases until ctx ends, and enters it again when they have run out.
func (k *Keeper) keep(ctx context.Context) {
	var stream renewals
	defer stream.close()
	tick := time.NewTicker(k.cfg.step())
	defer tick.Stop()
	var cut outage
	rested := time.Now()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			err = k.beat(ctx, &stream, &rested)
		case <-k.lost:
			err = k.again(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		now := time.Now()
		switch {
		case err == nil:
			signal(k.heard)
			if since, was := cut.end(); was {
				k.log.Info("etcd can be reached again", "after", now.Sub(since).Round(time.Millisecond))
			}
		case errors.Is(err, errReplaced):
			signal(k.heard)
		case cut.begin(now, k.cfg.TTL/2):
			k.log.Warn("etcd cannot be reached; the node goes on with the list that it has", "err", err)
		}
	}
}

// beat renews the leases once.
func (k *Keeper) beat(ctx context.Context, stream *renewals, rested *time.Time) error {
	lease, rest, err := k.leases(ctx)
	if err != nil {
		return err
	}
	if lease == 0 {
		return k.again(ctx)
	}
	err = stream.renew(ctx, k.client, lease, k.cfg.step())
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return k.renewed(ctx, lease)
	}
	if err != nil || time.Since(*rested) < restStep {
		return err
	}
	err = stream.renew(ctx, k.client, rest, k.cfg.step())
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return k.renewed(ctx, lease)
	}
	if err == nil {
		*rested = time.Now()
	}
	return err
}

// outage is a time in which etcd did not answer.
type outage struct {
	since time.Time
	said  bool
}

// begin notes that etcd did not answer. It tells once whether that was so for long enough to be
// worth a word.
func (o *outage) begin(now time.Time, long time.Duration) bool {
	if o.since.IsZero() {
		o.since = now
	}
	if o.said || now.Sub(o.since) < long {
		return false
	}
	o.said = true
	return true
}

// end notes that etcd answers, and tells whether begin had told that it did not.
func (o *outage) end() (since time.Time, was bool) {
	since, was = o.since, o.said
	*o = outage{}
	return since, was
}

// signal wakes whoever receives from c, once.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

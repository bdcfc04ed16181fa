package etcd

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// firstTry is how long the first try of a request waits for its answer.
func (c *Config) firstTry() time.Duration { return c.patience() / 4 }

// ask runs a request until one of etcd's members answers it or ctx ends. The client goes from
// member to member, so what the next try needs is an end of this one: a member that hangs never
// answers, and one without a leader is told to say so instead of waiting for it. Each try may take
// twice as long as the one before, because etcd may be slow as a whole.
//
// A try without an answer may have been carried out all the same, so the request must bear that.
func (c *Config) ask(ctx context.Context, request func(context.Context) error) error {
	ctx = clientv3.WithRequireLeader(ctx)
	for limit := c.firstTry(); ; limit *= 2 {
		try, cancel := context.WithTimeout(ctx, limit)
		err := request(try)
		late := try.Err() != nil
		cancel()
		if err == nil || ctx.Err() != nil || !late && !elsewhere(err) {
			return err
		}
		if !late && !wait(ctx, limit/8) {
			return err
		}
	}
}

// elsewhere tells whether another member may answer what this one could not.
func elsewhere(err error) bool {
	var of rpctypes.EtcdError
	if errors.As(err, &of) {
		return of.Code() == codes.Unavailable
	}
	return status.Code(err) == codes.Unavailable
}

// get reads keys.
func (c *Config) get(ctx context.Context, client *clientv3.Client, key string, options ...clientv3.OpOption) (resp *clientv3.GetResponse, err error) {
	err = c.ask(ctx, func(ctx context.Context) error {
		resp, err = client.Get(ctx, key, options...)
		return err
	})
	return resp, err
}

package etcd

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/metadata"
)

// A player's new server waits for a part of a second when one of etcd's members hangs or has lost
// the others, not until the connection is given up.
func TestAsksAnotherMember(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	noLeader := func(context.Context) error { return rpctypes.ErrNoLeader }
	denied := func(context.Context) error { return rpctypes.ErrPermissionDenied }
	good := func(context.Context) error { return nil }
	conf := Config{TTL: DefaultTTL}
	for name, tc := range map[string]struct {
		members []func(context.Context) error
		want    error
		asked   int
		within  time.Duration
	}{
		"the first answers":             {[]func(context.Context) error{good}, nil, 1, 0},
		"the first hangs":               {[]func(context.Context) error{hang, good}, nil, 2, conf.firstTry()},
		"two hang":                      {[]func(context.Context) error{hang, hang, good}, nil, 3, 3 * conf.firstTry()},
		"the first has no leader":       {[]func(context.Context) error{noLeader, good}, nil, 2, conf.firstTry() / 8},
		"all hang":                      {[]func(context.Context) error{hang}, context.DeadlineExceeded, 3, conf.patience()},
		"what all refuse is asked once": {[]func(context.Context) error{denied}, rpctypes.ErrPermissionDenied, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), conf.patience())
				defer cancel()
				asked, began := 0, time.Now()
				err := conf.ask(ctx, func(ctx context.Context) error {
					if md, _ := metadata.FromOutgoingContext(ctx); len(md.Get(rpctypes.MetadataRequireLeaderKey)) == 0 {
						t.Error("the member is not told to need a leader")
					}
					asked++
					return tc.members[min(asked, len(tc.members))-1](ctx)
				})
				if !errors.Is(err, tc.want) || asked != tc.asked || time.Since(began) > tc.within {
					t.Errorf("%v after %d tries and %v; want %v after %d and at most %v", err, asked, time.Since(began), tc.want, tc.asked, tc.within)
				}
			})
		})
	}
}

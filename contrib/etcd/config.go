package etcd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Defaults of a [Config].
const (
	DefaultPrefix = "nano/"
	DefaultTTL    = 5 * time.Second
)

// minTTL is the shortest lease that etcd grants with its own default settings.
const minTTL = 2 * time.Second

// Config says where etcd is, and how the list is kept there.
type Config struct {
	// Endpoints are the client addresses of etcd's members, such as "10.0.0.1:2379" or
	// "https://etcd-1:2379". Name all of them: the Keeper goes on with another one when the first
	// does not answer. Required.
	Endpoints []string

	// TLS encrypts the connections to etcd. Its Certificates show who this node is, and RootCAs
	// whom it trusts. Default: plain text.
	TLS *tls.Config

	// Username and Password sign in where etcd's authentication is on. The user needs to read and
	// write all keys with the Prefix, and nothing else. Default: none; etcd can also take the user
	// from the certificate's common name.
	Username, Password string

	// Prefix begins all keys of this cluster. Clusters that share an etcd need prefixes of their
	// own, none of which begins another. Default: DefaultPrefix.
	Prefix string

	// TTL is how long a node that says nothing stays in the list: whole seconds, at least 2. etcd
	// may take a second more, so at most three heartbeat intervals of the nodes keep what is
	// promised of a Keeper. A shorter time finds the dead sooner; a longer one asks etcd less
	// often. It is the same on all nodes. Default: DefaultTTL.
	TTL time.Duration

	// Logger gets a line when etcd cannot be reached, and when it is back. Default: slog.Default.
	Logger *slog.Logger
}

// check returns everything that is wrong, and fills in the defaults.
func (c *Config) check() error {
	var wrong []error
	bad := func(format string, a ...any) { wrong = append(wrong, fmt.Errorf("etcd: "+format, a...)) }
	if len(c.Endpoints) == 0 {
		bad("Endpoints: none is given; name the client addresses of etcd's members")
	}
	for _, e := range c.Endpoints {
		if strings.TrimSpace(e) == "" {
			bad("Endpoints: one of %q is empty", c.Endpoints)
			break
		}
		if c.TLS == nil && strings.HasPrefix(e, "https://") {
			bad("Endpoints: %s is https, but TLS is not set", e)
		}
	}
	if (c.Username == "") != (c.Password == "") {
		bad("Username and Password: one is set without the other")
	}
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
	if c.TTL == 0 {
		c.TTL = DefaultTTL
	}
	if c.TTL < minTTL || c.TTL%time.Second != 0 {
		bad("TTL: %v is not a number of whole seconds, at least %v", c.TTL, minTTL)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return errors.Join(wrong...)
}

// step is how often a lease is renewed, and how long one attempt at that may take: several fit into
// the time that a node lives without, because one in three members may be gone.
func (c *Config) step() time.Duration { return c.TTL / 6 }

// patience is how long one attempt to read or write may take.
func (c *Config) patience() time.Duration { return max(c.TTL/3, time.Second) }

// client returns a client of etcd. It waits for none of etcd's members, unless it has to sign in.
func (c *Config) client() (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints:            c.Endpoints,
		TLS:                  c.TLS,
		Username:             c.Username,
		Password:             c.Password,
		DialTimeout:          c.patience(),
		DialKeepAliveTime:    10 * time.Second, // the least that gRPC allows: a connection that swallows all is given up
		DialKeepAliveTimeout: c.patience(),
		Logger:               zap.NewNop(), // what matters is in this Keeper's own log
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			// gRPC would wait for up to two minutes between two attempts: too long once etcd is
			// back.
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: c.step()},
			MinConnectTimeout: c.patience(),
		})},
	})
}

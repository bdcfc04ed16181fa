package main

import (
	"cmp"
	"errors"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/contrib/etcd"
)

// list is the option that says who keeps the list of nodes: etcd, if the settings name one, else
// the master.
func (c *config) list(role string) (nano.Option, error) {
	switch {
	case len(c.etcd.Endpoints) > 0 && role == roleMaster:
		return nil, errors.New("with etcd there is no master: etcd keeps the list of nodes")
	case len(c.etcd.Endpoints) > 0:
		tls, err := c.etcd.TLS.Config()
		if err != nil {
			return nil, err
		}
		k, err := etcd.New(etcd.Config{
			Endpoints: c.etcd.Endpoints, TLS: tls, Username: c.etcd.Username, Password: string(c.etcd.Password),
			Prefix: c.etcd.Prefix, TTL: cmp.Or(c.etcd.TTL, lease(c.heartbeat)),
		})
		if err != nil {
			return nil, err
		}
		return nano.WithKeeper(k), nil
	case role == roleMaster:
		return nano.WithMaster(), nil
	}
	return nano.WithAdvertiseAddr(c.master, 250*time.Millisecond), nil
}

// lease is how long etcd has a node in its list that says nothing: at most three heartbeats, but no
// less than etcd grants.
func lease(heartbeat time.Duration) time.Duration {
	return min(max((3*heartbeat).Truncate(time.Second), 2*time.Second), etcd.DefaultTTL)
}

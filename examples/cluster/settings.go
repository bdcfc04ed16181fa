package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/console"
	"github.com/lonng/nano/contrib/config"
	"github.com/lonng/nano/contrib/etcd"
	"github.com/lonng/nano/serialize/json"
)

// masterAddress is where the master is if nothing else is said.
const masterAddress = "127.0.0.1:3300"

// settings are those of a node, and the program's own.
type settings struct {
	config.Node
	ConsoleToken config.Secret `koanf:"console-token" usage:"secret of 16 bytes or more of a gate's console at /console/; empty: there is no console"`
	WithParent   bool          `koanf:"with-parent" usage:"end with the process that holds the other end of the standard input"`

	role string
}

// defaults are the settings of a role before anything is read.
func defaults(role string) *settings {
	s := &settings{Node: config.Defaults(), role: role}
	s.Name = role
	s.Drain = 6 * time.Second
	switch role {
	case "master":
		s.Address = masterAddress
	case "chat":
		s.Address, s.Name = "127.0.0.1:3310", "backend"
	case "gate":
		s.Address = "127.0.0.1:3320"
		s.Clients.WebSocket = "127.0.0.1:3330"
		s.Clients.Resume = 30 * time.Second
	}
	return s
}

// Check says who keeps the list, as the role says that and not a setting, and what is wrong.
func (s *settings) Check() error {
	var wrong []error
	if s.Keeps {
		wrong = append(wrong, errors.New("cluster: keeps-list: the role says that: cluster master"))
	}
	if len(s.Etcd.Endpoints) == 0 {
		s.Keeps = s.role == "master"
		if !s.Keeps && s.Master == "" {
			s.Master = masterAddress
		}
	}
	if s.role == "gate" && s.Clients.WebSocket == "" {
		wrong = append(wrong, errors.New("cluster: clients.websocket: a gate needs it, for the page"))
	}
	if s.Drain == 0 {
		wrong = append(wrong, errors.New("cluster: drain: 0 leaves no time to move rooms and clients"))
	}
	if n := len(s.ConsoleToken); n > 0 && n < console.MinToken {
		wrong = append(wrong, fmt.Errorf("cluster: console-token: it has fewer than %d bytes", console.MinToken))
	}
	return errors.Join(append(wrong, s.Node.Check())...)
}

// options are what all nodes have in common.
func (s *settings) options() ([]nano.Option, error) {
	options, err := s.Options()
	if err != nil {
		return nil, err
	}
	options = append(options, nano.WithSerializer(json.NewSerializer()), nano.WithSignals(s.signals()...))
	if s.Master != "" {
		options = append(options, nano.WithAdvertiseAddr(s.Master, 500*time.Millisecond))
	}
	if len(s.Etcd.Endpoints) == 0 {
		return options, nil
	}
	tls, err := s.Etcd.TLS.Config()
	if err != nil {
		return nil, err
	}
	k, err := etcd.New(etcd.Config{
		Endpoints: s.Etcd.Endpoints, TLS: tls, Username: s.Etcd.Username, Password: string(s.Etcd.Password),
		Prefix: s.Etcd.Prefix, TTL: s.Etcd.TTL, Logger: s.Logger(),
	})
	if err != nil {
		return nil, err
	}
	return append(options, nano.WithKeeper(k)), nil
}

// signals end the node. Ctrl-C reaches all processes of a terminal, so one that ends with its
// parent leaves it to that.
func (s *settings) signals() []os.Signal {
	if s.WithParent {
		return []os.Signal{syscall.SIGTERM}
	}
	return []os.Signal{os.Interrupt, syscall.SIGTERM}
}

// reportEvery is how often each node tells the master's component how it is.
func (s *settings) reportEvery() time.Duration { return min(time.Second, s.Heartbeat/4) }

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/lonng/nano"
)

// local is a cluster in this process: nodes that know each other by their addresses only, as they
// would on machines of their own. An application is a value, so there is nothing in which they
// could be in each other's way.
type local struct {
	nodes []*localNode // the master first, the gates last
	bots  int
	round time.Duration
}

type localNode struct {
	conf *config
	app  *nano.App
}

var errNoNodes = errors.New("a cluster needs at least one gate and one backend")

// runLocal runs a cluster in this process until it is told to end.
func runLocal(ctx context.Context, out io.Writer, gates []string, backends, bots int, round time.Duration) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := startLocal(gates, backends, bots, round)
	if err != nil {
		return err
	}
	for _, n := range l.nodes {
		fmt.Fprintln(out, n.conf)
	}
	<-ctx.Done()
	return l.stop()
}

// startLocal starts a master, backends, and gates with these addresses for their pages.
func startLocal(gates []string, backends, bots int, round time.Duration) (*local, error) {
	if len(gates) == 0 || backends < 1 {
		return nil, errNoNodes
	}
	l := &local{bots: bots, round: round}
	master, err := l.add("master", "", "", func(c *config) (*nano.App, error) { return newMaster(c), nil })
	for i := 0; err == nil && i < backends; i++ {
		_, err = l.add(fmt.Sprint("backend ", i+1), master.conf.listen, "", func(c *config) (*nano.App, error) { return newRooms(c), nil })
	}
	for i := 0; err == nil && i < len(gates); i++ {
		_, err = l.add(fmt.Sprint("gate ", i+1), master.conf.listen, gates[i], newGate)
	}
	if err != nil {
		return nil, errors.Join(err, l.stop())
	}
	return l, nil
}

// add starts a node. It returns when the node is in the cluster.
func (l *local) add(name, master, page string, build func(*config) (*nano.App, error)) (*localNode, error) {
	c := &config{name: name, master: master, heartbeat: time.Second, bots: l.bots, round: l.round, flag: "gate-address"}
	if err := c.open("127.0.0.1:0", page, ""); err != nil {
		c.close()
		return nil, err
	}
	app, err := build(c)
	if err == nil {
		err = app.Start(context.Background())
	}
	if err != nil {
		c.close()
		return nil, err
	}
	n := &localNode{c, app}
	l.nodes = append(l.nodes, n)
	return n, nil
}

// stop ends all nodes, the master last.
func (l *local) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var errs []error
	for _, n := range slices.Backward(l.nodes) {
		errs = append(errs, n.app.Shutdown(ctx))
	}
	return errors.Join(errs...)
}

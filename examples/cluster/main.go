// Command cluster is a chat on several nodes: a master that keeps the list of nodes, backends that
// run the rooms, and gates to which browsers connect. Each is a process of its own, and any of them
// may be killed.
//
//	go run ./examples/cluster demo      # a master, two gates and two backends at once
//
// The same by hand, each in a terminal of its own; all need the same token:
//
//	export CLUSTER_TOKEN=$(openssl rand -hex 16)
//	cluster master
//	cluster chat
//	cluster gate
//
// With --etcd-endpoints 127.0.0.1:2379, the demo's too, etcd keeps the list instead of the master,
// which then only counts. Each setting can be a flag, a variable of the environment, or in a file;
// cluster gate --help lists them.
//
// nodes.go says what a node of each kind is made of. chat.go and room.go are the backend's
// component, gate.go the gate's, tally.go the master's; settings.go is what can be set; demo.go
// starts the others and watches over them.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/lonng/nano"
	"github.com/lonng/nano/contrib/config"
)

//go:embed page
var files embed.FS

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// announcement is what a node says when it serves: the addresses, as they were opened.
type announcement func(*nano.App) string

var errUsage = errors.New("usage: cluster demo|master|chat|gate [settings]; cluster gate --help lists the settings")

// run does what the command line says.
func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	switch role := args[0]; role {
	case "demo":
		return startDemo(ctx, args[1:])
	case "master":
		return runNode(ctx, role, args[1:], newMaster)
	case "chat":
		return runNode(ctx, role, args[1:], newChat)
	case "gate":
		return runNode(ctx, role, args[1:], newGate)
	}
	return errUsage
}

// runNode runs one node until it is told to end, and says where it is to be found.
func runNode(ctx context.Context, role string, args []string, build func(*settings) (*nano.App, announcement, error)) error {
	s := defaults(role)
	report, err := config.Parse(s, config.Source{Name: "cluster", Args: args})
	if err != nil {
		return err
	}
	if s.WithParent {
		signal.Ignore(os.Interrupt)
		var end context.CancelFunc
		ctx, end = context.WithCancel(ctx)
		defer end()
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // ends when the parent does, however that ends
			end()
		}()
	}
	s.Logger().Info("settings were read", "set", report)
	app, announce, err := build(s)
	if err != nil {
		return err
	}
	// The first task of the scheduler runs when the node has started.
	app.Scheduler().PushTask(func() { fmt.Printf("cluster: %s\n", announce(app)) })
	return app.Run(ctx)
}

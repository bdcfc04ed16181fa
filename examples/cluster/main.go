// Command cluster is a chat on several nodes: a master that keeps the list of nodes, backends that
// run the rooms, and gates to which browsers connect. Each is a process of its own, and any of them
// may be killed.
//
//	go run ./examples/cluster demo      # a master, two gates and two backends at once
//
// The same by hand, each in a terminal of its own:
//
//	cluster master
//	cluster chat
//	cluster gate
//
// nodes.go says what a node of each kind is made of. chat.go and room.go are the backend's
// component, gate.go the gate's, tally.go the master's; demo.go starts the others and watches over
// them.
package main

import (
	"context"
	"embed"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/lonng/nano"
)

//go:embed page
var files embed.FS

func main() {
	if err := program(os.Stdout, os.Stdin).Run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// config is what the flags say.
type config struct {
	listen    string       // where other nodes reach this one: its name in the cluster
	listener  net.Listener // open there
	master    string
	name      string // how people call this node
	token     string
	heartbeat time.Duration
	signals   []os.Signal // that end the node

	gateAddress   string // where browsers reach a gate
	tcpAddress    string // where other clients do
	proxies       []string
	proxyProtocol bool
	consoleToken  string // of the console at /console/; empty: there is none
}

// program returns the command line. What the nodes tell of themselves goes to out; parent is
// watched by nodes that a demo has started.
func program(out io.Writer, parent io.Reader) *cli.App {
	listen := func(addr string) cli.Flag {
		return &cli.StringFlag{Name: "listen", Aliases: []string{"l"}, Value: addr, Usage: "`ADDRESS` at which other nodes reach this one; port 0 takes a free one"}
	}
	name := func(is string) cli.Flag {
		return &cli.StringFlag{Name: "name", Value: is, Usage: "how people call this node"}
	}
	const masterAddress = "127.0.0.1:3300"
	master := &cli.StringFlag{Name: "master", Value: masterAddress, Usage: "`ADDRESS` of the master"}
	token := &cli.StringFlag{Name: "token", EnvVars: []string{"NANO_CLUSTER_TOKEN"}, Usage: "secret that all nodes share"}
	heartbeat := &cli.DurationFlag{Name: "heartbeat", Value: 5 * time.Second, Usage: "the same on all nodes: four missed, and a node is given up; also of the clients"}
	quiet := &cli.BoolFlag{Name: "quiet", Usage: "log no more than warnings"}
	withParent := &cli.BoolFlag{Name: "with-parent", Hidden: true, Usage: "end with the process that holds the other end of the standard input"}

	run := func(build func(config) (*nano.App, announcement, error)) cli.ActionFunc {
		return func(c *cli.Context) error { return runNode(c, out, parent, build) }
	}
	return &cli.App{
		Name:      "cluster",
		Usage:     "a chat on several nodes",
		Writer:    out,
		ErrWriter: out,
		Commands: []*cli.Command{
			{
				Name:   "master",
				Usage:  "keep the list of nodes, and count the users",
				Flags:  []cli.Flag{listen(masterAddress), name("master"), token, heartbeat, quiet, withParent},
				Action: run(newMaster),
			},
			{
				Name:   "chat",
				Usage:  "run the rooms",
				Flags:  []cli.Flag{listen("127.0.0.1:3310"), master, name("backend"), token, heartbeat, quiet, withParent},
				Action: run(newChat),
			},
			{
				Name:  "gate",
				Usage: "take clients, and serve the page",
				Flags: []cli.Flag{
					listen("127.0.0.1:3320"), master, name("gate"), token, heartbeat, quiet, withParent,
					&cli.StringFlag{Name: "gate-address", Value: "127.0.0.1:3330", Usage: "`ADDRESS` of the page and its WebSocket"},
					&cli.StringFlag{Name: "tcp-address", Usage: "`ADDRESS` for clients that speak the protocol on plain TCP"},
					&cli.StringSliceFlag{Name: "trusted-proxy", Usage: "IP address or prefix of a proxy whose word on a client's address is taken"},
					&cli.BoolFlag{Name: "proxy-protocol", Usage: "trusted proxies may send a PROXY header"},
					&cli.StringFlag{Name: "console-token", EnvVars: []string{"NANO_CONSOLE_TOKEN"}, Usage: "secret of 16 bytes or more of the console at /console/; empty: there is no console"},
				},
				Action: run(newGate),
			},
			{
				Name:  "demo",
				Usage: "start a master, two gates and two backends, each a process of its own",
				Flags: []cli.Flag{
					&cli.DurationFlag{Name: "restart", Value: 10 * time.Second, Usage: "after which a node that has ended is started again; 0: never"},
					&cli.DurationFlag{Name: "heartbeat", Value: time.Second, Usage: "of all nodes"},
				},
				Action: func(c *cli.Context) error {
					self, err := os.Executable()
					if err != nil {
						return err
					}
					return runDemo(c.Context, out, self, c.Duration("heartbeat"), c.Duration("restart"))
				},
			},
		},
	}
}

// runNode runs one node until it is told to end. Its flags are those of program.
func runNode(c *cli.Context, out io.Writer, parent io.Reader, build func(config) (*nano.App, announcement, error)) error {
	ctx := c.Context
	if c.Bool("with-parent") {
		signal.Ignore(os.Interrupt) // Ctrl-C reaches all processes of a terminal; this one is ended by its parent
		var end context.CancelFunc
		ctx, end = context.WithCancel(ctx)
		defer end()
		go func() {
			_, _ = io.Copy(io.Discard, parent) // ends when the parent does, however that ends
			end()
		}()
	}
	if c.Bool("quiet") {
		slog.SetLogLoggerLevel(slog.LevelWarn)
	}
	return serve(ctx, out, c, build)
}

// announcement is what a node says when it serves: the addresses, as they were opened.
type announcement func(*nano.App) string

// serve makes a node, runs it until it is told to end, and says where it is to be found.
func serve(ctx context.Context, out io.Writer, c *cli.Context, build func(config) (*nano.App, announcement, error)) error {
	conf := config{
		listen: c.String("listen"), master: c.String("master"), name: c.String("name"), token: c.String("token"),
		heartbeat: c.Duration("heartbeat"), gateAddress: c.String("gate-address"), tcpAddress: c.String("tcp-address"),
		signals: []os.Signal{os.Interrupt, syscall.SIGTERM},
		proxies: c.StringSlice("trusted-proxy"), proxyProtocol: c.Bool("proxy-protocol"),
		consoleToken: c.String("console-token"),
	}
	if c.Bool("with-parent") {
		conf.signals = conf.signals[1:]
	}
	l, err := net.Listen("tcp", conf.listen)
	if err != nil {
		return err
	}
	defer l.Close()
	conf.listener = l
	if conf.listen, err = withPort(conf.listen, l.Addr()); err != nil {
		return err
	}
	app, announce, err := build(conf)
	if err != nil {
		return err
	}
	// The first task of the scheduler runs when the node has started.
	app.Scheduler().PushTask(func() { fmt.Fprintf(out, "cluster: %s\n", announce(app)) })
	return app.Run(ctx)
}

// withPort returns addr with the port that was opened for it.
func withPort(addr string, opened net.Addr) (string, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(opened.String())
	return net.JoinHostPort(host, port), err
}

// Command arena is a game in real time: discs on a round platform that push each other over its
// rim. Run it, open the address that it prints in two windows or on a phone, and play.
//
//	go run ./examples/arena             # one node
//	go run ./examples/arena cluster     # a master, two backends and two gates, in one process
//
// The same as processes, each in a terminal of its own:
//
//	arena master
//	arena rooms
//	arena gate
//
// Where to begin to read: sim is the game itself, which knows nothing of a network. room.go runs
// one, on a scheduler of its own, twenty times a second; seat.go is what it knows of a player.
// play.go is what players may send to a room, hall.go lets them in and out. gate.go and tally.go
// make it a cluster, nodes.go says what a node is made of. wire.go is the two messages that are
// bytes. In page, net.js talks to all of that, predict.js plays ahead of it, and draw.js shows it.
package main

import (
	"embed"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/lonng/nano"
	"github.com/lonng/nano/examples/page"
)

//go:embed page
var files embed.FS

func main() {
	if err := program(os.Stdout).Run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "arena:", err)
		os.Exit(1)
	}
}

// program returns the command line. The addresses of pages go to out.
func program(out io.Writer) *cli.App {
	const masterAddress = "127.0.0.1:3350"
	listen := func(addr string) cli.Flag {
		return &cli.StringFlag{Name: "listen", Aliases: []string{"l"}, Value: addr, Usage: "`ADDRESS` at which other nodes reach this one; port 0 takes a free one"}
	}
	name := func(is string) cli.Flag {
		return &cli.StringFlag{Name: "name", Value: is, Usage: "how people call this node"}
	}
	master := &cli.StringFlag{Name: "master", Value: masterAddress, Usage: "`ADDRESS` of the master"}
	token := &cli.StringFlag{Name: "token", EnvVars: []string{"NANO_CLUSTER_TOKEN"}, Usage: "secret that all nodes share"}
	heartbeat := &cli.DurationFlag{Name: "heartbeat", Value: 5 * time.Second, Usage: "the same on all nodes: four missed, and a node is given up; also of the clients"}
	bots := &cli.IntFlag{Name: "bots", Value: 5, Usage: "fill each room with bots up to so many discs"}
	round := &cli.DurationFlag{Name: "round", Value: time.Minute, Usage: fmt.Sprintf("how long one is: %v to %v", minRound, maxRound)}
	tcp := &cli.StringFlag{Name: "tcp-address", Usage: "`ADDRESS` for clients that speak the protocol on plain TCP"}
	pageAddress := func(flag, addr string) cli.Flag {
		return &cli.StringFlag{Name: flag, Value: addr, Usage: "`ADDRESS` of the page and its WebSocket; port 0 takes a free one"}
	}
	return &cli.App{
		Name:      "arena",
		Usage:     "push the others over the rim",
		Writer:    out,
		ErrWriter: out,
		Flags:     []cli.Flag{pageAddress("addr", "127.0.0.1:3260"), name("arena"), tcp, heartbeat, bots, round},
		Action:    func(c *cli.Context) error { return runNode(c, out, "addr", newSingle) },
		Commands: []*cli.Command{
			{
				Name:  "cluster",
				Usage: "start a master, two backends and two gates in this process",
				Flags: []cli.Flag{
					&cli.StringSliceFlag{Name: "gate-address", Value: cli.NewStringSlice("127.0.0.1:3261", "127.0.0.1:3262"), Usage: "`ADDRESS` of each gate's page"},
					&cli.IntFlag{Name: "backends", Value: 2, Usage: "how many"},
					bots, round,
				},
				Action: func(c *cli.Context) error {
					slog.SetLogLoggerLevel(slog.LevelWarn) // five nodes at one terminal say too much otherwise
					if err := checkRound(c.Duration("round")); err != nil {
						return err
					}
					return runLocal(c.Context, out, c.StringSlice("gate-address"), c.Int("backends"), c.Int("bots"), c.Duration("round"))
				},
			},
			{
				Name:  "master",
				Usage: "keep the list of nodes, and of rooms",
				Flags: []cli.Flag{listen(masterAddress), name("master"), token, heartbeat},
				Action: func(c *cli.Context) error {
					return runNode(c, out, "", func(conf *config) (*nano.App, error) { return newMaster(conf), nil })
				},
			},
			{
				Name:  "rooms",
				Usage: "run rooms",
				Flags: []cli.Flag{listen("127.0.0.1:3360"), master, name("backend"), token, heartbeat, bots, round},
				Action: func(c *cli.Context) error {
					return runNode(c, out, "", func(conf *config) (*nano.App, error) { return newRooms(conf), nil })
				},
			},
			{
				Name:  "gate",
				Usage: "take clients, and serve the page",
				Flags: []cli.Flag{
					listen("127.0.0.1:3370"), master, name("gate"), token, heartbeat,
					pageAddress("gate-address", "127.0.0.1:3380"), tcp,
					&cli.StringSliceFlag{Name: "trusted-proxy", Usage: "IP address or prefix of a proxy whose word on a client's address is taken"},
				},
				Action: func(c *cli.Context) error { return runNode(c, out, "gate-address", newGate) },
			},
		},
	}
}

// runNode makes a node of what the flags say, says where it is to be found, and runs it until it is
// told to end. page is the flag with the address of its page, for nodes that have one.
func runNode(c *cli.Context, out io.Writer, page string, build func(*config) (*nano.App, error)) error {
	conf := &config{
		name: c.String("name"), master: c.String("master"), token: c.String("token"), heartbeat: c.Duration("heartbeat"), bots: c.Int("bots"), round: c.Duration("round"), flag: page,
		proxies: c.StringSlice("trusted-proxy"), signals: []os.Signal{os.Interrupt, syscall.SIGTERM},
	}
	if conf.round != 0 || c.IsSet("round") { // of a node that runs rooms
		if err := checkRound(conf.round); err != nil {
			return err
		}
	}
	defer conf.close()
	pages, tcp := "", ""
	if page != "" {
		pages, tcp = c.String(page), c.String("tcp-address")
	}
	if err := conf.open(c.String("listen"), pages, tcp); err != nil {
		return err
	}
	app, err := build(conf)
	if err != nil {
		return err
	}
	// The first task of the scheduler runs when the node has started.
	app.Scheduler().PushTask(func() { fmt.Fprintln(out, conf) })
	return app.Run(c.Context)
}

var errRound = fmt.Errorf("a round takes %v to %v: see --round", minRound, maxRound)

func checkRound(round time.Duration) error {
	if round < minRound || round > maxRound {
		return errRound
	}
	return nil
}

// open opens the addresses of a node; an empty one is none.
func (c *config) open(service, page, tcp string) error {
	for _, l := range []struct {
		addr string
		to   *net.Listener
	}{{service, &c.listener}, {page, &c.page}, {tcp, &c.tcp}} {
		if l.addr == "" {
			continue
		}
		opened, err := net.Listen("tcp", l.addr)
		if err != nil {
			return err
		}
		*l.to = opened
	}
	if c.listener == nil {
		return nil
	}
	host, _, err := net.SplitHostPort(service)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(c.listener.Addr().String())
	c.listen = net.JoinHostPort(host, port)
	return err
}

// close closes what open has opened. A node that has run has done so before.
func (c *config) close() {
	for _, l := range []net.Listener{c.listener, c.page, c.tcp} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// String says where the node is to be found.
func (c *config) String() string {
	s := c.name + ":"
	if c.listen != "" {
		s += " at " + c.listen
	}
	if c.page != nil {
		s += " open http://" + page.Address(c.page.Addr())
		if near := page.Nearby(c.page.Addr()); near != "" {
			s += " (on a phone: http://" + near + ")"
		}
	}
	if c.tcp != nil {
		s += " tcp " + c.tcp.Addr().String()
	}
	return s
}

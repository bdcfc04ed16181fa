// Command im is a messenger: channels with history, push for other systems, live rooms; on one
// machine or many.
//
//	go run ./examples/im                          # everything in one process, on an embedded database
//	go run ./examples/im --addr :8080 --data ./im # where it listens, and where it keeps what it must not lose
//
// node.go says what a node of each kind is made of, local.go how everything is one process;
// settings.go is what can be set.
// PROTOCOL.md is what clients say; docs/im.md tells how it works.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	setting "github.com/lonng/nano/contrib/config"
	"github.com/lonng/nano/examples/im/store"
)

func main() {
	if err := program(os.Stdout, os.Stdin).Run(withCommand(os.Args)); err != nil {
		fmt.Fprintln(os.Stderr, "im:", err)
		os.Exit(1)
	}
}

// config is what the settings say.
type config struct {
	addr, data string
	database   string // of PostgreSQL; empty: SQLite in the folder data
	apiKeys    []string
	names      bool
	liveTick   time.Duration
	liveRate   int
	retention  store.Retention
	proxies    []string
	writeDelay time.Duration

	jwtKeys, jwtIssuer, jwtAudience   string
	public                            string
	oidcIssuer, oidcID, oidcSecret    string
	githubURL, githubID, githubSecret string

	consoleToken      string
	quiet, withParent bool

	// Of nodes of several:
	listen, master, token string
	etcd                  setting.Etcd // keeps the list of nodes in the place of a master, if it has endpoints
	heartbeat, drain      time.Duration
}

// program returns the command line. What nodes tell of themselves goes to out; parent is watched by
// nodes that a demo has started. Nodes read their settings themselves: see settings.go.
func program(out io.Writer, parent io.Reader) *cli.App {
	one := func(role, usage string, run func(context.Context, config) error) *cli.Command {
		return &cli.Command{
			Name: role, Usage: usage + "; im " + role + " --help lists its settings", SkipFlagParsing: true,
			Action: func(c *cli.Context) error { return runNode(c.Context, role, c.Args().Slice(), parent, run) },
		}
	}
	several := func(role, usage string) *cli.Command {
		return one(role, usage, func(ctx context.Context, conf config) error {
			n, err := newNode(ctx, role, conf)
			if err != nil {
				return err
			}
			defer n.close()
			return n.run(ctx, out)
		})
	}
	return &cli.App{
		Name: "im", Usage: "a messenger", UsageText: "im [settings], or im command [settings]", Writer: out, ErrWriter: out,
		DisableSliceFlagSeparator: true, // a URL may hold a comma
		Commands: []*cli.Command{
			one(roleAll, "everything in one process (the default)", func(ctx context.Context, conf config) error {
				n, err := newLocal(ctx, conf)
				if err != nil {
					return err
				}
				defer n.close()
				return n.run(ctx, out)
			}),
			several(roleMaster, "keep the list of nodes"),
			several(roleLogic, "run channels"),
			several(roleGate, "take clients"),
			fillCommand(out),
			demoCommand(out),
			loadCommand(out),
		},
	}
}

// withCommand adds the default command to a command line that names none.
func withCommand(args []string) []string {
	if len(args) > 1 && (!strings.HasPrefix(args[1], "-") || args[1] == "--help" || args[1] == "-h") {
		return args
	}
	return slices.Insert(slices.Clone(args), 1, roleAll)
}

// runNode reads the settings of a node, says what they are, and runs it.
func runNode(ctx context.Context, role string, args []string, parent io.Reader, run func(context.Context, config) error) error {
	conf, report, err := read(role, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	}
	if conf.withParent {
		signal.Ignore(os.Interrupt) // Ctrl-C reaches all processes of a terminal; this one is ended by its parent
		var end context.CancelFunc
		ctx, end = context.WithCancel(ctx)
		defer end()
		go func() {
			_, _ = io.Copy(io.Discard, parent) // ends when the parent does, however that ends
			end()
		}()
	}
	if conf.quiet {
		slog.SetLogLoggerLevel(slog.LevelWarn)
	}
	slog.Info("settings were read", "set", report)
	if takesPeople := role == roleAll || role == roleGate; takesPeople && conf.names && !loopback(conf.addr) {
		slog.Warn("anybody can sign in as anybody: end it with --names=false, and another way to sign in", "addr", conf.addr)
	}
	return run(ctx, conf)
}

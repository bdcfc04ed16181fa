// Command im is a messenger: channels with history, push for other systems, live rooms; on one machine or many.
//
//	go run ./examples/im                          # everything in one process, on an embedded database
//	go run ./examples/im --addr :8080 --data ./im # where it listens, and where it keeps what it must not lose
//
// roles.go says what a node of each kind is made of, local.go how everything is one process. PROTOCOL.md is what clients
// say; docs/im.md tells how it works.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/urfave/cli/v2"
)

func main() {
	if err := program(os.Stdout).Run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "im:", err)
		os.Exit(1)
	}
}

// config is what the flags say.
type config struct {
	addr, data string
	apiKeys    []string
	names      bool
	quiet      bool
	liveTick   time.Duration
	liveRate   int
}

// program returns the command line. What nodes tell of themselves goes to out.
func program(out io.Writer) *cli.App {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "addr", Value: "127.0.0.1:3250", EnvVars: []string{"IM_ADDR"}, Usage: "`ADDRESS` of the page, of clients and of the HTTP interface; port 0 takes a free one"},
		&cli.StringFlag{Name: "data", Value: "im-data", EnvVars: []string{"IM_DATA"}, Usage: "`FOLDER` of the embedded database; it is made if it does not exist"},
		&cli.StringSliceFlag{Name: "api-key", EnvVars: []string{"IM_API_KEY"}, Usage: "`KEY` for the HTTP interface of other systems; without one nobody may use it"},
		&cli.BoolFlag{Name: "names", Value: true, EnvVars: []string{"IM_NAMES"}, Usage: "let people sign in by any name: for development"},
		&cli.DurationFlag{Name: "live-tick", Value: 500 * time.Millisecond, Usage: "live rooms are told so often, 100 ms to 1 s"},
		&cli.IntFlag{Name: "live-rate", Value: 30, Usage: "messages a second that a live room shows, 0: all"},
		&cli.BoolFlag{Name: "quiet", Usage: "log no more than warnings"},
	}
	action := func(c *cli.Context) error {
		conf := config{addr: c.String("addr"), data: c.String("data"), apiKeys: c.StringSlice("api-key"), names: c.Bool("names"), quiet: c.Bool("quiet"),
			liveTick: c.Duration("live-tick"), liveRate: c.Int("live-rate")}
		if conf.liveTick < 100*time.Millisecond || conf.liveTick > time.Second {
			return errors.New("live-tick must be 100 ms to 1 s")
		}
		if conf.quiet {
			slog.SetLogLoggerLevel(slog.LevelWarn)
		}
		return runAll(c.Context, conf, out)
	}
	return &cli.App{
		Name: "im", Usage: "a messenger", Writer: out, ErrWriter: out, Flags: flags, Action: action,
		Commands: []*cli.Command{{Name: "all", Usage: "everything in one process (the default)", Flags: flags, Action: action}},
	}
}

// runAll runs everything in one process until ctx ends or the process is told to stop.
func runAll(ctx context.Context, conf config, out io.Writer) error {
	n, err := newLocal(ctx, conf)
	if err != nil {
		return err
	}
	defer n.close()
	return n.run(ctx, out)
}

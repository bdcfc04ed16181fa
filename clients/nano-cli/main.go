// Command nano-cli talks to servers of the nano framework from a terminal: it explains bytes
// (decode), is a client at a prompt (connect), makes load (bots), tells what a server takes and
// answers (describe), and writes typed clients for it (gen).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"
)

// Exit statuses beside 0.
const (
	statusFailed = 1 // what was asked for did not succeed: bytes are wrong, a command failed, a threshold was missed
	statusUsage  = 2 // what was asked for makes no sense
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() { // a second Ctrl-C ends at once
		<-ctx.Done()
		stop()
	}()
	os.Exit(run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// usageError is input that makes no sense.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

func usagef(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

// run is the whole program. It returns the exit status.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	onUsage := func(_ *cli.Context, err error, _ bool) error { return usage(err) }
	app := &cli.App{
		Name:                      "nano-cli",
		Usage:                     "explain, drive and load servers of the nano framework",
		Reader:                    in,
		Writer:                    out,
		ErrWriter:                 errs,
		Commands:                  []*cli.Command{decodeCommand(), connectCommand(), botsCommand(), describeCommand(), genCommand()},
		EnableBashCompletion:      true,
		DisableSliceFlagSeparator: true, // payloads hold commas
		OnUsageError:              onUsage,
		ExitErrHandler:            func(*cli.Context, error) {},
		CommandNotFound:           func(*cli.Context, string) {},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("no such command: %q; there are decode, connect, bots, describe and gen", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, c := range app.Commands {
		c.OnUsageError = onUsage
		for _, sub := range c.Subcommands {
			sub.OnUsageError = onUsage
		}
	}
	err := app.RunContext(ctx, args)
	if err == nil {
		return 0
	}
	fmt.Fprintf(errs, "nano-cli: %v\n", err)
	if errors.As(err, new(usageError)) {
		return statusUsage
	}
	return statusFailed
}

// terminal returns the file under what is a terminal.
func terminal(v any, is func(fd int) bool) (*os.File, bool) {
	f, ok := v.(*os.File)
	return f, ok && is(int(f.Fd()))
}

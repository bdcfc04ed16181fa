package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/lonng/nano/clients/nano-cli/internal/bots"
)

func botsCommand() *cli.Command {
	return &cli.Command{
		Name:      "bots",
		Usage:     "make load and measure it",
		ArgsUsage: "[URL]",
		Description: "What the bots do comes from a scenario file, from flags, or both: flags win. Payloads are templates:\n" +
			"{{.Bot}}, {{.Bots}}, {{.N}}, {{rand 6}}, {{letters 20}}, {{now}}. Exit status 1: a threshold was missed, no\n" +
			"connection was made, all were lost, or all messages of a step failed.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "scenario", Aliases: []string{"s"}, Usage: "YAML `FILE`"},
			&cli.IntFlag{Name: "connections", Aliases: []string{"c"}, Usage: "how many (default: 1)"},
			&cli.DurationFlag{Name: "ramp", Usage: "`TIME` over which they are opened"},
			&cli.DurationFlag{Name: "duration", Aliases: []string{"t"}, Usage: "`TIME` of the load after that (default: 10s)"},
			&cli.DurationFlag{Name: "timeout", Usage: "`TIME` for connecting and for a request (default: 5s)"},
			&cli.StringSliceFlag{Name: "request", Aliases: []string{"r"}, Usage: "`\"ROUTE [PAYLOAD]\"` that each bot sends; can be repeated"},
			&cli.StringSliceFlag{Name: "notify", Aliases: []string{"n"}, Usage: "the same, without an answer"},
			&cli.StringSliceFlag{Name: "setup", Usage: "request that each bot sends once, first"},
			&cli.Float64Flag{Name: "rate", Usage: "messages a second of each step and bot; 0: the next when the last was answered (default: 1)"},
			&cli.IntFlag{Name: "in-flight", Usage: "requests of a step and bot that may wait for answers (default: 1)"},
			&cli.StringFlag{Name: "user", Usage: "`JSON` that the handshake carries as user"},
			&cli.DurationFlag{Name: "max-p50", Usage: "threshold: `TIME` of half the requests"},
			&cli.DurationFlag{Name: "max-p90", Usage: "threshold: `TIME` of 90% of the requests"},
			&cli.DurationFlag{Name: "max-p95", Usage: "threshold: `TIME` of 95% of the requests"},
			&cli.DurationFlag{Name: "max-p99", Usage: "threshold: `TIME` of 99% of the requests"},
			&cli.DurationFlag{Name: "max-p999", Usage: "threshold: `TIME` of 99.9% of the requests"},
			&cli.StringFlag{Name: "max-errors", Usage: "threshold: `NUMBER` of errors, or their share such as 0.1%"},
			&cli.Float64Flag{Name: "min-rate", Usage: "threshold: answers a second"},
			&cli.BoolFlag{Name: "json", Usage: "write the report as JSON"},
		}, dialFlags()...),
		Action: runBots,
	}
}

func runBots(c *cli.Context) error {
	sc, err := scenario(c)
	if err != nil {
		return err
	}
	opts, err := dialOptions(c)
	if err != nil {
		return err
	}
	if err := sc.Check(); err != nil {
		return usage(err)
	}
	runner := bots.Runner{Scenario: sc, Options: opts}
	if f, ok := terminal(c.App.ErrWriter, term.IsTerminal); ok {
		runner.Progress = progress(f)
	}
	report, err := runner.Run(c.Context)
	if runner.Progress != nil {
		fmt.Fprint(c.App.ErrWriter, "\r\x1b[K") // the bar's line
	}
	if err != nil {
		return err
	}
	write := report.Text
	if c.Bool("json") {
		write = report.JSON
	}
	if err := write(c.App.Writer); err != nil {
		return fmt.Errorf("bots: %w", err)
	}
	failed := report.Problems
	if !report.OK {
		failed = append([]string{"thresholds were missed"}, failed...)
	}
	if len(failed) > 0 {
		return errors.New("bots: " + strings.Join(failed, "; "))
	}
	return nil
}

// scenario is the file's with the flags over it.
func scenario(c *cli.Context) (*bots.Scenario, error) {
	sc := new(bots.Scenario)
	if file := c.String("scenario"); file != "" {
		var err error
		if sc, err = bots.Load(file); err != nil {
			return nil, usage(err)
		}
	}
	switch c.NArg() {
	case 0:
	case 1:
		sc.URL = c.Args().First()
	default:
		return nil, usagef("bots takes one URL, after all flags; here are %q", c.Args().Slice())
	}
	if sc.URL == "" {
		return nil, usagef("there is no URL: nano-cli bots [flags] URL")
	}
	if err := checkURL(sc.URL); err != nil {
		return nil, err
	}
	if c.IsSet("connections") {
		if sc.Connections = c.Int("connections"); sc.Connections < 1 {
			return nil, usagef("--connections %d is less than 1", sc.Connections)
		}
	}
	for name, to := range map[string]*bots.Duration{"ramp": &sc.Ramp, "duration": &sc.Duration, "timeout": &sc.Timeout} {
		if c.IsSet(name) {
			*to = bots.Duration(c.Duration(name))
		}
	}
	if c.IsSet("user") {
		sc.User = bots.Text(c.String("user"))
	}
	if c.IsSet("rate") {
		rate := c.Float64("rate")
		sc.Rate = &rate
	}
	steps(c, sc)
	t := &sc.Thresholds
	for name, to := range map[string]**bots.Duration{
		"max-p50": &t.MaxP50, "max-p90": &t.MaxP90, "max-p95": &t.MaxP95, "max-p99": &t.MaxP99, "max-p999": &t.MaxP999,
	} {
		if c.IsSet(name) {
			d := bots.Duration(c.Duration(name))
			*to = &d
		}
	}
	if c.IsSet("max-errors") {
		t.MaxErrors = c.String("max-errors")
	}
	if c.IsSet("min-rate") {
		rate := c.Float64("min-rate")
		t.MinRate = &rate
	}
	return sc, nil
}

// steps takes over the messages of the flags: those of one kind replace the file's.
func steps(c *cli.Context, sc *bots.Scenario) {
	if c.IsSet("setup") {
		sc.Setup = nil
		for _, text := range c.StringSlice("setup") {
			sc.Setup = append(sc.Setup, bots.ParseStep(text, true))
		}
	}
	if c.IsSet("request") || c.IsSet("notify") {
		sc.Steps = nil
		for _, text := range c.StringSlice("request") {
			sc.Steps = append(sc.Steps, bots.ParseStep(text, true))
		}
		for _, text := range c.StringSlice("notify") {
			sc.Steps = append(sc.Steps, bots.ParseStep(text, false))
		}
	}
	if c.IsSet("in-flight") {
		for i := range sc.Steps {
			sc.Steps[i].InFlight = c.Int("in-flight")
		}
	}
}

// progress draws a bar.
func progress(w io.Writer) func(bots.Progress) {
	const steps = 1000
	bar := progressbar.NewOptions(steps,
		progressbar.OptionSetWriter(w), progressbar.OptionSetPredictTime(false), progressbar.OptionSetWidth(30),
		progressbar.OptionSetElapsedTime(false), progressbar.OptionSetRenderBlankState(true))
	var last bots.Progress
	return func(p bots.Progress) {
		rate := 0.0
		if d := p.Elapsed - last.Elapsed; d > 0 {
			rate = float64(p.Answered-last.Answered+p.Notified-last.Notified) / d.Seconds()
		}
		last = p
		bar.Describe(fmt.Sprintf("%v of %v, %d connected, %.0f/s, %d errors",
			p.Elapsed.Round(time.Second), p.Total, p.Connected, rate, p.Errors))
		_ = bar.Set(min(int(steps*p.Elapsed.Seconds()/max(p.Total.Seconds(), 0.001)), steps-1)) // a bar that cannot be drawn
	}
}

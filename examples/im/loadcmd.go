package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/lonng/nano/examples/im/load"
)

// loadFlags are those of all trials.
func loadFlags(people int, more ...cli.Flag) []cli.Flag {
	return append([]cli.Flag{
		&cli.StringSliceFlag{Name: "url", Value: cli.NewStringSlice("http://127.0.0.1:3250"), Usage: "`URL` of a gate; it may be given more than once"},
		&cli.StringSliceFlag{Name: "server", Usage: "`URL` of a node whose processor time and memory count; the gates without it"},
		&cli.StringFlag{Name: "api-key", EnvVars: []string{"IM_API_KEY"}, Usage: "`KEY` of the HTTP interface"},
		&cli.IntFlag{Name: "people", Value: people, Usage: "how many people"},
		&cli.DurationFlag{Name: "for", Value: 20 * time.Second, Usage: "how long it takes"},
		&cli.BoolFlag{Name: "json", Usage: "print the result as JSON"},
	}, more...)
}

// trial makes the action of a trial. Its result, and whether it has found a fault, is printed.
func trial(out io.Writer, run func(ctx context.Context, c *cli.Context, conf load.Config, progress func(string)) (result any, faults int, err error)) cli.ActionFunc {
	return func(c *cli.Context) error {
		conf := load.Config{
			URLs: c.StringSlice("url"), Servers: c.StringSlice("server"), APIKey: c.String("api-key"), People: c.Int("people"), For: c.Duration("for"), Rate: c.Float64("rate"),
		}
		if len(conf.URLs) == 0 || conf.People < 1 {
			return cli.Exit("im: load needs a URL, and people", 2)
		}
		asJSON := c.Bool("json")
		result, faults, err := run(c.Context, c, conf, func(what string) {
			if !asJSON {
				fmt.Fprintln(out, "im:", what)
			}
		})
		if err != nil {
			return err
		}
		if asJSON {
			err = json.NewEncoder(out).Encode(result)
		} else {
			fmt.Fprintln(out, "im:", result)
		}
		if faults > 0 {
			return cli.Exit("im: there are faults", 1)
		}
		return err
	}
}

// loadCommand plays people against a messenger that runs.
func loadCommand(out io.Writer) *cli.Command {
	talk := loadFlags(1000,
		&cli.IntFlag{Name: "groups", Value: 100, Usage: "in how many groups they are"},
		&cli.Float64Flag{Name: "rate", Usage: "messages a second of all together; 0: as fast as they are acknowledged"},
		&cli.Float64Flag{Name: "leave", Usage: "share of the people who go and come"},
		&cli.BoolFlag{Name: "check", Usage: "compare the store with what was acknowledged and heard"})
	room := loadFlags(10_000,
		&cli.StringFlag{Name: "room", Value: "live", Usage: "`ID` of the room"},
		&cli.Float64Flag{Name: "rate", Value: 300, Usage: "messages a second of all together"})
	push := loadFlags(10_000, &cli.IntFlag{Name: "users", Value: 100_000, Usage: "to how many users"})
	return &cli.Command{
		Name: "load", Usage: "play people who talk, and check that nothing is lost", Flags: talk,
		Action: trial(out, func(ctx context.Context, c *cli.Context, conf load.Config, progress func(string)) (any, int, error) {
			conf.Groups, conf.Leave, conf.Check = c.Int("groups"), c.Float64("leave"), c.Bool("check")
			if conf.Groups < 1 || conf.People < conf.Groups {
				return nil, 0, cli.Exit("im: load needs at least one person for each group", 2)
			}
			r, err := load.Run(ctx, conf, progress)
			if err != nil {
				return nil, 0, err
			}
			return r, len(r.Faults), nil
		}),
		Subcommands: []*cli.Command{
			{Name: "room", Usage: "fill a live room of a messenger that shows all (--live-rate 0)", Flags: room, Action: trial(out, func(ctx context.Context, c *cli.Context, conf load.Config, progress func(string)) (any, int, error) {
				r, err := load.Room(ctx, conf, c.String("room"), progress)
				if err != nil {
					return nil, 0, err
				}
				return r, len(r.Faults), nil
			})},
			{Name: "push", Usage: "push to very many users", Flags: push, Action: trial(out, func(ctx context.Context, c *cli.Context, conf load.Config, progress func(string)) (any, int, error) {
				r, err := load.Push(ctx, conf, c.Int("users"), progress)
				return r, 0, err
			})},
			{Name: "idle", Usage: "have people come who do nothing", Flags: loadFlags(10_000), Action: trial(out, func(ctx context.Context, _ *cli.Context, conf load.Config, progress func(string)) (any, int, error) {
				r, err := load.Idle(ctx, conf, progress)
				return r, 0, err
			})},
		},
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/lonng/nano/examples/im/load"
)

// loadCommand plays people against a messenger that runs.
func loadCommand(out io.Writer) *cli.Command {
	return &cli.Command{
		Name: "load", Usage: "play people who talk, and check that nothing is lost",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "url", Value: cli.NewStringSlice("http://127.0.0.1:3250"), Usage: "`URL` of a gate; it may be given more than once"},
			&cli.StringFlag{Name: "api-key", EnvVars: []string{"IM_API_KEY"}, Usage: "`KEY` with which groups are made"},
			&cli.IntFlag{Name: "people", Value: 1000, Usage: "how many people"},
			&cli.IntFlag{Name: "groups", Value: 100, Usage: "in how many groups they are"},
			&cli.Float64Flag{Name: "rate", Usage: "messages a second of all together; 0: as fast as they are acknowledged"},
			&cli.DurationFlag{Name: "for", Value: 20 * time.Second, Usage: "how long they talk"},
			&cli.Float64Flag{Name: "leave", Usage: "share of the people who go and come"},
			&cli.BoolFlag{Name: "check", Usage: "compare the store with what was acknowledged and heard"},
			&cli.BoolFlag{Name: "json", Usage: "print the result as JSON"},
		},
		Action: func(c *cli.Context) error {
			conf := load.Config{
				URLs: c.StringSlice("url"), APIKey: c.String("api-key"), People: c.Int("people"), Groups: c.Int("groups"), Rate: c.Float64("rate"),
				For: c.Duration("for"), Leave: c.Float64("leave"), Check: c.Bool("check"),
			}
			if len(conf.URLs) == 0 || conf.Groups < 1 || conf.People < conf.Groups {
				return cli.Exit("im: load needs a URL, and at least one person for each group", 2)
			}
			asJSON := c.Bool("json")
			r, err := load.Run(c.Context, conf, func(what string) {
				if !asJSON {
					fmt.Fprintln(out, "im:", what)
				}
			})
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(out).Encode(r)
			} else {
				fmt.Fprintln(out, "im:", r)
			}
			if len(r.Faults) > 0 {
				return cli.Exit("im: messages were lost", 1)
			}
			return err
		},
	}
}

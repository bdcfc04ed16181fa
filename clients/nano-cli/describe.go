package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/lonng/nano/clients/nano-cli/internal/gen"
	"github.com/lonng/nano/describe"
)

const sources = "A SOURCE is the address of a description (http:// or https://; see nano.DescribeHandler), a file, or - for\n" +
	"standard input. Those of several nodes are joined."

func describeCommand() *cli.Command {
	return &cli.Command{
		Name:        "describe",
		Usage:       "tell what a server takes and answers: routes and types",
		ArgsUsage:   "SOURCE...",
		Description: sources,
		Flags:       append([]cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON, with JSON Schemas"}}, sourceFlags()...),
		Action: func(c *cli.Context) error {
			d, err := description(c)
			if err != nil {
				return err
			}
			if !c.Bool("json") {
				_, err := io.WriteString(c.App.Writer, gen.Text(d))
				return err
			}
			enc := json.NewEncoder(c.App.Writer)
			enc.SetIndent("", "  ")
			return enc.Encode(d)
		},
	}
}

func genCommand() *cli.Command {
	return &cli.Command{
		Name:  "gen",
		Usage: "write typed clients from what a server takes and answers",
		Subcommands: []*cli.Command{
			genSubcommand("ts", "types for nano-websocket-client, the client for JavaScript",
				&cli.StringFlag{Name: "name", Value: "Routes", Usage: "`NAME` of the interface that connect<NAME>() takes"},
				func(c *cli.Context, d *describe.Description) ([]byte, error) {
					return gen.TypeScript(d, c.String("name"))
				}),
			genSubcommand("go", "a package of functions over clients/client",
				&cli.StringFlag{Name: "package", Value: "routes", Usage: "`NAME` of the package"},
				func(c *cli.Context, d *describe.Description) ([]byte, error) { return gen.Go(d, c.String("package")) }),
		},
	}
}

func genSubcommand(name, what string, flag cli.Flag, write func(*cli.Context, *describe.Description) ([]byte, error)) *cli.Command {
	return &cli.Command{
		Name:        name,
		Usage:       what,
		ArgsUsage:   "SOURCE...",
		Description: sources,
		Flags:       append([]cli.Flag{flag, &cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "write `FILE`, not standard output"}}, sourceFlags()...),
		Action: func(c *cli.Context) error {
			d, err := description(c)
			if err != nil {
				return err
			}
			code, err := write(c, d)
			if err != nil {
				return fmt.Errorf("gen %s: %w", name, err)
			}
			if c.String("out") == "" {
				_, err = c.App.Writer.Write(code)
				return err
			}
			return os.WriteFile(c.String("out"), code, 0o644) //nolint:gosec // source code
		},
	}
}

func sourceFlags() []cli.Flag {
	return []cli.Flag{&cli.StringSliceFlag{Name: "header", Aliases: []string{"H"}, Usage: "`NAME:VALUE` of requests, such as Authorization:Bearer…; can be repeated"}}
}

// maxDescription is the most that is read of one source, in bytes.
const maxDescription = 64 << 20

// description reads what the arguments name.
func description(c *cli.Context) (*describe.Description, error) {
	if !c.Args().Present() {
		return nil, usagef("%s needs at least one SOURCE, after all flags", c.Command.FullName())
	}
	header, err := headers(c)
	if err != nil {
		return nil, err
	}
	var all []*describe.Description
	for _, source := range c.Args().Slice() {
		text, err := readSource(c, source, header)
		if err != nil {
			return nil, err
		}
		d := new(describe.Description)
		if err := json.Unmarshal(text, d); err != nil {
			return nil, fmt.Errorf("%s: it is no description: %w", source, err)
		}
		if d.Format == 0 {
			return nil, fmt.Errorf("%s: it is no description: it has no format", source)
		}
		if err := gen.Check(d); err != nil {
			return nil, fmt.Errorf("%s: %w", source, err)
		}
		all = append(all, d)
	}
	return describe.Merge(all...)
}

func readSource(c *cli.Context, source string, header http.Header) ([]byte, error) {
	switch {
	case source == "-":
		return io.ReadAll(io.LimitReader(c.App.Reader, maxDescription))
	case !strings.HasPrefix(source, "http://") && !strings.HasPrefix(source, "https://"):
		text, err := os.ReadFile(source) //nolint:gosec // who calls the program names the file
		return text, usage(err)
	}
	req, err := http.NewRequestWithContext(c.Context, http.MethodGet, source, nil)
	if err != nil {
		return nil, usage(err)
	}
	req.Header = header
	client := http.Client{Timeout: 30 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", source, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxDescription))
}

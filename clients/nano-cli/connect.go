package main

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/clients/nano-cli/internal/connect"
	"github.com/lonng/nano/clients/nano-cli/internal/payload"
)

func connectCommand() *cli.Command {
	return &cli.Command{
		Name:      "connect",
		Usage:     "be a client, at a prompt or by a script through a pipe",
		ArgsUsage: "URL",
		Description: "URL begins with tcp://, tls://, ws:// or wss://. At the prompt, help lists the commands, Tab\n" +
			"completes routes. Through a pipe, one command a line; exit status 1: a command failed.",
		Flags: append([]cli.Flag{
			&cli.DurationFlag{Name: "timeout", Value: 15 * time.Second, Usage: "`TIME` for a request"},
			&cli.StringSliceFlag{Name: "on", Usage: "show the pushes of `ROUTE` from the first on; * is all"},
			&cli.BoolFlag{Name: "frames", Usage: "show every packet, byte by byte"},
			&cli.BoolFlag{Name: "hex", Usage: "show payloads in hex too"},
			&cli.BoolFlag{Name: "raw", Usage: "show payloads as they came"},
			&cli.BoolFlag{Name: "reconnect", Usage: "connect again when the connection is lost"},
			&cli.StringFlag{Name: "history", Value: historyFile(), Usage: "`FILE` of the prompt's history; empty for none"},
			&cli.StringFlag{Name: "user", Usage: "`JSON` that the handshake carries as user"},
		}, dialFlags()...),
		Action: runConnect,
	}
}

// dialFlags are those of all commands that connect.
func dialFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "header", Aliases: []string{"H"}, Usage: "`NAME:VALUE` of the WebSocket's request; can be repeated"},
		&cli.BoolFlag{Name: "insecure", Usage: "take any certificate"},
		&cli.BoolFlag{Name: "gzip", Usage: "accept payloads compressed with gzip"},
	}
}

func dialOptions(c *cli.Context) ([]client.Option, error) {
	var opts []client.Option
	header, err := headers(c)
	if err != nil {
		return nil, err
	}
	if len(header) > 0 {
		opts = append(opts, client.WithHeader(header))
	}
	if c.Bool("insecure") {
		opts = append(opts, client.WithTLSConfig(&tls.Config{InsecureSkipVerify: true})) //nolint:gosec // what the flag is for
	}
	if c.Bool("gzip") {
		opts = append(opts, client.WithGzip(), client.WithBatch())
	}
	return opts, nil
}

// headers reads the flag header.
func headers(c *cli.Context) (http.Header, error) {
	header := make(http.Header)
	for _, h := range c.StringSlice("header") {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, usagef("--header %q is not NAME:VALUE", h)
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return header, nil
}

func checkURL(url string) error {
	for _, scheme := range []string{"tcp://", "tls://", "ws://", "wss://"} {
		if strings.HasPrefix(url, scheme) {
			return nil
		}
	}
	return usagef("%q does not begin with tcp://, tls://, ws:// or wss://", url)
}

func historyFile() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "nano-cli-history")
}

func runConnect(c *cli.Context) error {
	if c.NArg() != 1 {
		return usagef("connect needs one URL, after all flags: nano-cli connect [flags] URL")
	}
	if err := checkURL(c.Args().First()); err != nil {
		return err
	}
	if c.Duration("timeout") <= 0 {
		return usagef("--timeout %v is not above 0", c.Duration("timeout"))
	}
	opts, err := dialOptions(c)
	if err != nil {
		return err
	}
	if user := c.String("user"); user != "" {
		if err := payload.CheckJSON(user); err != nil {
			return usagef("--user: %w", err)
		}
		opts = append(opts, client.WithUser(json.RawMessage(user)))
	}
	if c.Bool("reconnect") {
		opts = append(opts, client.WithReconnect(client.Reconnect{}))
	}
	s := connect.New(connect.Config{
		URL: c.Args().First(), Options: opts, Timeout: c.Duration("timeout"), Frames: c.Bool("frames"), Hex: c.Bool("hex"),
		Raw: c.Bool("raw"), Listen: c.StringSlice("on"), History: c.String("history"),
	}, c.App.Writer)
	if err := s.Connect(c.Context); err != nil {
		return err
	}
	defer s.Close()
	if in, ok := terminal(c.App.Reader, term.IsTerminal); ok {
		return s.Interactive(c.Context, in, c.App.Writer)
	}
	return s.Script(c.Context, c.App.Reader)
}

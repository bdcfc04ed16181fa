package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/lonng/nano/clients/nano-cli/internal/decode"
)

func decodeCommand() *cli.Command {
	return &cli.Command{
		Name:      "decode",
		Usage:     "explain every byte of packets or of a message",
		ArgsUsage: "[HEX...]",
		Description: "Reads hex from the arguments, or else from a file or standard input: hex, raw bytes, or a capture of tcpdump\n" +
			"or Wireshark (pcap, pcapng) with both sides of TCP connections, WebSockets included.\n" +
			"Exit status 1: something in the bytes is wrong.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "read `FILE`; - is standard input"},
			&cli.StringFlag{Name: "format", Value: "auto", Usage: "auto, hex, raw or pcap: what the file holds"},
			&cli.IntFlag{Name: "port", Aliases: []string{"p"}, Usage: "of a capture: only connections to this `PORT`"},
			&cli.BoolFlag{Name: "message", Aliases: []string{"m"}, Usage: "the bytes are one message, without packets around it"},
			&cli.StringSliceFlag{Name: "dict", Aliases: []string{"d"}, Usage: "`ROUTE=CODE` of the dictionary, or @FILE with JSON; can be repeated"},
			&cli.IntFlag{Name: "max", Usage: "limit of a packet's body in `BYTES` (default: what a head can say)"},
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "show long bodies whole"},
		},
		Action: runDecode,
	}
}

func runDecode(c *cli.Context) error {
	dict, err := decode.Dictionary(c.StringSlice("dict"))
	if err != nil {
		return usage(err)
	}
	if c.Int("max") < 0 {
		return usagef("--max %d is negative", c.Int("max"))
	}
	if c.Int("port") < 0 || c.Int("port") > 65535 {
		return usagef("--port %d is not from 0 to 65535", c.Int("port"))
	}
	data, capture, err := decodeInput(c)
	if err != nil {
		return usage(err)
	}
	out := bufio.NewWriter(c.App.Writer)
	x := decode.Explainer{Out: out, Dictionary: dict, MaxBody: c.Int("max"), All: c.Bool("all")}
	explain := x.Packets
	switch {
	case capture && c.Bool("message"):
		return usagef("a capture holds connections, not one message")
	case capture:
		explain = func(data []byte) error { return x.Capture(data, c.Int("port")) }
	case c.Bool("message"):
		explain = x.Message
	}
	err = explain(data)
	if flushed := out.Flush(); flushed != nil {
		return fmt.Errorf("decode: %w", flushed)
	}
	if err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return nil
}

// decodeInput returns the bytes, and whether they are a capture.
func decodeInput(c *cli.Context) (data []byte, capture bool, err error) {
	file := c.String("file")
	if c.Args().Present() {
		if file != "" {
			return nil, false, fmt.Errorf("there is hex in the arguments and a file, %s: only one can be read", file)
		}
		if c.Args().Len() != 1 || c.Args().First() != "-" {
			data, err = decode.Hex(strings.Join(c.Args().Slice(), " "))
			return data, false, err
		}
		file = "-"
	}
	if file == "" || file == "-" {
		data, err = io.ReadAll(c.App.Reader)
	} else {
		data, err = os.ReadFile(file) //nolint:gosec // the user names the file
	}
	if err != nil {
		return nil, false, err
	}
	return decode.Input(data, c.String("format"))
}

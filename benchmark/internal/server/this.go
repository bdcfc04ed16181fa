//go:build !peer

package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/lonng/nano"
)

// serve runs the server on the API of this checkout, at ports that the system chooses.
func serve(c Config, options []nano.Option) error {
	slog.SetLogLoggerLevel(slog.LevelError)
	options = append(options, nano.WithWriteDelay(c.Merge), nano.WithShutdownTimeout(time.Second))
	options = append(options, transport(c.Transport)...)
	if c.Role == "single" || c.Role == "gate" {
		e := nano.Endpoint{Addr: "127.0.0.1:0", WebSocket: c.WebSocket}
		if c.WebSocket {
			e.Path = "/nano"
		}
		options = append(options, nano.WithEndpoint(e))
	}
	addr := ""
	if c.Role != "single" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		addr = l.Addr().String()
		options = append(options, nano.WithServiceListener(l))
		if c.Role == "master" {
			options = append(options, nano.WithMaster())
		} else {
			options = append(options, nano.WithAdvertiseAddr(c.Master, 100*time.Millisecond))
		}
	}
	app := nano.New(addr, options...)
	if err := app.Start(context.Background()); err != nil {
		return err
	}
	if c.Role == "single" || c.Role == "gate" {
		fmt.Println("serves", app.Addr())
	} else {
		fmt.Println("serves", addr)
	}
	if c.Role != "single" {
		for len(app.Members()) < 2 { // a master, a backend and a gate
			time.Sleep(10 * time.Millisecond)
		}
	}
	fmt.Println("knows all")
	obey()
	return nil
}

// transport is the option for a transport by its name; none for the default.
func transport(name string) []nano.Option {
	switch name {
	case "portable":
		return []nano.Option{nano.WithTransport(nano.Portable)}
	case "loop":
		return []nano.Option{nano.WithTransport(nano.EventLoop)}
	}
	return nil
}

// Transports returns the names of the transports that a server can be told to use.
func Transports() []string { return []string{"portable", "loop"} }

//go:build peer

package server

import (
	"fmt"
	"net"
	"time"

	"github.com/lonng/nano"
)

// serve runs the server on another checkout of the API. That cannot say which port the system has
// chosen, so the port is chosen before.
func serve(c Config, options []nano.Option) error {
	addr, err := freePort()
	if err != nil {
		return err
	}
	client := addr
	options = append(options, nano.WithLogger(quiet{}))
	if c.WebSocket {
		options = append(options, nano.WithIsWebsocket(true), nano.WithWSPath("/nano"))
	}
	switch c.Role {
	case "master":
		options = append(options, nano.WithMaster())
	case "backend":
		options = append(options, nano.WithAdvertiseAddr(c.Master, time.Second))
	case "gate":
		if client, err = freePort(); err != nil {
			return err
		}
		options = append(options, nano.WithAdvertiseAddr(c.Master, time.Second), nano.WithClientAddr(client))
	}
	go func() {
		for {
			if nc, err := net.Dial("tcp", client); err == nil {
				_ = nc.Close()
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		fmt.Println("serves", client)
		time.Sleep(1500 * time.Millisecond) // until the nodes of a cluster know each other, which it does not tell
		fmt.Println("knows all")
		obey()
	}()
	nano.Listen(addr, options...)
	return nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// quiet drops the log.
type quiet struct{}

func (quiet) Println(...interface{})        {}
func (quiet) Fatal(...interface{})          {}
func (quiet) Fatalf(string, ...interface{}) {}

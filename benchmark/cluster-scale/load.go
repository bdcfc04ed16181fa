//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/lonng/nano/benchmark/internal/crowd"
)

// path is that of the WebSocket.
const path = "/nano"

// load plays the clients of a gate: they join, and then count what is pushed. While they come in it
// prints how many are. Each line of the input says how many more messages all of them together
// should get: it answers with the time at which they had.
func load(o options, addr string, number int) error {
	debug.SetGCPercent(50)
	c, err := crowd.Start(crowd.Config{
		Addrs: []string{addr}, Sources: sources(number), Clients: o.clients, AtOnce: o.atOnce, WebSocket: !o.tcp, Path: path, Batch: true,
		Request: func(i int) (string, []byte) {
			if i < o.room {
				return "Hall.Join", []byte("room")
			}
			return "Hall.Join", nil
		},
	})
	if err != nil {
		return err
	}
	defer c.Close()
	entered := make(chan error, 1)
	go func() { entered <- c.Wait() }()
	for waits := true; waits; {
		select {
		case err := <-entered:
			if err != nil {
				return err
			}
			waits = false
		case <-time.After(500 * time.Millisecond):
			fmt.Println("ready", c.Ready())
		}
	}
	fmt.Println("joined", c.Ready())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		what, number, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseInt(number, 10, 64)
		if what == "expect" && err == nil {
			reached := c.Expect(n)
			fmt.Println("expects", n)
			go func() { fmt.Println("heard", (<-reached).UnixNano(), c.Lost()) }()
		}
	}
	return nil
}

//go:build linux

package load

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/lonng/nano/benchmark/internal/crowd"
	"github.com/lonng/nano/codec"
)

// quiet has clients that say nothing but heartbeats until the input ends.
func (s *Scenario) quiet() error {
	cfg := crowd.Config{Addrs: []string{s.Addr}, Clients: s.Clients, WebSocket: s.WebSocket, Path: "/nano"}
	if s.Warm {
		request := message{N: 1, Body: padding}.encode()
		cfg.Request = func(int) (string, []byte) { return s.Route, request }
	}
	c, err := crowd.Start(cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Wait(); err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	if n := c.Lost(); n > 0 {
		return fmt.Errorf("load: %d quiet clients have lost their connection", n)
	}
	return err
}

// rooms is how many there are.
const rooms = 10

// rooms has the clients join rooms, and one of each speak, until the input ends. The first line of
// the input begins it.
func (s *Scenario) rooms() error {
	speakers := make([]*conn, rooms)
	for i := range speakers {
		c, err := dial(s.Addr, s.WebSocket, false)
		if err != nil {
			return err
		}
		speakers[i] = c
		if _, err := c.call(1, "Bench.Enter", message{N: int64(i)}.encode()); err != nil {
			return err
		}
		go func() {
			for {
				if _, err := c.message(); err != nil {
					return // with the process
				}
			}
		}()
	}
	c, err := crowd.Start(crowd.Config{
		Addrs: []string{s.Addr}, Clients: s.Clients - rooms, WebSocket: s.WebSocket, Path: "/nano",
		Request: func(i int) (string, []byte) { return "Bench.Enter", message{N: int64(i % rooms)}.encode() },
	})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Wait(); err != nil {
		return err
	}
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	if !lines.Scan() {
		return nil
	}
	begun := time.Now()
	go s.talk(speakers)
	for lines.Scan() { // until it ends
	}
	took := time.Since(begun).Seconds()
	fmt.Printf("delivered %d %.0f\n", c.Lost(), float64(c.Pushes())/took)
	return nil
}

// talk has each speaker say something in its room, by turns.
func (s *Scenario) talk(speakers []*conn) {
	tick := time.NewTicker(time.Duration(float64(time.Second) / s.Rate / rooms))
	defer tick.Stop()
	for i := 0; ; i++ {
		<-tick.C
		room := i % rooms
		if speakers[room].send(codec.Notify, 0, "Bench.Tell", message{N: int64(room), Body: padding}.encode()) != nil {
			return // the server has ended
		}
	}
}

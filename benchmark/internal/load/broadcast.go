//go:build linux

package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/codec"
)

// message is the payload of requests and broadcasts, as the server's handlers know it.
type message struct {
	N    int64  `json:"n"`
	Body string `json:"body,omitempty"`
}

func (m message) encode() []byte {
	b, _ := json.Marshal(m) // numbers and text can be encoded
	return b
}

// padding makes a payload of 64 bytes.
var padding = strings.Repeat("x", 46)

// broadcast has the first client speak, and all count what they hear.
func (s *Scenario) broadcast(all []*conn) (r Result, err error) {
	last := make([]time.Duration, len(all))
	var lost atomic.Int64
	heard := make(chan struct{}, s.Count) // by the first one
	begun := time.Now()
	var speaking sync.WaitGroup
	var spoke error
	speaking.Go(func() { spoke = s.speak(all[0], heard) })
	err = each(all, func(i int, c *conn) error {
		n, bad, err := hear(c, s.Count, func() {
			if i == 0 {
				heard <- struct{}{}
			}
		})
		last[i] = time.Since(begun)
		lost.Add(int64(s.Count - n + bad))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil // what did not come is counted
		}
		return err
	})
	speaking.Wait()
	r.Lost = lost.Load()
	r.Messages = int64(s.Count)*int64(len(all)) - r.Lost
	r.PerSecond = float64(r.Messages) / slices.Max(last).Seconds()
	return r, errors.Join(spoke, err)
}

// hear reads n broadcasts, and counts those out of order.
func hear(c *conn, n int, each func()) (got, bad int, err error) {
	next := int64(0)
	for got < n {
		m, err := c.message()
		if err != nil {
			return got, bad, err
		}
		if m.Type != codec.Push {
			continue
		}
		at, err := number(m.Data)
		if err != nil {
			return got, bad, err
		}
		if at < next {
			bad++
		}
		next = at + 1
		got++
		each()
	}
	return got, bad, nil
}

// number reads the n of a message, without decoding all of it.
func number(b []byte) (n int64, err error) {
	const head = `{"n":`
	if len(b) <= len(head) || string(b[:len(head)]) != head {
		return 0, fmt.Errorf("a broadcast is %q", b)
	}
	for _, c := range b[len(head):] {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}

// speak sends the broadcasts: at a rate, or as the speaker hears them.
func (s *Scenario) speak(c *conn, heard <-chan struct{}) error {
	begun, under := time.Now(), 0
	for i := 0; i < s.Count; {
		var out []byte
		for range max(s.Burst, 1) {
			var err error
			out, err = codec.AppendData(out, codec.Notify, 0, "Bench.Say", message{N: int64(i), Body: padding}.encode(), 0, nil, 0)
			if err != nil {
				return err
			}
			i++
		}
		if err := c.write(out); err != nil {
			return err
		}
		if s.Rate > 0 {
			time.Sleep(time.Until(begun.Add(time.Duration(float64(i) / float64(max(s.Burst, 1)) / s.Rate * 1e9))))
			continue
		}
		under++
		window := s.Window
		if window == 0 {
			window = 8
		}
		for under >= window {
			select {
			case <-heard:
				under--
			case <-time.After(time.Second): // lost, as the count will say
				under--
			}
		}
	}
	return nil
}

// churn has the server make members leave and join again as fast as they can, while the first
// client speaks Rate times a second. The answer says how often that was.
func (s *Scenario) churn(all []*conn) (r Result, err error) {
	var heard atomic.Int64
	stop := make(chan struct{})
	var hearing sync.WaitGroup
	for _, c := range all[2:] {
		hearing.Go(func() {
			for {
				m, err := c.message()
				if err != nil {
					return // the end, as below
				}
				if m.Type == codec.Push {
					heard.Add(1)
				}
			}
		})
	}
	go func() {
		tick := time.NewTicker(time.Duration(float64(time.Second) / s.Rate))
		defer tick.Stop()
		for n := int64(0); ; n++ {
			select {
			case <-stop:
				return
			case <-tick.C:
				if all[0].send(codec.Notify, 0, "Bench.Say", message{N: n, Body: padding}.encode()) != nil {
					return
				}
			}
		}
	}()
	begun := time.Now()
	answer, err := all[1].call(2, "Bench.Churn", message{N: s.Duration.Milliseconds()}.encode())
	took := time.Since(begun)
	close(stop)
	if err == nil {
		r.Other, err = number(answer)
	}
	r.Messages = heard.Load()
	r.PerSecond = float64(r.Other) / took.Seconds()
	for _, c := range all[2:] {
		_ = c.Close()
	}
	hearing.Wait()
	return r, err
}

//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/lonng/nano/console"
)

// stream is a console that is open: its events, as a browser gets them.
type stream struct {
	close func() // and waits

	mu     sync.Mutex
	moved  *sync.Cond
	latest *console.Overview
	events int
	err    error // why it has ended
}

// open opens the console of a gate.
func open(gate, view string) (*stream, error) {
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+gate+"/console/api/events?view="+view, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r) //nolint:bodyclose // who reads the stream closes it, at its end
	if err != nil {
		cancel()
		return nil, err
	}
	s := new(stream)
	s.moved = sync.NewCond(&s.mu)
	ended := make(chan struct{})
	s.close = func() {
		cancel()
		<-ended
	}
	go func() {
		defer close(ended)
		s.end(s.read(resp))
		_ = resp.Body.Close()
	}()
	return s, nil
}

// read takes the events until the stream ends.
func (s *stream) read(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the stream is answered with %s", resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 16<<20)
	for event := ""; lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || event != "overview" {
			continue
		}
		o := new(console.Overview)
		if err := json.Unmarshal([]byte(data), o); err != nil {
			return err
		}
		s.mu.Lock()
		s.latest = o
		s.events++
		s.moved.Broadcast()
		s.mu.Unlock()
	}
	return fmt.Errorf("the stream has ended: %w", lines.Err())
}

func (s *stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	s.moved.Broadcast()
}

// after waits for the next event after number n, and returns it with its number.
func (s *stream) after(n int) (*console.Overview, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.events <= n && s.err == nil {
		s.moved.Wait()
	}
	return s.latest, s.events, s.err
}

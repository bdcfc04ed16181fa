// Package connect is a session with a server that a person, or a script through a pipe, drives by
// commands.
package connect

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/codec"
)

// ErrCommands is the error of a script of which at least one command has failed; it comes wrapped.
var ErrCommands = errors.New("commands have failed")

// Config says what to connect to and how. The zero values of all but URL are fine.
type Config struct {
	URL     string
	Options []client.Option // beside those that this package needs
	Timeout time.Duration   // of a request; 0: 15 s
	Frames  bool            // show every packet from the first on
	Hex     bool            // show payloads in hex too
	Raw     bool            // show payloads as they came
	Listen  []string        // routes to listen to from the first push on; "*" is all
	History string          // file of the prompt's history; empty: none
}

// Session is a connection with what is shown of it. Its methods belong to one goroutine.
type Session struct {
	cfg   Config
	c     *client.Client
	trace tracer

	mu      sync.Mutex // guards what stands here, and the order of what is written
	out     io.Writer
	hex     bool
	raw     bool
	all     bool                // listens to every route
	listen  map[string]bool     // routes listened to, or with all, those that are not
	routes  map[string]struct{} // seen
	hinted  map[string]bool     // routes whose pushes were mentioned
	waiting map[string]int      // pushes that "wait" has not taken yet, by route
	arrived chan struct{}       // closed when one comes
}

// New makes a session that writes to out. Connect connects it.
func New(cfg Config, out io.Writer) *Session {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 15 * time.Second
	}
	s := &Session{
		cfg: cfg, out: out, hex: cfg.Hex, raw: cfg.Raw,
		listen: make(map[string]bool), routes: make(map[string]struct{}),
		hinted: make(map[string]bool), waiting: make(map[string]int), arrived: make(chan struct{}),
	}
	s.trace.s = s
	s.trace.on.Store(cfg.Frames)
	for _, r := range cfg.Listen {
		if r == "*" {
			s.all = true
		} else {
			s.listen[r] = true
			s.routes[r] = struct{}{}
		}
	}
	return s
}

// Connect connects and shows what the server says.
func (s *Session) Connect(ctx context.Context) error {
	opts := append([]client.Option{
		client.WithRequestTimeout(s.cfg.Timeout),
		client.WithName("nano-cli", "1"),
		client.WithTrace(s.trace.packet),
		client.WithStateHandler(s.changed),
		client.WithSlog(slog.New(slog.DiscardHandler)),
	}, s.cfg.Options...)
	s.c = client.New(s.cfg.URL, opts...)
	s.c.OnOther(s.pushed)
	if err := s.c.Connect(ctx); err != nil {
		_ = s.c.Close()
		return err
	}
	s.info()
	return nil
}

// Close ends the session. Nothing is written to its output after that.
func (s *Session) Close() {
	if s.c != nil {
		_ = s.c.Shutdown(context.Background()) // the handlers only write
	}
}

// Script runs the commands of in, one a line, until it ends, the connection ends, or one of them is
// quit. A command that fails is reported, the next ones run, and the error is ErrCommands. "#"
// begins a comment.
func (s *Session) Script(ctx context.Context, in io.Reader) error {
	lines := make(chan string)
	stop := make(chan struct{})
	defer close(stop)
	var scan error
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(in)
		scanner.Buffer(nil, codec.MaxPacket)
		for scanner.Scan() {
			select {
			case lines <- scanner.Text():
			case <-stop:
				return
			}
		}
		scan = scanner.Err()
	}()
	failed := 0
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				if scan != nil {
					return scan
				}
				return s.outcome(failed)
			}
			err := s.Do(ctx, line)
			if errors.Is(err, errQuit) {
				return s.outcome(failed)
			}
			if err != nil {
				failed++
				s.printf("error: %v\n", err)
			}
		case <-s.c.Done():
			return s.c.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// outcome is the result of a script that has come to its end. A connection that has ended before is
// an error, whether it was noticed in time or not.
func (s *Session) outcome(failed int) error {
	select {
	case <-s.c.Done():
		return s.c.Err()
	default:
	}
	if failed > 0 {
		return fmt.Errorf("%w: %d", ErrCommands, failed)
	}
	return nil
}

// changed is told what becomes of the connection.
func (s *Session) changed(ch client.Change) {
	switch ch.State {
	case client.Away:
		s.printf("away: %v; attempt %d in %v\n", ch.Err, ch.Attempt, ch.In.Round(time.Millisecond))
	case client.Closed:
		if !errors.Is(ch.Err, client.ErrClosed) {
			s.printf("disconnected: %v\n", ch.Err)
		}
	}
}

// pushed gets every push.
func (s *Session) pushed(route string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.routes[route] = struct{}{}
	s.waiting[route]++
	close(s.arrived)
	s.arrived = make(chan struct{})
	if s.listen[route] != s.all {
		s.writeLocked("push %s%s", route, s.payloadLocked(data))
	} else if !s.hinted[route] {
		s.hinted[route] = true
		s.writeLocked("push %s (\"on %s\" shows these)\n", route, route)
	}
}

// wait waits for a push of a route that it has not waited for yet.
func (s *Session) wait(ctx context.Context, route string) error {
	for {
		s.mu.Lock()
		if s.waiting[route] > 0 {
			s.waiting[route]--
			s.mu.Unlock()
			return nil
		}
		arrived := s.arrived
		s.mu.Unlock()
		select {
		case <-arrived:
		case <-s.c.Done():
			return fmt.Errorf("wait %s: %w", route, s.c.Err())
		case <-ctx.Done():
			return fmt.Errorf("wait %s: no push: %w", route, ctx.Err())
		}
	}
}

// seen notes a route for completion.
func (s *Session) seen(route string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.routes[route] = struct{}{}
}

// known returns the routes seen, sorted.
func (s *Session) known() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.routes))
}

func (s *Session) printf(format string, a ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeLocked(format, a...)
}

// writeLocked writes to who looks; if nobody can any more, the next read of commands ends all.
// Nothing that a server says can steer the terminal.
func (s *Session) writeLocked(format string, a ...any) {
	_, _ = io.WriteString(s.out, strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return '.'
		}
		return r
	}, fmt.Sprintf(format, a...)))
}

func (s *Session) info() {
	i := s.c.Info()
	var parts []string
	if i.Heartbeat > 0 {
		parts = append(parts, "heartbeat "+i.Heartbeat.String())
	}
	if i.Routes > 0 {
		parts = append(parts, fmt.Sprintf("dictionary of %d routes", i.Routes))
	}
	if len(i.Accepted) > 0 {
		parts = append(parts, "accepts "+strings.Join(i.Accepted, ", "))
	}
	s.printf("connected to %s: %s\n", s.cfg.URL, strings.Join(parts, "; "))
	if len(i.User) > 0 && string(i.User) != "null" {
		s.printf("user %s\n", i.User)
	}
}

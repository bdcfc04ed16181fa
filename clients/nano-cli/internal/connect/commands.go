package connect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lonng/nano/clients/nano-cli/internal/payload"
)

// errQuit is what the command quit returns.
var errQuit = errors.New("quit")

// command is one thing that can be typed.
type command struct {
	names  []string
	args   string
	help   string
	routes bool // its arguments are routes
	run    func(s *Session, ctx context.Context, args string) error
}

func commands() []command {
	return []command{
		{[]string{"request", "r"}, "ROUTE [PAYLOAD]", "send a request and show its answer", true, (*Session).request},
		{[]string{"notify", "n"}, "ROUTE [PAYLOAD]", "send a notify", true, (*Session).notify},
		{[]string{"on", "listen"}, "[ROUTE...]", "show the pushes of these routes, or of all", true, (*Session).on},
		{[]string{"off"}, "[ROUTE...]", "show them no more", true, (*Session).off},
		{[]string{"wait"}, "ROUTE [TIME]", "wait for one more push of a route, 15s at most", true, (*Session).waitFor},
		{[]string{"sleep"}, "TIME", "do nothing for a while", false, (*Session).sleep},
		{[]string{"frames"}, "[on|off]", "show every packet, byte by byte", false, (*Session).setFrames},
		{[]string{"hex"}, "[on|off]", "show payloads in hex too", false, (*Session).setHex},
		{[]string{"raw"}, "[on|off]", "show payloads as they came, not as JSON in lines", false, (*Session).setRaw},
		{[]string{"routes"}, "", "list the routes seen", false, (*Session).list},
		{[]string{"info"}, "", "show the handshake and the connection's figures", false, (*Session).show},
		{[]string{"help", "?"}, "", "show this", false, (*Session).help},
		{[]string{"quit", "exit", "q"}, "", "end", false, func(*Session, context.Context, string) error { return errQuit }},
	}
}

// Do runs one command.
func (s *Session) Do(ctx context.Context, line string) error {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return nil
	}
	name, args := payload.Split(line)
	for _, c := range commands() {
		if slices.Contains(c.names, name) {
			return c.run(s, ctx, args)
		}
	}
	return fmt.Errorf("no such command: %q; \"help\" lists them", name)
}

// message reads "ROUTE [PAYLOAD]".
func message(name, args string) (route string, data []byte, err error) {
	route, text := payload.Split(args)
	if route == "" {
		return "", nil, fmt.Errorf("%s needs a route: %s ROUTE [PAYLOAD]", name, name)
	}
	data, err = payload.Parse(text)
	return route, data, err
}

func (s *Session) request(ctx context.Context, args string) error {
	route, data, err := message("request", args)
	if err != nil {
		return err
	}
	var answer []byte
	begin := time.Now()
	if err := s.c.Request(ctx, route, data, &answer); err != nil {
		return err
	}
	took := time.Since(begin).Round(10 * time.Microsecond)
	s.seen(route)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeLocked("answer %s (%v)%s", route, took, s.payloadLocked(answer))
	return nil
}

func (s *Session) notify(ctx context.Context, args string) error {
	route, data, err := message("notify", args)
	if err != nil {
		return err
	}
	s.seen(route)
	return s.c.Notify(ctx, route, data)
}

func (s *Session) on(_ context.Context, args string) error  { return s.setListen(args, true) }
func (s *Session) off(_ context.Context, args string) error { return s.setListen(args, false) }

func (s *Session) setListen(args string, on bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	routes := strings.Fields(args)
	if len(routes) == 0 {
		s.all = on
		clear(s.listen)
		clear(s.hinted)
	}
	for _, r := range routes {
		s.routes[r] = struct{}{}
		s.listen[r] = on != s.all
	}
	return nil
}

func (s *Session) waitFor(ctx context.Context, args string) error {
	route, text := payload.Split(args)
	if route == "" {
		return errors.New("wait needs a route: wait ROUTE [TIME]")
	}
	d := 15 * time.Second
	if text != "" {
		var err error
		if d, err = time.ParseDuration(text); err != nil {
			return fmt.Errorf("wait: %w (a time is written like 2s or 500ms)", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return s.wait(ctx, route)
}

func (s *Session) sleep(ctx context.Context, args string) error {
	d, err := time.ParseDuration(args)
	if err != nil {
		return fmt.Errorf("sleep: %w (a time is written like 2s or 500ms)", err)
	}
	select {
	case <-time.After(d):
	case <-s.c.Done():
	case <-ctx.Done():
	}
	return nil
}

// toggle reads on, off, or nothing for the other.
func toggle(name, args string, now bool) (bool, error) {
	switch args {
	case "":
		return !now, nil
	case "on":
		return true, nil
	case "off":
		return false, nil
	}
	return now, fmt.Errorf("%s: %q is neither on nor off", name, args)
}

func word(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func (s *Session) setFrames(_ context.Context, args string) error {
	on, err := toggle("frames", args, s.trace.on.Load())
	if err == nil {
		s.trace.on.Store(on)
		s.printf("frames %s\n", word(on))
	}
	return err
}

func (s *Session) setHex(_ context.Context, args string) error { return s.set("hex", args, &s.hex) }
func (s *Session) setRaw(_ context.Context, args string) error { return s.set("raw", args, &s.raw) }

func (s *Session) set(name, args string, flag *bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	on, err := toggle(name, args, *flag)
	if err == nil {
		*flag = on
		s.writeLocked("%s %s\n", name, word(on))
	}
	return err
}

func (s *Session) list(context.Context, string) error {
	for _, r := range s.known() {
		s.printf("%s\n", r)
	}
	return nil
}

func (s *Session) show(context.Context, string) error {
	s.info()
	st := s.c.Stats()
	s.printf("%s; packets %d out, %d in; bytes %d out, %d in; pushes %d\n",
		s.c.State(), st.PacketsOut, st.PacketsIn, st.BytesOut, st.BytesIn, st.Pushes)
	return nil
}

func (s *Session) help(context.Context, string) error {
	for _, c := range commands() {
		s.printf("  %-28s %s\n", strings.Join(c.names, ", ")+" "+c.args, c.help)
	}
	s.printf("PAYLOAD is JSON, hex:0a0b, text:hello, @file, or nothing.\n")
	return nil
}

//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/lonng/nano/clients/client"
)

// traveller is a client that resumes its session wherever a gate takes it. It numbers its requests,
// and wants the pushes and broadcasts of its room one after the other.
type traveller struct {
	t         *travels
	number    string
	room      string
	webSocket bool
	c         *client.Client

	mu           sync.Mutex
	gate         *node     // to which it connected last
	cut          time.Time // when it left its connection; zero: it is there
	self, cast   sequence
	asked, open  int
	failed       map[string]int // requests, by the code of their error
	moves, gaps  int
	away, waited time.Duration // the longest time without a connection, and for an answer
	back         time.Time     // when it came back last
}

// sequence is the number of the last push of a kind.
type sequence struct {
	last int64
	jump bool // some may be missing before the next one
}

// next takes a number, and reports whether it may be the next one.
func (s *sequence) next(n int64) bool {
	good := n == s.last+1 || n > s.last && s.jump
	if n > s.last+1 {
		s.jump = false
	}
	s.last = n
	return good
}

func (t *travels) traveller(i int) *traveller {
	gates := t.play.gates
	v := &traveller{t: t, number: strconv.Itoa(i + 1), room: strconv.Itoa(i % t.rooms()), webSocket: i/len(gates)%2 == 1, failed: make(map[string]int)}
	scheme := "tcp://"
	if v.webSocket {
		scheme = "ws://"
	}
	urls := make([]string, 0, len(gates))
	for k := range gates {
		urls = append(urls, scheme+gates[(i+k)%len(gates)].name+":1")
	}
	v.c = client.New(urls[0], client.WithAddresses(urls[1:]...), client.WithDialer(v.dial), client.WithStateHandler(v.changed),
		client.WithReconnect(client.Reconnect{Min: 50 * time.Millisecond, Max: 500 * time.Millisecond}),
		client.WithConnectTimeout(t.play.recovery), client.WithRequestTimeout(t.play.recovery))
	v.c.On("onSelf", v.pushed("push", &v.self, v.number))
	v.c.On("onRoom", v.pushed("broadcast", &v.cast, v.room))
	return v
}

func (v *traveller) fault(kind, format string, a ...any) {
	v.t.play.ledger.Fail(kind, "client %s: %s", v.number, fmt.Sprintf(format, a...))
}

// door is a connection that says when its client has left it.
type door struct {
	net.Conn
	left func()
}

func (d door) Close() error {
	d.left()
	return d.Conn.Close()
}

// dial connects to a gate by its name.
func (v *traveller) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	name, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	gate := v.t.play.nodes[name]
	addr = gate.door(v.webSocket)
	if addr == "" {
		return nil, errors.New(name + " is not there")
	}
	nc, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gate = gate
	return door{nc, v.left}, nil
}

func (v *traveller) left() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.cut.IsZero() {
		v.cut = time.Now()
	}
}

// changed is told of the client's states, in order with its pushes.
func (v *traveller) changed(ch client.Change) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case ch.Lost != "":
		v.t.late.Store(true)
		v.fault("session", "its session is lost: %s", ch.Lost)
	case ch.State == client.Closed && !errors.Is(ch.Err, client.ErrClosed):
		v.fault("session", "it has ended: %v", ch.Err)
	case ch.State != client.Online:
		return
	}
	v.back = time.Now()
	if ch.Resumed {
		v.moves++
	}
	if ch.Resumed && !v.cut.IsZero() {
		v.away = max(v.away, v.back.Sub(v.cut))
	}
	v.cut = time.Time{}
	if ch.Gap {
		v.gaps++
		v.self.jump, v.cast.jump = true, true
	}
}

// pushed returns the handler of a kind of pushes, which are "of number".
func (v *traveller) pushed(what string, s *sequence, of string) func([]byte) {
	return func(data []byte) {
		var from string
		var n int64
		if _, err := fmt.Sscan(string(data), &from, &n); err != nil || from != of {
			v.fault("identity", "a %s of another: %q, %v", what, data, err)
			return
		}
		v.t.pushes.Add(1)
		v.mu.Lock()
		defer v.mu.Unlock()
		if before := s.last; !s.next(n) {
			v.fault(what, "%s %d after %d", what, n, before)
		}
	}
}

// enter connects, logs in and joins the room.
func (v *traveller) enter(ctx context.Context) error {
	if err := v.c.Connect(ctx); err != nil {
		return err
	}
	var got []byte
	if err := v.c.Request(ctx, "Door.Enter", []byte(v.number), &got); err != nil {
		return err
	}
	if err := v.c.Request(ctx, "Room.Join", []byte(v.number+" "+v.room), &got); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	_, err := fmt.Sscan(string(got), &v.cast.last)
	return err
}

// ask makes the next request.
func (v *traveller) ask() {
	v.mu.Lock()
	v.asked++
	v.open++
	n, begun := v.asked, time.Now()
	v.mu.Unlock()
	data := []byte(v.number + " " + strconv.Itoa(n))
	done := func(got []byte, err error) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.open--
		v.waited = max(v.waited, time.Since(begun))
		var said *client.Error
		switch {
		case errors.As(err, &said):
			v.failed[said.Code]++
		case err != nil:
			v.failed[err.Error()]++
		case string(got) != string(data):
			v.fault("answer", "request %q has the answer %q", data, got)
		}
	}
	if err := v.c.Start("Room.Do", data, done); err != nil {
		done(nil, err)
	}
}

// run makes requests until stop is closed.
func (v *traveller) run(stop <-chan struct{}, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			v.ask()
		}
	}
}

// settled reports whether nothing of the client is under way.
func (v *traveller) settled() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.open == 0
}

// arrived reports whether the last push and the last broadcast have come.
func (v *traveller) arrived(self, cast int64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.self.last == self && v.cast.last == cast
}

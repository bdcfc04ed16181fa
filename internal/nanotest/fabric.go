package nanotest

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/link"
)

// Fabric is the network between the nodes of a test, in memory. It cuts, stops and counts what goes
// over it.
type Fabric struct {
	mu        sync.Mutex
	moved     *sync.Cond // frozen has changed, or a wire was closed
	listeners map[string]net.Listener
	wires     map[*wire]struct{}
	dead      map[string]bool    // their connections are refused
	frozen    map[string]bool    // their connections carry nothing, and stay
	blocked   map[[2]string]bool // from the first to the second no connection can be made
	lossy     map[[2]string]bool // what the first sends to the second stays on its way, and nobody is told
	limbo     []*wire            // closed, and the other end does not know
	frames    map[string]int     // sent over links: "from>to Kind"
	watch     func(kind link.Kind)
	carried   map[string]Carried // sent over links, by "from>to"
	latency   time.Duration      // of what comes back to who has connected
	lag       time.Duration      // of what who has connected sends
}

// Carried is what went over a link, each time counted.
type Carried struct{ Frames, Batches, Bytes int }

// NewFabric returns a network that carries everything.
func NewFabric() *Fabric {
	f := &Fabric{
		listeners: make(map[string]net.Listener), wires: make(map[*wire]struct{}),
		dead: make(map[string]bool), frozen: make(map[string]bool), frames: make(map[string]int), carried: make(map[string]Carried), blocked: make(map[[2]string]bool), lossy: make(map[[2]string]bool),
	}
	f.moved = sync.NewCond(&f.mu)
	return f
}

// wire is the calling end of a connection.
type wire struct {
	net.Conn
	fabric   *Fabric
	from, to string
	stalled  bool
	closed   bool

	mu    sync.Mutex
	late  []parcel // on their way
	under bool     // somebody carries them
}

// parcel is what was sent at one time, and when it arrives.
type parcel struct {
	data []byte
	due  time.Time
}

// Listen returns the listener of a service address. A process that listens there later takes its
// place.
func (f *Fabric) Listen(addr string) net.Listener {
	l := bufconn.Listen(64 << 10) // a test makes many connections; larger ones take most of its time
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners[addr] = l
	delete(f.dead, addr)
	return l
}

// Dialer connects a node to others.
func (f *Fabric) Dialer(from string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, to string) (net.Conn, error) {
		f.mu.Lock()
		l, _ := f.listeners[to].(*bufconn.Listener)
		dead := f.dead[from] || f.dead[to] || f.blocked[[2]string{from, to}]
		f.mu.Unlock()
		if l == nil || dead {
			return nil, errors.New("connection refused")
		}
		nc, err := l.DialContext(ctx)
		if err != nil {
			return nil, err
		}
		w := &wire{Conn: nc, fabric: f, from: from, to: to}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.dead[from] || f.dead[to] {
			_ = nc.Close()
			return nil, errors.New("connection reset")
		}
		f.wires[w] = struct{}{}
		return w, nil
	}
}

// pass waits while one of the ends is frozen, or nothing arrives that one sends to the other. It is
// an error when the calling end is closed, whether or not the other end knows.
func (w *wire) pass(from, to string) error {
	f := w.fabric
	f.mu.Lock()
	defer f.mu.Unlock()
	for (w.stalled || f.frozen[w.from] || f.frozen[w.to] || f.lossy[[2]string{from, to}]) && !w.closed {
		f.moved.Wait()
	}
	if w.closed {
		return net.ErrClosed
	}
	return nil
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.fabric.linger()
	if gone := w.pass(w.to, w.from); gone != nil {
		return 0, gone
	}
	return n, err
}

func (w *wire) Write(b []byte) (int, error) {
	if err := w.pass(w.from, w.to); err != nil {
		return 0, err
	}
	w.fabric.mu.Lock()
	lag := w.fabric.lag
	w.fabric.mu.Unlock()
	w.mu.Lock()
	if lag == 0 && len(w.late) == 0 && !w.under {
		w.mu.Unlock()
		return w.Conn.Write(b)
	}
	w.late = append(w.late, parcel{bytes.Clone(b), time.Now().Add(lag)})
	if !w.under {
		w.under = true
		go w.carry()
	}
	w.mu.Unlock()
	return len(b), nil
}

// carry hands over what is on its way, each parcel at its time.
func (w *wire) carry() {
	for {
		w.mu.Lock()
		if len(w.late) == 0 {
			w.under = false
			w.mu.Unlock()
			return
		}
		p := w.late[0]
		w.late = w.late[1:]
		w.mu.Unlock()
		time.Sleep(time.Until(p.due))
		_, _ = w.Conn.Write(p.data) // of a connection that is closed, nothing arrives
	}
}

// linger waits for as long as the network takes.
func (f *Fabric) linger() {
	f.mu.Lock()
	d := f.latency
	f.mu.Unlock()
	if d > 0 {
		time.Sleep(d)
	}
}

// Slow has everything that comes back to who has connected arrive that much later. A write does not
// wait: in a bubble, a lock that is held meanwhile would stop the clock.
func (f *Fabric) Slow(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latency = d
}

// Lag has everything that a node sends on connections that it has made arrive that much later. So
// it is with what goes over links, whose senders have connected.
func (f *Fabric) Lag(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lag = d
}

// Close tells the other end, when that can be reached.
func (w *wire) Close() error {
	f := w.fabric
	f.mu.Lock()
	defer f.mu.Unlock()
	w.closed = true
	delete(f.wires, w)
	f.moved.Broadcast()
	if f.lossy[[2]string{w.from, w.to}] {
		f.limbo = append(f.limbo, w)
		return w.Conn.SetReadDeadline(time.Unix(1, 0)) // who reads at this end knows
	}
	return w.Conn.Close()
}

// Silence is a network that loses what one node sends to another without a word to either; Heal is
// one that carries again what was on its way.
func (f *Fabric) Silence(from, to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lossy[[2]string{from, to}] = true
}

// Heal ends every silence.
func (f *Fabric) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.lossy)
	for _, w := range f.limbo {
		_ = w.Conn.Close()
	}
	f.limbo = nil
	f.moved.Broadcast()
}

// Cut breaks every connection of a node, as a network does that is back at once.
func (f *Fabric) Cut(addr string) {
	f.close(func(w *wire) bool { return w.from == addr || w.to == addr })
}

// CutFrom breaks the connections that a node has made.
func (f *Fabric) CutFrom(addr string) {
	f.close(func(w *wire) bool { return w.from == addr })
}

func (f *Fabric) close(which func(*wire) bool) {
	f.mu.Lock()
	var all []*wire
	for w := range f.wires {
		if which(w) {
			all = append(all, w)
		}
	}
	f.mu.Unlock()
	for _, w := range all {
		_ = w.Close()
	}
}

// Kill is what others see of a process that was killed: its connections are reset, and refused from
// then on.
func (f *Fabric) Kill(addrs ...string) {
	f.mu.Lock()
	for _, addr := range addrs {
		f.dead[addr] = true
	}
	f.mu.Unlock()
	for _, addr := range addrs {
		f.Cut(addr)
	}
}

// Revive undoes kill.
func (f *Fabric) Revive(addr string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.dead, addr)
}

// Freeze is what others see of a process that is stopped.
func (f *Fabric) Freeze(addr string) { f.setFrozen(addr, true) }

// Thaw is what they see when it goes on.
func (f *Fabric) Thaw(addr string) { f.setFrozen(addr, false) }

func (f *Fabric) setFrozen(addr string, frozen bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frozen[addr] = frozen
	f.moved.Broadcast()
}

// Block is a network that lets nobody through from one node to another; the other way is as it was.
// Allow undoes it.
func (f *Fabric) Block(from, to string) {
	f.mu.Lock()
	f.blocked[[2]string{from, to}] = true
	f.mu.Unlock()
	f.close(func(w *wire) bool { return w.from == from && w.to == to })
}

// Allow ends a block.
func (f *Fabric) Allow(from, to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.blocked, [2]string{from, to})
}

// Stall is a host without power: the connections that it had carry nothing any more, and nobody is
// told. New ones reach whoever has its address then. The result lets the old ones go on.
func (f *Fabric) Stall(addr string) (resume func()) {
	set := func(stalled bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for w := range f.wires {
			if w.from == addr || w.to == addr {
				w.stalled = stalled
			}
		}
		f.moved.Broadcast()
	}
	set(true)
	return func() { set(false) }
}

// CountFrames counts what from sends over its links.
func (f *Fabric) CountFrames(from string) grpc.DialOption {
	return grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		s, err := streamer(ctx, desc, cc, method, opts...)
		if err != nil {
			return nil, err
		}
		return &counted{ClientStream: s, fabric: f, path: path(from, strings.TrimPrefix(cc.Target(), "passthrough:///"))}, nil
	})
}

type counted struct {
	grpc.ClientStream
	fabric *Fabric
	path   string
}

func (c *counted) SendMsg(m any) error {
	if b, ok := m.(*clusterpb.Batch); ok {
		var f link.Frame
		var kinds []link.Kind
		r := link.NewReader(b.GetFrames())
		c.fabric.mu.Lock()
		sum := c.fabric.carried[c.path]
		for ok, _ := r.Next(&f); ok; ok, _ = r.Next(&f) {
			c.fabric.frames[f.Kind.String()]++
			c.fabric.frames[c.path+" "+f.Kind.String()]++
			kinds = append(kinds, f.Kind)
			sum.Frames++
		}
		if b.GetSeq() != 0 { // else it only asks for a sign of life
			sum.Batches++
			sum.Bytes += len(b.GetFrames())
		}
		c.fabric.carried[c.path] = sum
		watch := c.fabric.watch
		c.fabric.mu.Unlock()
		for _, kind := range kinds {
			if watch != nil {
				watch(kind)
			}
		}
	}
	return c.ClientStream.SendMsg(m)
}

// Watch has fn see the kind of each frame before it goes over a link, on the goroutine that sends
// it.
func (f *Fabric) Watch(fn func(kind link.Kind)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch = fn
}

// Sent returns how many frames of a kind went over links.
func (f *Fabric) Sent(kind string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.frames[kind]
}

// Carried returns what went over the links from one node to another.
func (f *Fabric) Carried(from, to string) Carried {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.carried[path(from, to)]
}

func path(from, to string) string { return from + ">" + to }

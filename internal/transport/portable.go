package transport

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Portable makes a Conn of nc. If nc is one already, it is returned.
func Portable(nc net.Conn) Conn {
	if c, ok := nc.(Conn); ok {
		return c
	}
	p := makePortable(nc)
	return &p
}

func makePortable(nc net.Conn) portable {
	p := portable{nc: nc}
	if sc, ok := nc.(syscall.Conn); ok && rawIO {
		p.raw, _ = sc.SyscallConn()
	}
	return p
}

// portable is a connection with a goroutine that reads.
type portable struct {
	nc  net.Conn
	raw syscall.RawConn // nil where there is no descriptor to read and write without blocking
}

func (p *portable) Start(h Handler) {
	if p.raw != nil {
		go p.read(h, pace{})
	} else {
		go p.readPlain(h, make([]byte, 2<<10), pace{})
	}
}

// Waiting does nothing: nobody waits for the connection's own goroutine.
func (p *portable) Waiting() {}

var readBufs = sync.Pool{New: func() any { return new([readSize]byte) }}

// read is the connection's goroutine. It reads through the descriptor, so that a connection that
// waits holds no buffer, and serves outside of raw.Read: closing the socket waits for that, and
// what is served may have to wait for the one who closes.
//
// What serves grows the stack, and a connection that then says nothing would keep that. So a
// goroutine that has served waits no more: a fresh one does, unless the client is busy.
func (p *portable) read(h Handler, came pace) {
	r := rawReader{wait: true}
	try := r.read
	for {
		err := p.raw.Read(try)
		if err == nil {
			err = r.err
		}
		if err == nil && r.buf == nil {
			go p.read(h, came)
			return
		}
		r.wait = came.busy(time.Now())
		if err == nil {
			err = h.Serve(r.buf[:r.n])
			readBufs.Put(r.buf)
			r.buf = nil
			h.Settle()
		}
		if err != nil {
			h.InputEnded(err)
			return
		}
	}
}

// pace is how quickly reads of a client follow one another.
type pace struct {
	last  time.Time
	quick int // reads that came within busyGap of the one before, in a row
}

const (
	busyGap = 50 * time.Millisecond
	// A handshake and the first requests come at once, too, and many clients are quiet after them.
	busyReads = 8
)

// busy notes that something has come, and tells whether more is likely to follow at once.
func (p *pace) busy(now time.Time) bool {
	if now.Sub(p.last) < busyGap {
		p.quick++
	} else {
		p.quick = 0
	}
	p.last = now
	return p.quick >= busyReads
}

// rawReader takes what there is to read into a buffer that it has only then.
type rawReader struct {
	wait bool // until there is something
	buf  *[readSize]byte
	n    int
	err  error
}

// read is for syscall.RawConn: false has it wait until there is something to read.
func (r *rawReader) read(fd uintptr) bool {
	buf := readBufs.Get().(*[readSize]byte)
	n, again, err := readRaw(int(fd), buf[:])
	if again || err != nil {
		readBufs.Put(buf)
		r.err = err
		return !again || !r.wait
	}
	r.buf, r.n = buf, n
	return true
}

// readPlain reads a connection that has no descriptor of its own, as read does.
func (p *portable) readPlain(h Handler, buf []byte, came pace) {
	for {
		n, err := p.nc.Read(buf)
		busy := came.busy(time.Now())
		if n > 0 {
			serr := h.Serve(buf[:n])
			h.Settle()
			if serr != nil {
				err = serr
			}
		}
		if err != nil {
			h.InputEnded(err)
			return
		}
		if !busy {
			go p.readPlain(h, buf, came)
			return
		}
	}
}

func (p *portable) Blocks() bool { return p.raw == nil }

// attempt is a write through a descriptor.
type attempt struct {
	segs [][]byte
	n    int
	err  error
	try  func(fd uintptr) // write
}

var attempts = sync.Pool{New: func() any {
	a := new(attempt)
	a.try = a.write
	return a
}}

func (a *attempt) write(fd uintptr) { a.n, a.err = writeRaw(int(fd), a.segs) }

// WriteSome uses RawConn.Control, which only keeps the descriptor open meanwhile: RawConn.Write
// would get ready to wait as well.
func (p *portable) WriteSome(segs [][]byte) (int, error) {
	a := attempts.Get().(*attempt)
	a.segs, a.n, a.err = segs, 0, nil
	err := p.raw.Control(a.try)
	if err == nil {
		err = a.err
	}
	n := a.n
	a.segs = nil
	attempts.Put(a)
	return n, err
}

func (p *portable) WriteUntil(b []byte, w Patience) (int, error) {
	if p.raw == nil {
		if below := patientBelow(p.nc); below != nil {
			below.setPatience(w)
			defer below.setPatience(nil)
			return p.writeUntil(b, w.Until(0)) // the deadline is for an alert that is being written
		}
	}
	return WritePatiently(b, w, p.writeUntil)
}

func (p *portable) writeUntil(b []byte, until time.Time) (int, error) {
	if err := p.nc.SetWriteDeadline(until); err != nil {
		return 0, err
	}
	n, err := p.nc.Write(b)
	_ = p.nc.SetWriteDeadline(time.Time{}) // a closed connection needs no deadline
	if p.raw != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		var k int // the kernel tells of room when a third of its buffer is free; a slow client frees less
		if k, err = p.WriteSome([][]byte{b[n:]}); err == nil && n+k < len(b) {
			err = os.ErrDeadlineExceeded
		}
		n += k
	}
	return n, err
}

func (p *portable) Unsent() (n int) {
	p.control(func(fd int) { n = unsent(fd) }) // a closed one holds nothing
	return n
}

func (p *portable) Traffic() (t Traffic, ok bool) {
	p.control(func(fd int) { t, ok = traffic(fd) })
	return t, ok
}

// control calls f with the descriptor under all layers, if there is one that is open.
func (p *portable) control(f func(fd int)) {
	raw := p.raw
	if s, ok := below(p.nc).(syscall.Conn); ok && raw == nil {
		raw, _ = s.SyscallConn()
	}
	if raw != nil {
		_ = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
}

func (p *portable) CloseWrite() error {
	if half, ok := p.nc.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (p *portable) Discard() {
	if t, ok := below(p.nc).(interface{ SetLinger(int) error }); ok {
		_ = t.SetLinger(0)
	}
}

// below is the connection under all layers of TLS, HTTP and PROXY headers.
func below(nc net.Conn) net.Conn {
	for next := under(nc); next != nil; next = under(next) {
		nc = next
	}
	return nc
}

// under is the connection below one such layer, nil if there is none.
func under(nc net.Conn) net.Conn {
	switch t := nc.(type) {
	case interface{ NetConn() net.Conn }: // TLS and HTTP
		return t.NetConn()
	case interface{ Raw() net.Conn }: // with a PROXY header
		return t.Raw()
	}
	return nil
}

func (p *portable) Close() error {
	if t, ok := p.nc.(*tls.Conn); ok { // its own Close may wait for a client that does not read
		return t.NetConn().Close()
	}
	return p.nc.Close()
}

func (p *portable) RemoteAddr() net.Addr { return p.nc.RemoteAddr() }

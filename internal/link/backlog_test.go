package link

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// reliable leaves out of encoded frames what asks for an answer: that may be withdrawn.
func reliable(t *testing.T, frames []byte) (kept []byte, asked int) {
	t.Helper()
	r := NewReader(frames)
	var f Frame
	for {
		ok, err := r.Next(&f)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return kept, asked
		}
		if f.Kind.asks() {
			asked++
		} else {
			kept = AppendFrame(kept, &f)
		}
	}
}

// backlogModel is a backlog with a peer, as simple as they can be.
type backlogModel struct {
	t    *testing.T
	seed uint64
	rnd  *rand.Rand
	l    backlog

	queued    []byte // all that was
	got       []byte // what the peer has handled
	last      uint64 // the seq of that
	withdrawn int
}

func (m *backlogModel) fatalf(format string, a ...any) {
	m.t.Helper()
	m.t.Fatalf("seed %d: "+format, append([]any{m.seed}, a...)...)
}

func (m *backlogModel) put(f *Frame) {
	m.queued = AppendFrame(m.queued, f)
	m.l.put(f, bodySize(f), FrameSize(f))
}

func (m *backlogModel) putAny() {
	f := &Frame{Kind: []Kind{Push, Push, Request, Call}[m.rnd.IntN(4)], ID: m.rnd.Uint64(), Data: bytes.Repeat([]byte{byte(m.rnd.Uint32())}, m.rnd.IntN(40))}
	if m.rnd.IntN(30) == 0 {
		f.Data = bytes.Repeat([]byte{byte(m.rnd.Uint32())}, 300)
	}
	m.put(f)
}

func (m *backlogModel) ack() {
	m.t.Helper()
	if m.last >= m.l.first && !m.l.ack(m.last) {
		m.fatalf("acknowledgement of %d refused", m.last)
	}
}

func (m *backlogModel) resume() {
	m.t.Helper()
	if !m.l.resume(m.last) {
		m.fatalf("resuming after %d refused", m.last)
	}
}

// send sends a batch, if there is one, while other things happen. It arrives, or it does not.
func (m *backlogModel) send() (some bool) {
	m.t.Helper()
	b, seq, _, some := m.l.take()
	if !some {
		return false
	}
	arrives := m.rnd.IntN(4) > 0
	if arrives && seq == m.last+1 {
		m.got, m.last = append(m.got, b.bytes...), seq
	}
	if m.rnd.IntN(2) == 0 { // even before Send has returned
		m.ack()
	}
	before := bytes.Clone(b.bytes)
	m.put(&Frame{Kind: Kick, Data: make([]byte, 20)})
	if m.rnd.IntN(10) == 0 {
		m.withdrawn += m.l.withdraw()
	}
	if !bytes.Equal(before, b.bytes) {
		m.fatalf("written over while it was being sent")
	}
	m.l.release(b.chunk)
	if !arrives {
		m.resume()
	}
	return true
}

func (m *backlogModel) step() {
	m.t.Helper()
	switch m.rnd.IntN(10) {
	case 0, 1, 2, 3:
		m.putAny()
	case 4, 5, 6:
		if !m.send() {
			return
		}
	case 7:
		if m.rnd.IntN(5) == 0 {
			m.resume()
		}
	case 8:
		m.ack()
	case 9:
		if m.l.ack(m.l.first + uint64(m.l.next)) {
			m.fatalf("acknowledgement of what was not sent")
		}
	}
	if m.rnd.IntN(200) == 0 { // another run of the peer
		m.l.restart(0, false)
		m.last, m.got = 0, bytes.Clone(m.queued)
	}
	kept := m.l.frames
	for _, b := range m.l.kept() {
		kept += b.frames
	}
	if kept == 0 && !m.l.empty() || m.l.empty() && kept != 0 || m.l.unsent > m.l.bytes || m.l.unsent < 0 {
		m.fatalf("%d frames, %d bytes, %d unsent", kept, m.l.bytes, m.l.unsent)
	}
}

// end sends what is left, and compares.
func (m *backlogModel) end() {
	m.t.Helper()
	m.resume()
	for {
		b, _, _, ok := m.l.take()
		if !ok {
			break
		}
		m.got = append(m.got, b.bytes...)
		m.l.release(b.chunk)
	}
	want, asked := reliable(m.t, m.queued)
	kept, served := reliable(m.t, m.got)
	if !bytes.Equal(want, kept) {
		m.fatalf("the peer got something else than was queued")
	}
	if m.withdrawn == 0 || served+m.withdrawn < asked || served > asked { // one that the peer had may be withdrawn, too
		m.fatalf("of %d requests %d were served and %d withdrawn", asked, served, m.withdrawn)
	}
	if m.l.unsent != 0 || !m.l.ack(m.l.first+uint64(m.l.next)-1) || !m.l.empty() {
		m.fatalf("%d bytes left, %d unsent", m.l.bytes, m.l.unsent)
	}
	for _, c := range m.l.free {
		if c.refs != 0 {
			m.fatalf("a chunk to be used again has %d references", c.refs)
		}
	}
	if len(m.l.free) > 0 {
		m.fatalf("%d chunks kept by a quiet link", len(m.l.free))
	}
}

// Whatever the order of sends, acknowledgements and reconnects: what the peer gets is what was
// queued, once and in order, and memory that is still needed is not written again. Requests that
// are withdrawn change nothing of the rest.
func TestBacklogAgainstModel(t *testing.T) {
	for seed := range uint64(300) {
		m := &backlogModel{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 1)), l: newBacklog(200)}
		for range 500 {
			m.step()
		}
		m.end()
	}
}

// The same run of the peer has forgotten us: what it may have had is not sent again, what never
// left here still is.
func TestRestartKeepsWhatWasNeverSent(t *testing.T) {
	for _, c := range []struct {
		name    string
		unsent  bool // the same run
		dropped int
		rest    []byte
	}{{"the same run", true, 2, []byte{3, 4}}, {"another run", false, 4, nil}} {
		t.Run(c.name, func(t *testing.T) {
			l := newBacklog(1 << 10)
			put := func(id uint64) {
				f := &Frame{Kind: Push, ID: id}
				body := bodySize(f)
				l.put(f, body, uvarintSize(uint64(body))+body)
			}
			put(1)
			put(2)
			if b, _, _, ok := l.take(); ok {
				l.release(b.chunk)
			}
			put(3)
			put(4)
			frames, bytes := l.restart(7, c.unsent)
			if frames != c.dropped || bytes == 0 {
				t.Errorf("dropped %d frames, %d bytes", frames, bytes)
			}
			var rest []byte
			b, seq, again, ok := l.take()
			if ok != (c.rest != nil) || ok && (seq != 8 || again) {
				t.Fatalf("then comes %v %d %v", ok, seq, again)
			}
			var f Frame
			for r := NewReader(b.bytes); ; rest = append(rest, byte(f.ID)) {
				if ok, _ := r.Next(&f); !ok {
					break
				}
			}
			if string(rest) != string(c.rest) {
				t.Errorf("left are %v, want %v", rest, c.rest)
			}
			if ok {
				l.release(b.chunk)
				l.ack(8)
			}
			if !l.empty() || l.unsent != 0 {
				t.Errorf("%d bytes, %d of them unsent, are left", l.bytes, l.unsent)
			}
		})
	}
}

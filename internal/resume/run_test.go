package resume_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/resume"
)

// member is a session of a room, and what its client lacks.
type member struct {
	out  resume.Outbox
	want [][]byte
}

func (m *member) check(t *testing.T, name string) {
	t.Helper()
	if got := kept(&m.out); !bytes.Equal(got, bytes.Join(m.want, nil)) {
		t.Fatalf("%s keeps %d bytes, which are not the %d packets that its client lacks", name, len(got), len(m.want))
	}
	if n := m.out.Sent() - m.out.Base(); n != uint64(len(m.want)) {
		t.Fatalf("%s counts %d packets, want %d", name, n, len(m.want))
	}
	bytes := 0
	for _, p := range m.want {
		bytes += len(p)
	}
	if have := m.out.Bytes(); have < bytes || have > bytes+32*len(m.want) || m.out.Own() > have {
		t.Fatalf("%s counts %d bytes and %d of its own for %d packets of %d bytes", name, have, m.out.Own(), len(m.want), bytes)
	}
}

func (m *member) acknowledge(t *testing.T, n int) {
	t.Helper()
	if err := m.out.Acknowledge(m.out.Base() + uint64(n)); err != nil {
		t.Fatal(err)
	}
	m.want = m.want[n:]
}

// Sessions that are in many rooms at once share memory with this one and that one. Whatever they
// share, none of them may send again what another has got.
func TestSessionsThatShareKeepOnlyTheirOwn(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		members := make([]member, 5)
		for i := range 300 {
			body := fmt.Appendf(nil, "message %d ", i)
			if r.IntN(20) == 0 {
				body = append(body, make([]byte, 3<<10)...)
			}
			packet := codec.AppendPacket(nil, codec.Data, body)
			shared := resume.NewPacket(packet)
			kind, room := r.IntN(10), r.IntN(1<<len(members))
			for j := range members {
				m := &members[(j+i)%len(members)] // each multicast visits them in another order
				switch {
				case kind < 6 && room&(1<<j) == 0, kind == 9:
				case kind < 7:
					m.out.ShareAmong(shared)
					m.want = append(m.want, packet)
				case kind == 7:
					m.out.Copy(packet)
					m.want = append(m.want, packet)
				case kind == 8:
					m.out.Share(packet)
					m.want = append(m.want, packet)
				}
				if n := len(m.want); n > 0 && r.IntN(8) == 0 {
					m.acknowledge(t, 1+r.IntN(n))
				}
				m.check(t, fmt.Sprintf("seed %d, message %d: member %d", seed, i, j))
			}
		}
		for j := range members {
			members[j].acknowledge(t, len(members[j].want))
			members[j].check(t, "at the end, a member")
		}
	}
}

// Several schedulers broadcast to the same sessions at once, each session under a lock of its own.
func TestSessionsShareAtTheSameTime(t *testing.T) {
	type locked struct {
		sync.Mutex
		member
	}
	members := make([]locked, 20)
	var all sync.WaitGroup
	for by := range 4 {
		all.Go(func() {
			for i := range 300 {
				packet := codec.AppendPacket(nil, codec.Data, fmt.Appendf(nil, "message %d of %d", i, by))
				shared := resume.NewPacket(packet)
				for j := range members {
					m := &members[j]
					m.Lock()
					m.out.ShareAmong(shared)
					m.want = append(m.want, packet)
					if len(m.want) > 40 {
						m.acknowledge(t, 30)
					}
					m.Unlock()
				}
			}
		})
	}
	all.Wait()
	for j := range members {
		members[j].check(t, fmt.Sprint("member ", j))
	}
}

// A client that takes part in nothing any more, and has not said that it has the last message of
// its room, must not hold all that the room says from then on.
func TestLastMessageHoldsNoOther(t *testing.T) {
	const n, size = 20_000, 1 << 10
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var left, room resume.Outbox
	before := live()
	for i := range n {
		packet := resume.NewPacket(codec.AppendPacket(nil, codec.Data, make([]byte, size)))
		room.ShareAmong(packet)
		if i == 0 {
			left.ShareAmong(packet)
		}
		if err := room.Acknowledge(uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if grown := int64(live() - before); grown > n*size/10 {
		t.Errorf("%d bytes are held for one message of %d", grown, size)
	}
	runtime.KeepAlive(&left)
	runtime.KeepAlive(&room)
}

// A broadcast costs each session that keeps it less than a list of what is kept would.
func TestBroadcastIsKeptInFewBytes(t *testing.T) {
	const members, messages = 100, 160
	outs := make([]resume.Outbox, members)
	packets := make([]*resume.Packet, messages)
	for i := range packets {
		packets[i] = resume.NewPacket(numbered(i))
	}
	fill := func() {
		for i := range outs {
			outs[i].Clear()
		}
		for _, p := range packets {
			for i := range outs {
				outs[i].ShareAmong(p)
			}
		}
	}
	fill() // makes the runs, which all others use
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before := m.TotalAlloc
	fill()
	runtime.ReadMemStats(&m)
	if each := (m.TotalAlloc - before) / (members * messages); each > 16 {
		t.Errorf("%d bytes are allocated for a message and member", each)
	}
}

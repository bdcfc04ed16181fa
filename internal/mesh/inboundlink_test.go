package mesh

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Two nodes agree by numbers which of their ways make a pair. Nothing of one pair may be taken for
// another: a session would go on with a gap.
func TestWhichWaysMakeAPair(t *testing.T) {
	for _, c := range []struct {
		name           string
		paired         uint64 // with which way from there the way back is a pair already
		number         uint64 // of the stream that comes
		pairedWith     uint64 // which of this node's ways it names, as 1 for the one that there is
		refused, fresh bool
	}{
		{"the first stream", 0, 4, 0, false, true},
		{"the first, and it knows the way back", 0, 4, 1, false, true},
		{"the same way once more", 4, 4, 0, false, false},
		{"the same way, which knows the way back by now", 4, 4, 1, false, false},
		{"a later way to the same way back", 4, 5, 1, false, true},
		{"an earlier way", 4, 3, 0, true, false},
		{"an earlier way that names the way back", 4, 3, 1, true, false},
		{"a way that names one of long ago", 4, 5, 99, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, _ := newMesh(t, nil)
			meet(m, other("gate:1"))
			key := process{"gate:1", 1}
			new(heard).connect(t, m.peers.at("gate:1"))
			p := m.peers.at("gate:1")
			if c.paired != 0 {
				if _, _, err := m.links.enter(key, &sender{addr: "gate:1", epoch: 1, number: c.paired}, func(error) {}); err != nil {
					t.Fatal(err)
				}
			}
			was := m.links.of(key)
			from := &sender{addr: "gate:1", epoch: 1, number: c.number, pairedWith: c.pairedWith}
			if c.pairedWith == 1 {
				from.pairedWith = p.number
			}
			in, old, err := m.links.enter(key, from, func(error) {})
			if c.refused {
				if status.Code(err) != codes.FailedPrecondition || m.links.of(key) != was || p.pairedWith.Load() != c.paired {
					t.Errorf("it is answered with %v, and the pair is with %d", err, p.pairedWith.Load())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if fresh := in != was; fresh != c.fresh || in.way != p || from.in != in || p.pairedWith.Load() != c.number {
				t.Errorf("a new link: %v, paired with %d", fresh, p.pairedWith.Load())
			}
			if (old != nil) != (c.fresh && was != nil) || old != nil && (old != was || !old.dead.Load()) {
				t.Error("the link before it still counts")
			}
			select {
			case <-in.ready:
				if old != nil {
					t.Error("it is ready before what the one before it told is forgotten")
				}
			default:
				if old == nil {
					t.Error("it is not ready, and nothing was before it")
				}
			}
		})
	}
}

// Only the process that the list has at its address is heard.
func TestStrangersLinksAreRefused(t *testing.T) {
	m, _ := newMesh(t, nil)
	meet(m, other("gate:1"))
	for name, from := range map[string]*sender{
		"nobody of the list":     {addr: "gate:2", epoch: 1},
		"an earlier run":         {addr: "gate:1", epoch: 0},
		"a later, unlisted run ": {addr: "gate:1", epoch: 2},
	} {
		if _, _, err := m.links.enter(process{from.addr, from.epoch}, from, func(error) {}); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("%s: %v", name, err)
		}
	}
	m.links.close()
	if _, _, err := m.links.enter(process{"gate:1", 1}, &sender{addr: "gate:1", epoch: 1, number: 1}, func(error) {}); status.Code(err) != codes.Unavailable {
		t.Errorf("a node that ends takes a link: %v", err)
	}
}

// Who waits for a process to end its link waits for its last stream, and no stream that was
// interrupted is forgotten.
func TestStreamsOfALink(t *testing.T) {
	m, _ := newMesh(t, nil)
	meet(m, other("gate:1"))
	new(heard).connect(t, m.peers.at("gate:1"))
	key := process{"gate:1", 1}
	interrupted := 0
	var streams []*sender
	for range 2 {
		from := &sender{addr: "gate:1", epoch: 1, number: 4}
		if _, _, err := m.links.enter(key, from, func(error) { interrupted++ }); err != nil {
			t.Fatal(err)
		}
		streams = append(streams, from)
	}
	m.links.interrupt(key, errUnreachable)
	if interrupted != 2 {
		t.Errorf("%d streams were interrupted", interrupted)
	}
	idle := make(chan struct{})
	go func() { m.links.idle(t.Context(), key); close(idle) }()
	m.links.left(streams[0])
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m.links.idle(ctx, key) // returns, as nobody waits any more
	select {
	case <-idle:
		t.Error("it is idle while a stream is open")
	default:
	}
	m.links.left(streams[1])
	<-idle
}

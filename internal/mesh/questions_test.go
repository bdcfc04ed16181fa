package mesh

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/internal/link"
	"github.com/lonng/nano/internal/nanotest"
)

// Who asks a node about itself is told at once when the link does not take the answer, and does not
// wait for the deadline.
func TestAnswerAboutANodeThatCannotBeSentIsAnError(t *testing.T) {
	const room = 4096 // of the link, for what applications send
	for _, c := range []struct {
		name          string
		waits, answer int // bytes
		want          error
	}{
		{"too large", 0, 2*room + 1, link.ErrTooLarge},
		{"no room", room - 100, 2*room - 200, link.ErrFull},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, _ := newMesh(t, func(cfg *Config) {
				cfg.Answer = func(context.Context, string, []byte) ([]byte, error) { return make([]byte, c.answer), nil }
			})
			meet(m, other("asker:1"))
			p := m.peers.at("asker:1")
			h, open := new(heard), make(chan struct{})
			h.connectBy(t, p, link.SenderConfig{MaxQueue: room, Dial: func(ctx context.Context) (link.Stream, error) {
				<-open
				return h.dial(ctx)
			}})
			connect := sync.OnceFunc(func() { close(open) })
			defer connect()
			if c.waits > 0 {
				if _, err := p.link.Queue(&link.Frame{Kind: link.Push, Data: make([]byte, c.waits)}); err != nil {
					t.Fatal(err)
				}
			}
			queued := p.link.Stats().Frames
			from := &sender{peers: m.peers, addr: p.addr, epoch: p.epoch, way: p, in: &inboundLink{}}
			batch := m.table.BeginMetered()
			m.inbound.handle(from, &link.Frame{Kind: link.Call, Flags: flagNode, ID: 9, Route: []byte("anything"), Left: 1 << 40}, batch)
			batch.Submit()
			m.cancel()
			m.tasks.Wait()
			if p.link.Stats().Frames == queued {
				t.Fatal("no answer was sent")
			}
			connect()
			var reply link.Frame
			nanotest.Until(t, "the answer is there", func() bool {
				for _, f := range h.flush(t, p) {
					if f.Kind == link.Reply && f.ID == 9 {
						reply = f
					}
				}
				return reply.ID == 9
			})
			err := failureOf(reply.Data)
			if reply.Flags&flagError == 0 || codeOf(err) != component.CodeExhausted || !strings.Contains(err.Error(), c.want.Error()) {
				t.Errorf("flags %d, %v; want an error with %v", reply.Flags, err, c.want)
			}
		})
	}
}

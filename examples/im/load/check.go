package load

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
)

// check compares the store, the acknowledgements and what clients saw.
func (c *crowd) check(ctx context.Context, r *Result) {
	fault := func(format string, args ...any) {
		if len(r.Faults) < 20 {
			r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
		}
	}
	for g, group := range c.groups {
		var members []*person
		for i, p := range c.people {
			if i%len(c.groups) == g {
				members = append(members, p)
			}
		}
		list, err := members[0].history(ctx, group)
		if err != nil {
			fault("%s: its history: %v", group, err)
			continue
		}
		stored := make(map[string]int64)
		for i, m := range list {
			if m.N != int64(i)+1 {
				fault("%s: number %d stands at %d", group, m.N, i+1)
				break
			}
			if n, twice := stored[m.Text]; twice {
				fault("%s: %q is stored as %d and %d", group, m.Text, n, m.N)
			}
			stored[m.Text] = m.N
		}
		for _, p := range members {
			for text, n := range p.said {
				if stored[text] != n {
					fault("%s: %q was acknowledged as %d, and is stored as %d", group, text, n, stored[text])
				}
			}
			p.catchUp(ctx, len(list))
			p.mu.Lock()
			for _, hole := range p.holes {
				fault("%s", hole)
			}
			for n := int64(1); n <= int64(len(list)); n++ {
				if !p.heard[n] {
					fault("%s has neither heard nor caught up with number %d of %s", p.id, n, group)
					break
				}
			}
			p.mu.Unlock()
		}
	}
	for i, p := range c.people[:min(len(c.people), 50)] { // nobody sees a channel that is not theirs
		other := c.groups[(i+1)%len(c.groups)]
		if other == p.group {
			continue
		}
		if _, err := client.Call[protocol.HistoryReply](ctx, p.client, "im.history", map[string]any{"channel": other}); client.CodeOf(err) != client.CodeNotFound {
			fault("%s asks for the history of %s and gets %v", p.id, other, err)
		}
	}
}

// history returns all messages of a group.
func (p *person) history(ctx context.Context, group string) ([]store.Message, error) {
	var list []store.Message
	for before := int64(0); ; before = list[0].N {
		var page *protocol.HistoryReply
		var err error
		for try := 0; try < 20; try++ {
			page, err = client.Call[protocol.HistoryReply](ctx, p.client, "im.history", map[string]any{"channel": group, "before": before, "limit": 100})
			if err == nil || client.CodeOf(err) == client.CodeNotFound {
				break
			}
			time.Sleep(200 * time.Millisecond) // too many requests, or a node that is away
		}
		if err != nil {
			return nil, err
		}
		list = slices.Concat(page.Messages, list)
		if len(page.Messages) < 100 {
			return list, nil
		}
	}
}

// catchUp does what a client does when it finds a gap: it asks for what it has missed. Pushes that
// are on their way get a moment first.
func (p *person) catchUp(ctx context.Context, n int) {
	complete := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.heard) >= n
	}
	for end := time.Now().Add(2 * time.Second); !complete() && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	if complete() {
		return
	}
	list, err := p.history(ctx, p.group)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.holes = append(p.holes, fmt.Sprintf("%s could not catch up: %v", p.id, err))
	}
	for _, m := range list {
		p.heard[m.N] = true
	}
}

package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/examples/im/protocol"
)

// RoomResult is what was measured in a live room.
type RoomResult struct {
	Viewers int           `json:"viewers"`
	Said    int64         `json:"said"`
	Shown   int64         `json:"shown"` // by all viewers together; Said times Viewers if nothing was lost
	CPU     float64       `json:"cpu"`   // processors that the servers used meanwhile
	Worst   int64         `json:"worst"` // what the viewer was shown who was shown the least
	Late    time.Duration `json:"late"`  // until the last viewer had everything, after the last word
	Faults  []string      `json:"faults,omitempty"`
}

// String returns the result in words.
func (r *RoomResult) String() string {
	s := fmt.Sprintf("%d viewers were shown %d of %d messages each at least, the last %v after it was said; the servers used %.2f processors",
		r.Viewers, r.Worst, r.Said, r.Late.Round(time.Millisecond), r.CPU)
	if len(r.Faults) > 0 {
		s += "\nFAULTS:\n  " + strings.Join(r.Faults, "\n  ")
	}
	return s
}

// talkers is how many of the viewers talk.
const talkers = 100

// viewer is somebody who watches.
type viewer struct {
	*person
	shown atomic.Int64
}

// Room has all people watch a live room, in which some of them talk at the rate. The messenger must
// show all (--live-rate 0).
func Room(ctx context.Context, conf Config, room string, progress func(string)) (*RoomResult, error) {
	c := newCrowd(conf)
	progress(fmt.Sprintf("%d people come", conf.People))
	viewers := make([]*viewer, conf.People)
	for i, p := range c.people {
		viewers[i] = &viewer{person: p}
	}
	if err := c.arrive(ctx); err != nil {
		return nil, err
	}
	defer c.leave()
	for _, v := range viewers {
		v.client.On(protocol.PushTick, func(data []byte) { v.shown.Add(int64(bytes.Count(data, []byte(`"from":`)))) })
		if err := v.client.Request(ctx, "live.enter", map[string]string{"channel": room}, nil); err != nil {
			return nil, err
		}
	}
	before, err := c.usage(ctx)
	if err != nil {
		return nil, err
	}
	progress(fmt.Sprintf("%.0f messages a second for %v", conf.Rate, conf.For))
	began := time.Now()
	r := &RoomResult{Viewers: len(viewers)}
	if r.Said, err = talkInRoom(ctx, viewers[:min(talkers, len(viewers))], room, conf); err != nil {
		return nil, err
	}
	ended := time.Now()
	for ; time.Since(ended) < patience; time.Sleep(5 * time.Millisecond) {
		r.Shown, r.Worst = 0, r.Said
		for _, v := range viewers {
			n := v.shown.Load()
			r.Shown, r.Worst = r.Shown+n, min(r.Worst, n)
		}
		if r.Worst == r.Said {
			break
		}
	}
	r.Late = time.Since(ended)
	after, err := c.usage(ctx)
	if err != nil {
		return nil, err
	}
	r.CPU = (after.CPU - before.CPU).Seconds() / time.Since(began).Seconds()
	if want := r.Said * int64(len(viewers)); r.Shown != want {
		r.Faults = append(r.Faults, fmt.Sprintf("all viewers together were shown %d messages, not %d", r.Shown, want))
	}
	return r, nil
}

// talkInRoom has some of the viewers talk, and returns how much they have said.
func talkInRoom(ctx context.Context, viewers []*viewer, room string, conf Config) (int64, error) {
	if conf.Rate <= 0 {
		return 0, errors.New("load: a live room needs a rate")
	}
	var said atomic.Int64
	var all sync.WaitGroup
	errs := make(chan error, len(viewers))
	pause := time.Duration(float64(len(viewers)) / conf.Rate * float64(time.Second))
	end := time.Now().Add(conf.For)
	for i, v := range viewers {
		all.Go(func() {
			wait(ctx, time.Duration(i)*pause/time.Duration(len(viewers)))
			for next := time.Now(); next.Before(end) && ctx.Err() == nil; wait(ctx, time.Until(next)) {
				_, err := client.Call[protocol.Bullet](ctx, v.client, "live.say", map[string]string{"channel": room, "text": "the quick brown fox jumps"})
				if err != nil {
					errs <- err
					return
				}
				said.Add(1)
				next = next.Add(pause)
			}
		})
	}
	all.Wait()
	close(errs)
	return said.Load(), <-errs
}

// PushResult is what was measured of a push to very many people.
type PushResult struct {
	Users   int           `json:"users"`
	Online  int           `json:"online"`
	Reached int           `json:"reached"`
	Kept    int           `json:"kept"`
	Call    time.Duration `json:"call"` // until the call was answered
	Last    time.Duration `json:"last"` // until the last who is online had it, from the call
}

// String returns the result in words.
func (r *PushResult) String() string {
	return fmt.Sprintf("a push to %d users: answered after %v, at the last of %d who are online after %v; %d reached, %d kept",
		r.Users, r.Call.Round(time.Millisecond), r.Online, r.Last.Round(time.Millisecond), r.Reached, r.Kept)
}

// Push pushes to so many users, of whom all people of conf are online: to each by name, and then to
// everybody.
func Push(ctx context.Context, conf Config, users int, progress func(string)) (list []*PushResult, err error) {
	c := newCrowd(conf)
	progress(fmt.Sprintf("%d people come", conf.People))
	var missing atomic.Int64
	done := make(chan struct{}, 1)
	if err := c.arrive(ctx); err != nil {
		return nil, err
	}
	defer c.leave()
	ids := make([]string, users)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s-%d", c.run, i)
	}
	for _, p := range c.people {
		p.client.On("onLoad", func([]byte) {
			if missing.Add(-1) == 0 {
				done <- struct{}{}
			}
		})
	}
	for _, to := range []map[string]any{{"users": ids}, {"all": true}} {
		body, err := json.Marshal(map[string]any{"to": to, "route": "onLoad", "data": map[string]string{"text": "hello"}, "keep": "10m"})
		if err != nil {
			return nil, err
		}
		missing.Store(int64(len(c.people)))
		r := &PushResult{Users: users, Online: len(c.people)}
		began := time.Now()
		if err := c.post(ctx, conf.URLs[0]+"/api/v1/push", json.RawMessage(body), r); err != nil {
			return nil, err
		}
		r.Call = time.Since(began)
		select {
		case <-done:
			r.Last = time.Since(began)
		case <-time.After(patience):
			return nil, fmt.Errorf("load: %d of %d people have not got a push", missing.Load(), len(c.people))
		}
		list = append(list, r)
	}
	return list, nil
}

// IdleResult is what people cost who do nothing.
type IdleResult struct {
	People int     `json:"people"`
	Bytes  int64   `json:"bytes"` // resident memory of the servers for each
	CPU    float64 `json:"cpu"`   // processors that the servers use
}

// String returns the result in words.
func (r *IdleResult) String() string {
	return fmt.Sprintf("%d people who do nothing: %d bytes of the servers' memory each, %.3f processors", r.People, r.Bytes, r.CPU)
}

// Idle has people come and do nothing.
func Idle(ctx context.Context, conf Config, progress func(string)) (*IdleResult, error) {
	c := newCrowd(conf)
	before, err := c.usage(ctx)
	if err != nil {
		return nil, err
	}
	progress(fmt.Sprintf("%d people come", conf.People))
	if err := c.arrive(ctx); err != nil {
		return nil, err
	}
	defer c.leave()
	progress(fmt.Sprintf("nobody does anything for %v", conf.For))
	wait(ctx, conf.For/2) // what coming has cost is over
	middle, err := c.usage(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	wait(ctx, conf.For/2)
	after, err := c.usage(ctx)
	if err != nil {
		return nil, err
	}
	return &IdleResult{
		People: conf.People, Bytes: (after.Memory - before.Memory) / int64(conf.People),
		CPU: (after.CPU - middle.CPU).Seconds() / time.Since(began).Seconds(),
	}, nil
}

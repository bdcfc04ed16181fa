// Package load plays people: they sign in, sit in groups, talk, read, go and come. It measures how
// many messages are acknowledged, and how long that takes, and checks at the end that each of them
// is stored once, in order.
package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
)

// Config says what people do.
type Config struct {
	URLs    []string // of the gates: http://host:port
	Servers []string // of the nodes whose processor time and memory count; none: those of URLs
	APIKey  string
	People  int
	Groups  int
	Rate    float64         // messages a second of all together; 0: each sends the next when the last is acknowledged
	For     time.Duration   // that they talk, at least
	Until   <-chan struct{} // if not nil, they talk on until it is closed
	Leave   float64         // share of the people who go and come, each every few seconds
	Check   bool            // compare the store with what was acknowledged and heard
}

// Result is what was measured.
type Result struct {
	Acknowledged int64         `json:"acknowledged"`
	Failed       int64         `json:"failed"` // attempts; each message was sent until it was acknowledged
	Heard        int64         `json:"heard"`  // pushes of messages
	PerSecond    float64       `json:"perSecond"`
	P50          time.Duration `json:"p50"`
	P99          time.Duration `json:"p99"`
	Max          time.Duration `json:"max"`
	Cost         time.Duration `json:"cost"`             // processor time of the servers for one message; 0: not known
	Faults       []string      `json:"faults,omitempty"` // what the check has found
}

// String returns the result in words.
func (r *Result) String() string {
	s := fmt.Sprintf("%d messages acknowledged, %.0f a second; p50 %v, p99 %v, max %v; %d heard, %d attempts failed; the servers' processor time for one is %v",
		r.Acknowledged, r.PerSecond, r.P50.Round(time.Millisecond/10), r.P99.Round(time.Millisecond/10), r.Max.Round(time.Millisecond), r.Heard, r.Failed, r.Cost.Round(time.Microsecond))
	if len(r.Faults) > 0 {
		s += "\nFAULTS:\n  " + strings.Join(r.Faults, "\n  ")
	}
	return s
}

// crowd is a run.
type crowd struct {
	conf   Config
	run    string // makes names that no other run has
	groups []string
	people []*person

	heard, failed atomic.Int64
}

// person is one of the crowd.
type person struct {
	crowd *crowd
	id    string
	url   string
	token string
	group string

	client    *client.Client
	latencies []time.Duration
	said      map[string]int64 // number by text, of what was acknowledged

	mu    sync.Mutex
	heard map[int64]bool
	holes []string
}

// Run plays people until the time is over or ctx ends.
func Run(ctx context.Context, conf Config, progress func(string)) (*Result, error) {
	c := newCrowd(conf)
	progress(fmt.Sprintf("%d people come into %d groups", conf.People, conf.Groups))
	if err := c.gather(ctx); err != nil {
		return nil, err
	}
	defer c.leave()
	before, unknown := c.usage(ctx)
	progress(fmt.Sprintf("they talk for %v", conf.For))
	began := time.Now()
	talking, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	all.Go(func() {
		wait(ctx, conf.For)
		if conf.Until != nil {
			select {
			case <-conf.Until:
			case <-ctx.Done():
			}
		}
		stop()
	})
	for i, p := range c.people {
		all.Go(func() { p.talk(talking, i) })
		if rand.Float64() < conf.Leave {
			all.Go(func() { p.goAndCome(talking) })
		}
	}
	all.Wait()
	r := c.result(time.Since(began))
	if after, err := c.usage(ctx); err == nil && unknown == nil && r.Acknowledged > 0 {
		r.Cost = max(0, after.CPU-before.CPU) / time.Duration(r.Acknowledged) // a node that was killed counts from 0
	}
	if conf.Check {
		progress("the store is compared with what was acknowledged and heard")
		c.check(ctx, r)
	}
	return r, nil
}

// newCrowd returns people who have not come yet.
func newCrowd(conf Config) *crowd {
	c := &crowd{conf: conf, run: fmt.Sprintf("l%d", time.Now().UnixMilli()%1e9), people: make([]*person, conf.People)}
	for i := range c.people {
		c.people[i] = &person{crowd: c, id: fmt.Sprintf("%s-%d", c.run, i), url: conf.URLs[i%len(conf.URLs)], said: make(map[string]int64), heard: make(map[int64]bool)}
	}
	return c
}

// leave ends all connections.
func (c *crowd) leave() {
	for _, p := range c.people {
		if p.client != nil {
			_ = p.client.Close() // it waits for what was sent, at most
		}
	}
}

// result sums up what people have measured.
func (c *crowd) result(took time.Duration) *Result {
	var all []time.Duration
	for _, p := range c.people {
		all = append(all, p.latencies...)
	}
	slices.Sort(all)
	r := &Result{Acknowledged: int64(len(all)), Failed: c.failed.Load(), Heard: c.heard.Load(), PerSecond: float64(len(all)) / took.Seconds()}
	if len(all) > 0 {
		r.P50, r.P99, r.Max = all[len(all)/2], all[len(all)*99/100], all[len(all)-1]
	}
	return r
}

// gather makes the groups, and has everybody sign in and connect.
func (c *crowd) gather(ctx context.Context) error {
	members := make([][]string, c.conf.Groups)
	for i, p := range c.people {
		members[i%c.conf.Groups] = append(members[i%c.conf.Groups], p.id)
	}
	for i, ids := range members {
		id := fmt.Sprintf("g-%s-%d", c.run, i)
		err := c.post(ctx, c.conf.URLs[0]+"/api/v1/channels", map[string]any{"id": id, "title": id, "members": ids}, nil)
		if err != nil {
			return err
		}
		c.groups = append(c.groups, id)
	}
	for i, p := range c.people {
		p.group = c.groups[i%c.conf.Groups]
	}
	return c.arrive(ctx)
}

// arrive has everybody sign in and connect, some at a time.
func (c *crowd) arrive(ctx context.Context) error {
	const atOnce = 16
	errs := make(chan error, len(c.people))
	turns := make(chan struct{}, atOnce)
	for _, p := range c.people {
		turns <- struct{}{}
		go func() {
			defer func() { <-turns }()
			errs <- p.come(ctx)
		}()
	}
	var err error
	for range c.people {
		err = errors.Join(err, <-errs)
	}
	return err
}

// post sends JSON with the API key, and reads the answer into reply.
func (c *crowd) post(ctx context.Context, url string, body, reply any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	return c.do(req, reply)
}

// do makes a request with the API key, and reads the answer into reply.
func (c *crowd) do(req *http.Request, reply any) error {
	req.Header.Set("Authorization", "Bearer "+c.conf.APIKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("load: %s: %s: %s", req.URL, resp.Status, b)
	}
	if err == nil && reply != nil {
		err = json.Unmarshal(b, reply)
	}
	return err
}

// come signs a person in and connects.
func (p *person) come(ctx context.Context) error {
	var reply struct{ Token string }
	if err := p.crowd.post(ctx, p.url+"/auth/name", map[string]string{"name": p.id, "want": "token"}, &reply); err != nil {
		return err
	}
	p.token = reply.Token
	p.client = client.New("ws"+strings.TrimPrefix(p.url, "http")+"/nano",
		client.WithUser(map[string]string{"platform": "app", "token": p.token}),
		client.WithReconnect(client.Reconnect{}),
		client.WithRequestTimeout(10*time.Second),
		client.WithSetup(func(ctx context.Context, c *client.Client) error {
			return c.Request(ctx, "im.start", struct{}{}, nil)
		}))
	p.client.On(protocol.PushMessage, func(data []byte) {
		p.crowd.heard.Add(1)
		if p.crowd.conf.Check {
			p.hear(data)
		}
	})
	return p.client.Connect(ctx)
}

// hear notes the number of a message, and that it is of the person's own group.
func (p *person) hear(data []byte) {
	var m struct {
		Channel string
		N       int64
	}
	err := json.Unmarshal(data, &m)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || m.Channel != p.group && m.Channel != "global" {
		p.holes = append(p.holes, fmt.Sprintf("%s heard %q (%v), and is in %s", p.id, data, err, p.group))
		return
	}
	p.heard[m.N] = true
}

// talk sends messages until ctx ends. Each is sent again, with the same id, until it is
// acknowledged.
func (p *person) talk(ctx context.Context, i int) {
	pause := time.Duration(0)
	if p.crowd.conf.Rate > 0 {
		pause = time.Duration(float64(p.crowd.conf.People) / p.crowd.conf.Rate * float64(time.Second))
		wait(ctx, time.Duration(rand.Float64()*float64(pause)))
	}
	next := time.Now()
	for k := 0; ctx.Err() == nil; k++ {
		text := fmt.Sprintf("%d-%d: the quick brown fox jumps over the lazy dog", i, k)
		began := time.Now()
		if pause > 0 {
			began = next // a message that had to wait for the one before has waited
		}
		m := p.say(text, fmt.Sprintf("%s-%d", p.crowd.run, k))
		if m == nil {
			return
		}
		p.latencies = append(p.latencies, time.Since(began))
		p.said[text] = m.N
		if k%20 == 19 {
			_ = p.client.Request(ctx, "im.read", map[string]any{"channel": p.group, "n": m.N}, nil) // it is read the next time
		}
		if pause > 0 {
			next = next.Add(pause)
			wait(ctx, time.Until(next))
		}
	}
}

// patience is how long a message is sent again before it is given up: longer than any node may be
// away.
const patience = 60 * time.Second

// say sends a message until it is acknowledged; nil if that takes too long.
func (p *person) say(text, cid string) *store.Message {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		m, err := client.Call[store.Message](ctx, p.client, "im.send", map[string]string{"channel": p.group, "cid": cid, "text": text})
		cancel()
		if err == nil {
			return m
		}
		p.crowd.failed.Add(1)
		time.Sleep(50*time.Millisecond + rand.N(50*time.Millisecond))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holes = append(p.holes, fmt.Sprintf("%s could not say %q", p.id, text))
	return nil
}

// goAndCome loses the connection now and then. The client connects again.
func (p *person) goAndCome(ctx context.Context) {
	for ctx.Err() == nil {
		wait(ctx, 2*time.Second+rand.N(4*time.Second))
		other := client.New("ws"+strings.TrimPrefix(p.url, "http")+"/nano", client.WithUser(map[string]string{"platform": "web", "token": p.token}))
		if err := other.Connect(ctx); err != nil {
			continue // the gate is away
		}
		_ = other.Request(ctx, "im.start", struct{}{}, nil)
		_ = other.Request(ctx, "im.history", map[string]any{"channel": p.group}, nil)
		_ = other.Close() // it waits for what was sent, at most
	}
}

func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

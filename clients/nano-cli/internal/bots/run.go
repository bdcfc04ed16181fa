package bots

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/clients/nano-cli/internal/bots/loop"
)

// maxDials is how many connections are being opened at the same time.
const maxDials = 128

// Progress is what a run has done so far.
type Progress struct {
	Elapsed, Total     time.Duration // of ramp and duration
	Connected          int           // now
	Answered, Notified uint64
	Errors             uint64
}

// Runner runs a scenario. The zero value of all but Scenario is fine.
type Runner struct {
	Scenario *Scenario
	Options  []client.Option // beside those that the scenario needs
	Progress func(Progress)  // called five times a second, by one goroutine, until Run returns
}

// run is one run.
type run struct {
	*plan
	opts  []client.Option
	begin time.Time

	pacers   []*pacer
	connects *stats
	failures failures

	tried, connected, lost, online atomic.Int64

	pushes, bytesIn, bytesOut, packetsIn, packetsOut atomic.Uint64

	bots    sync.WaitGroup // until they have ended
	pending sync.WaitGroup // until they are connected and set up, or have failed
}

// Run runs the scenario to its end or that of ctx: then what is in flight is waited for, for as
// long as the scenario's timeout, and the report is of what there was. The error is about the
// scenario, not about what failed in the run.
func (rn *Runner) Run(ctx context.Context) (*Report, error) {
	p, err := rn.Scenario.plan()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	r := &run{plan: p, begin: time.Now(), connects: newStats()}
	var end func()
	restore := fewProcessors()
	defer restore()
	n := max(1, runtime.GOMAXPROCS(0)/2) // what these do is quick; with fewer, each finds more to do when it is woken
	r.pacers, end = newPacers(n)
	defer end()
	events := loop.New(n) // the workers' answers and the pushes wait for nothing
	defer events.Close()
	begin := r.spent()
	r.opts = []client.Option{
		client.WithName("nano-bots", "1"),
		client.WithConnectTimeout(time.Duration(p.Timeout)),
		client.WithRequestTimeout(time.Duration(p.Timeout)),
		client.WithSlog(slog.New(slog.DiscardHandler)),
	}
	if strings.HasPrefix(p.URL, "tcp:") {
		r.opts = append(r.opts, client.WithDialer(events.Dial))
	}
	r.opts = append(r.opts, rn.Options...)

	watched := make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(watched)
		r.watch(over, rn.Progress)
	}()

	r.ramp(ctx)
	r.pending.Wait()
	before := r.spent()
	r.wait(ctx)
	after := r.spent()
	stop()
	r.bots.Wait()
	close(over)
	<-watched
	return r.report(begin, before, after), nil
}

// ramp starts the bots.
func (r *run) ramp(ctx context.Context) {
	dials := make(chan struct{}, maxDials)
	for i := range r.Connections {
		if !sleepUntil(ctx, r.begin.Add(time.Duration(r.Ramp)/time.Duration(r.Connections)*time.Duration(i))) {
			return
		}
		select {
		case dials <- struct{}{}:
		case <-ctx.Done():
			return
		}
		r.bots.Add(1)
		r.pending.Add(1)
		go func() {
			defer r.bots.Done()
			r.bot(ctx, i, func() { <-dials })
		}()
	}
}

// wait waits until the load has lasted long enough, or nobody is left to make any.
func (r *run) wait(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.Duration))
	defer cancel()
	left := make(chan struct{})
	go func() {
		r.bots.Wait()
		close(left)
	}()
	select {
	case <-ctx.Done():
	case <-left:
	}
}

func sleepUntil(ctx context.Context, t time.Time) bool {
	d := time.Until(t)
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// bot is one connection from its beginning to its end.
func (r *run) bot(ctx context.Context, i int, dialed func()) {
	c := r.connect(i)
	dialed()
	ready := c != nil && r.prepare(ctx, c, i)
	r.pending.Done()
	if c == nil {
		return
	}
	if ready {
		r.work(ctx, c, i)
	}
	r.online.Add(-1)
	_ = c.Shutdown(context.Background()) // no handler waits for anything
	s := c.Stats()
	r.pushes.Add(s.Pushes)
	r.bytesIn.Add(s.BytesIn)
	r.bytesOut.Add(s.BytesOut)
	r.packetsIn.Add(s.PacketsIn)
	r.packetsOut.Add(s.PacketsOut)
}

// connect returns a connected client, or nil.
func (r *run) connect(i int) *client.Client {
	r.tried.Add(1)
	opts := r.opts
	if r.User != "" {
		user, err := r.user.json(Vars{Bot: i, Bots: r.Connections})
		if err != nil {
			r.failures.add("connect", err)
			return nil
		}
		opts = append(opts[:len(opts):len(opts)], client.WithUser(user))
	}
	c := client.New(r.URL, opts...)
	begin := time.Now()
	// Not cut short when the load ends: its timeout is short, and half a handshake would look like
	// an error.
	if err := c.Connect(context.Background()); err != nil {
		r.failures.add("connect", err)
		_ = c.Close()
		return nil
	}
	r.connects.record(i, time.Since(begin))
	r.connected.Add(1)
	r.online.Add(1)
	return c
}

// prepare sends what is sent once. After an error the bot is of no use.
func (r *run) prepare(ctx context.Context, c *client.Client, i int) bool {
	for _, t := range r.setup {
		if ctx.Err() != nil {
			return false
		}
		switch err := r.send(c, t, i, 0, time.Now()); {
		case errors.Is(err, client.ErrClosed), errors.Is(err, client.ErrLost):
			r.dropped(err)
			return false
		case err != nil:
			return false
		}
	}
	return true
}

// work sends until the load or the connection ends.
func (r *run) work(ctx context.Context, c *client.Client, i int) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var going sync.WaitGroup
	var workers []*worker
	for _, t := range r.steps {
		n := new(atomic.Int64)
		for range t.workers {
			if !t.request {
				going.Go(func() { r.notifier(ctx, c, t, i, n) })
				continue
			}
			w := &worker{run: r, c: c, task: t, bot: i, n: n, pacer: anyOf(r.pacers), ended: going.Done}
			workers = append(workers, w)
			going.Add(1)
			w.start()
		}
	}
	select {
	case <-c.Done():
		r.dropped(c.Err())
	case <-ctx.Done():
	}
	cancel()
	for _, w := range workers {
		w.stop()
	}
	going.Wait()
}

// dropped counts a connection that has ended before its bot was done.
func (r *run) dropped(cause error) {
	r.lost.Add(1)
	r.failures.add("connection", cause)
}

// send sends one message, waits for the answer of a request, and counts.
func (r *run) send(c *client.Client, t *task, i, n int, begin time.Time) error {
	data, err := t.payload.bytes(Vars{Bot: i, Bots: r.Connections, N: n})
	if err != nil {
		r.failures.add(t.route, err)
		return err
	}
	// Without ctx: what was sent before the end of the load gets its answer. The client's timeout
	// bounds it.
	if t.request {
		err = c.Request(context.Background(), t.route, data, nil)
	} else {
		err = c.Notify(context.Background(), t.route, data)
	}
	r.count(t, i, begin, err)
	return err
}

// count counts what came of a message.
func (r *run) count(t *task, i int, begin time.Time, err error) {
	switch {
	case err == nil:
		t.stats.sent.Add(1)
		if t.request {
			t.stats.answered.Add(1)
			t.stats.record(i, time.Since(begin))
		}
		return
	case errors.Is(err, client.ErrClosed) && !errors.Is(err, client.ErrLost):
		return // it was not sent, and the end of the connection is counted by itself
	}
	t.stats.failed.Add(1)
	var said *client.Error
	if errors.As(err, &said) || errors.Is(err, client.ErrTimeout) || errors.Is(err, client.ErrLost) {
		t.stats.sent.Add(1) // else it was never on its way
	}
	r.failures.add(t.route, err)
}

// counts returns answered requests and notifies of the steps, with those of the setup.
func (r *run) counts() (n [2]uint64) {
	for _, all := range [][]*task{r.setup, r.steps} {
		for _, t := range all {
			if t.request {
				n[0] += t.stats.answered.Load()
			} else {
				n[1] += t.stats.sent.Load()
			}
		}
	}
	return n
}

// watch tells the progress.
func (r *run) watch(over <-chan struct{}, tell func(Progress)) {
	if tell == nil {
		return
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		n := r.counts()
		tell(Progress{
			Elapsed: time.Since(r.begin), Total: time.Duration(r.Ramp + r.Duration),
			Connected: int(r.online.Load()), Answered: n[0], Notified: n[1], Errors: r.failures.n.Load(),
		})
		select {
		case <-tick.C:
		case <-over:
			return
		}
	}
}

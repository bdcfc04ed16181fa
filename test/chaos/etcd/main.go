//go:build linux

// Command etcd is test/chaos on a cluster whose list is kept by an etcd of three members, which are
// killed, hang and are cut off, too: while a majority lives, nothing of it is noticed, and with
// etcd away nothing but joins waits.
//
//	go run ./test/chaos/etcd -for 1m
//	go run ./test/chaos/etcd -for 10m -only "kill,etcd killed,etcd away"
package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lonng/nano/cluster/keeper"
	"github.com/lonng/nano/contrib/etcd"
	"github.com/lonng/nano/contrib/etcd/etcdtest"
	"github.com/lonng/nano/test/internal/chaos"
)

// Three heartbeats of the nodes are as long as the time to live and the second that etcd may add.
const (
	heartbeat = 2 * time.Second
	ttl       = 5 * time.Second
)

func main() {
	chaos.Main(&chaos.Engine{
		Heartbeat: heartbeat,
		Start:     start,
		Keeper: func(reach string) (keeper.Keeper, error) {
			return etcd.New(etcd.Config{Endpoints: strings.Split(reach, ","), TTL: ttl})
		},
	})
}

// start starts etcd, with proxies for each node.
func start(nodes []string) (running *chaos.Running, err error) {
	h := new(host)
	defer func() {
		if err != nil {
			h.end()
		}
	}()
	defer h.rescue(&err)
	c := etcdtest.Start(h, 3, nil)
	ways := make(map[string]*etcdtest.Proxies)
	running = &chaos.Running{Reach: make(map[string]string), Faults: h.faults(c, ways), End: h.end}
	for _, name := range nodes {
		ways[name] = c.Proxies(h)
		running.Reach[name] = strings.Join(ways[name].Endpoints(), ",")
	}
	return running, nil
}

// faults are those of etcd.
func (h *host) faults(c *etcdtest.Cluster, ways map[string]*etcdtest.Proxies) []chaos.Fault {
	// for a while, one member is in trouble.
	one := func(name, how string, begin, end func(member int)) chaos.Fault {
		return chaos.Fault{Name: name, Cause: func(rng *rand.Rand, last func(time.Duration, string, ...any)) (err error) {
			defer h.rescue(&err)
			m := rng.IntN(3)
			if rng.IntN(2) == 0 {
				m = c.Leader()
			}
			begin(m)
			last(chaos.Some(rng, 15*time.Second), "member %d of etcd %s", m, how)
			end(m)
			return nil
		}}
	}
	all := func(cut bool) {
		for _, w := range ways {
			w.Cut(cut)
		}
	}
	return []chaos.Fault{
		one("etcd killed", "is killed", c.Kill, func(m int) { c.Restart(m) }),
		one("etcd hung", "stands still", func(m int) { c.Hang(m, true) }, func(m int) { c.Hang(m, false) }),
		one("etcd cut", "is cut off from the others", func(m int) { c.Cut(m, true) }, func(m int) { c.Cut(m, false) }),
		{Name: "etcd away", Cause: func(rng *rand.Rand, last func(time.Duration, string, ...any)) (err error) {
			defer h.rescue(&err)
			if rng.IntN(2) == 0 {
				all(true)
				last(chaos.Some(rng, time.Minute), "all nodes are cut off from etcd")
				all(false)
				return nil
			}
			for m := range 3 {
				c.Kill(m)
			}
			last(chaos.Some(rng, time.Minute), "etcd is killed, all of it")
			c.Restart(0, 1, 2)
			return nil
		}},
		{Name: "cut from etcd", Cause: func(rng *rand.Rand, last func(time.Duration, string, ...any)) error {
			names := slices.Sorted(maps.Keys(ways))
			name := names[rng.IntN(len(names))]
			ways[name].Cut(true)
			last(chaos.Some(rng, 15*time.Second), "%s is cut off from etcd", name)
			ways[name].Cut(false)
			return nil
		}},
	}
}

// host is what etcdtest has of a test.
type host struct {
	cleanups []func()
}

// failure is what the panic of a test that cannot go on holds.
type failure struct{ error }

// Helper does nothing.
func (*host) Helper() {}

// Fatal ends the function that has the trouble with an error: see rescue.
func (*host) Fatal(a ...any) { panic(failure{fmt.Errorf("%s", fmt.Sprint(a...))}) }

// Fatalf is Fatal with a format.
func (*host) Fatalf(format string, a ...any) { panic(failure{fmt.Errorf(format, a...)}) }

// Cleanup has fn called at the end.
func (h *host) Cleanup(fn func()) { h.cleanups = append(h.cleanups, fn) }

// TempDir returns a folder that is removed at the end.
func (h *host) TempDir() string {
	dir, err := os.MkdirTemp("", "nano-chaos-etcd-")
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// rescue makes an error of a call of Fatal.
func (*host) rescue(err *error) {
	switch v := recover().(type) {
	case nil:
	case failure:
		*err = v.error
	default:
		panic(v)
	}
}

func (h *host) end() {
	for _, fn := range slices.Backward(h.cleanups) {
		fn()
	}
	etcdtest.Clean()
}

package etcdtest

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lonng/nano/cluster/keeper"
	"github.com/lonng/nano/cluster/keeper/keepertest"
	"github.com/lonng/nano/contrib/etcd"
	"github.com/lonng/nano/internal/nanotest"
)

// ttl is the time to live of the nodes in these tests.
const ttl = 2 * time.Second

// patience is how long anything may take on a busy machine.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	code := m.Run()
	Clean()
	os.Exit(code)
}

// newKeeper returns a Keeper at these endpoints whose log is shown if the test fails.
func newKeeper(t testing.TB, endpoints []string, change ...func(*etcd.Config)) (*etcd.Keeper, *nanotest.Log) {
	t.Helper()
	logger, log := nanotest.NewLog()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the Keeper's log: %q", log.Lines())
		}
	})
	conf := etcd.Config{Endpoints: endpoints, Prefix: t.Name() + "/", TTL: ttl, Logger: logger}
	for _, c := range change {
		c(&conf)
	}
	k, err := etcd.New(conf)
	if err != nil {
		t.Fatal(err)
	}
	return k, log
}

// joined enters a member that lives until the test ends, and returns its views.
func joined(t *testing.T, k keeper.Keeper, addr string, epoch uint64) <-chan keeper.View {
	t.Helper()
	views, err := k.Join(t.Context(), keeper.Member{Addr: addr, Epoch: epoch})
	if err != nil {
		t.Fatal(err)
	}
	return views
}

// sees waits until a view holds just these addresses.
func sees(t *testing.T, views <-chan keeper.View, want ...string) keeper.View {
	t.Helper()
	late := time.After(patience)
	var got []string
	for {
		select {
		case v := <-views:
			got = nil
			for _, m := range v.Members {
				got = append(got, m.Addr)
			}
			if slices.Equal(got, want) {
				return v
			}
		case <-late:
			t.Fatalf("the newest view holds %v, want %v", got, want)
		}
	}
}

// The promises that every Keeper makes, kept by etcd.
func TestEtcdIsAKeeper(t *testing.T) {
	c := Start(t, 3, nil)
	t.Run("promises", func(t *testing.T) {
		keepertest.Run(t, func(t *testing.T, test func(*testing.T, keepertest.Engine)) {
			t.Parallel()
			ways := make(map[keeper.Keeper]*Proxies)
			test(t, keepertest.Engine{
				TTL: ttl,
				New: func(t *testing.T) keeper.Keeper {
					p := c.Proxies(t)
					k, _ := newKeeper(t, p.Endpoints())
					ways[k] = p
					return k
				},
				Cut: func(cut bool, of ...keeper.Keeper) {
					for _, k := range of {
						ways[k].Cut(cut)
					}
				},
			})
		})
	})
}

// A node that was cut off while etcd compacted the changes that it missed has the list as it is.
func TestChangesWereCompacted(t *testing.T) {
	c := Start(t, 1, nil)
	way := c.Proxies(t)
	cutOff, _ := newKeeper(t, way.Endpoints())
	views := joined(t, cutOff, "a:1", 1)
	other, _ := newKeeper(t, c.Endpoints())
	joined(t, other, "b:1", 2)
	sees(t, views, "a:1", "b:1")
	way.Cut(true)
	for i := range 5 {
		k, _ := newKeeper(t, c.Endpoints())
		joined(t, k, "c:1", uint64(10+i))
		if err := k.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	last, _ := newKeeper(t, c.Endpoints())
	joined(t, last, "d:1", 20)
	client := c.Client(clientv3.Config{})
	resp, err := client.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Compact(t.Context(), resp.Header.Revision); err != nil {
		t.Fatal(err)
	}
	way.Cut(false)
	sees(t, views, "a:1", "b:1", "d:1")
}

// Somebody has replaced etcd by an empty one, at the same addresses: the nodes enter themselves
// again, with the ids that they have.
func TestEtcdBeginsAnew(t *testing.T) {
	c := Start(t, 1, nil)
	a, log := newKeeper(t, c.Endpoints())
	b, _ := newKeeper(t, c.Endpoints())
	as, bs := joined(t, a, "a:1", 1), joined(t, b, "b:1", 2)
	sees(t, as, "a:1", "b:1")
	before := sees(t, bs, "a:1", "b:1")
	c.Kill(0)
	c.Wipe(0)
	c.Restart(0)
	d, _ := newKeeper(t, c.Endpoints())
	ds := joined(t, d, "d:1", 3)
	after := sees(t, ds, "a:1", "b:1", "d:1")
	sees(t, as, "a:1", "b:1", "d:1")
	for _, m := range before.Members {
		if now, _ := after.Member(m.Addr); now.NodeID != m.NodeID || now.Epoch != m.Epoch {
			t.Errorf("%+v is %+v now", m, now)
		}
	}
	_ = log
}

// The id of a node that has ended is nobody's for an hour, without anybody who looks after that.
func TestIDsRestForAnHour(t *testing.T) {
	c := Start(t, 1, nil)
	k, _ := newKeeper(t, c.Endpoints())
	joined(t, k, "a:1", 1)
	if err := k.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	client := c.Client(clientv3.Config{})
	keys, err := client.Get(t.Context(), t.Name(), clientv3.WithPrefix())
	if err != nil || len(keys.Kvs) != 1 {
		t.Fatalf("etcd has %v, %v, want the id only", keys, err)
	}
	left, err := client.TimeToLive(t.Context(), clientv3.LeaseID(keys.Kvs[0].Lease))
	if err != nil || left.TTL < 3600 || left.TTL > 3900 {
		t.Errorf("the id rests for %v s, %v, want an hour", left, err)
	}
}

// With TLS and etcd's own users: who may, gets in with no more rights than the list needs; who may
// not is told so at its start, and does not wait for ever.
func TestTLSAndUsers(t *testing.T) {
	certs := nanotest.NewTLS(t)
	conf := certs.Client.Clone()
	conf.Certificates = certs.Server.Certificates
	c := Start(t, 1, &TLS{Cert: certs.CertFile, Key: certs.KeyFile, CA: certs.CertFile})
	admin := c.Client(clientv3.Config{TLS: conf})
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	must(admin.UserAdd(ctx, "root", "secret"))
	must(admin.UserGrantRole(ctx, "root", "root"))
	must(admin.RoleAdd(ctx, "nodes"))
	must(admin.RoleGrantPermission(ctx, "nodes", "game/", clientv3.GetPrefixRangeEnd("game/"), clientv3.PermissionType(clientv3.PermReadWrite)))
	must(admin.UserAdd(ctx, "node", "pass"))
	must(admin.UserGrantRole(ctx, "node", "nodes"))
	must(admin.UserAdd(ctx, "nobody", "pass"))
	must(admin.AuthEnable(ctx))

	as := func(user, password, prefix string) func(*etcd.Config) {
		return func(e *etcd.Config) { e.TLS, e.Username, e.Password, e.Prefix = conf, user, password, prefix }
	}
	https := []string{"https://" + c.Endpoints()[0]}
	k, _ := newKeeper(t, https, as("node", "pass", "game/"))
	views := joined(t, k, "a:1", 1)
	sees(t, views, "a:1")
	if err := k.Update(ctx, keeper.Member{Addr: "a:1", Label: "x"}); err != nil {
		t.Error(err)
	}
	sees(t, views, "a:1")
	for name, change := range map[string]func(*etcd.Config){
		"a wrong password": as("node", "wrong", "game/"), "another's keys": as("node", "pass", "other/"), "no rights": as("nobody", "pass", "game/"),
	} {
		k, _ := newKeeper(t, https, change)
		if _, err := k.Join(ctx, keeper.Member{Addr: "b:1", Epoch: 2}); err == nil || ctx.Err() != nil {
			t.Errorf("%s: Join says %v", name, err)
		}
	}
	// Without a certificate the connection is refused, which may be mended while the node waits;
	// the log says it.
	bare, log := newKeeper(t, https, as("node", "pass", "game/"), func(e *etcd.Config) { e.TLS = certs.Client })
	short, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := bare.Join(short, keeper.Member{Addr: "b:1", Epoch: 2})
		done <- err
	}()
	nanotest.Until(t, "the log says that etcd cannot be reached", func() bool { return log.Has("etcd cannot be reached") })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Join says %v", err)
	}
	// The list outlives a restart of etcd, after which all have to sign in anew.
	c.Kill(0)
	c.Restart(0)
	if err := k.Update(ctx, keeper.Member{Addr: "a:1", Label: "y"}); err != nil {
		nanotest.Until(t, "the list can be changed again", func() bool { return k.Update(ctx, keeper.Member{Addr: "a:1", Label: "y"}) == nil })
	}
	late, _ := newKeeper(t, https, as("node", "pass", "game/"))
	sees(t, joined(t, late, "c:1", 3), "a:1", "c:1")
}

// Who ends a node by the context of its Join, and only then has it leave, is told that it stays in
// the list for its time, and does not wait for ever.
func TestLeaveAfterTheEndIsAnError(t *testing.T) {
	c := Start(t, 1, nil)
	k, _ := newKeeper(t, c.Endpoints())
	ctx, cancel := context.WithCancel(t.Context())
	views, err := k.Join(ctx, keeper.Member{Addr: "a:1", Epoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := k.Leave(t.Context()); err == nil {
		for range views { // Leave was faster than the end
		}
	}
	if err := k.Update(t.Context(), keeper.Member{Addr: "a:1"}); err == nil {
		t.Error("an update after the end has worked")
	}
}

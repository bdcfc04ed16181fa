package promnano_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/component"
	promnano "github.com/lonng/nano/contrib/prometheus"
	"github.com/lonng/nano/metrics"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// Shop is a component with a handler that takes its time, and one that fails.
type Shop struct{ component.Base }

type item struct{ Name string }

// Buy takes 20 ms.
func (*Shop) Buy(_ context.Context, _ *session.Session, in *item) (*item, error) {
	time.Sleep(20 * time.Millisecond)
	return in, nil
}

// Steal fails.
func (*Shop) Steal(context.Context, *session.Session, *item) (*item, error) {
	return nil, component.Errorf(component.CodeRefused, "no")
}

const buys, thefts = 7, 3

// shop starts a node with a client that has bought and stolen, and serves its metrics.
func shop(t *testing.T) (registry *prometheus.Registry, metricsAt *httptest.Server) {
	t.Helper()
	comps := &component.Components{}
	comps.Register(&Shop{}, component.WithName("Shop"))
	app := nano.New("127.0.0.1:0", nano.WithComponents(comps), nano.WithSerializer(json.NewSerializer()))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := app.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := client.Dial(ctx, "tcp://"+app.Addr().String(), client.WithSerializer(json.NewSerializer()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	for range buys {
		var out item
		if err := c.Request(ctx, "Shop.Buy", &item{"hat"}, &out); err != nil || out.Name != "hat" {
			t.Fatalf("%v %v", out, err)
		}
	}
	for range thefts {
		if err := c.Request(ctx, "Shop.Steal", &item{"hat"}, nil); err == nil {
			t.Fatal("a thief was let go")
		}
	}
	registry = prometheus.NewRegistry()
	registry.MustRegister(promnano.NewCollector(app))
	metricsAt = httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	t.Cleanup(metricsAt.Close)
	return registry, metricsAt
}

// Names and units follow the conventions, and the values are those of the node.
func TestCollector(t *testing.T) {
	registry, _ := shop(t)
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for name, want := range map[string]string{
		"nano_message_errors_total": fmt.Sprintf(`nano_message_errors_total{code="permission_denied",route="Shop.Steal"} %d`, thefts),
		"nano_connections":          "nano_connections{transport=\"tcp\"} 1\nnano_connections{transport=\"websocket\"} 0",
		"nano_ready":                "nano_ready 1",
	} {
		all, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var help string
		for _, f := range all {
			if f.GetName() == name {
				help = fmt.Sprintf("# HELP %s %s\n# TYPE %s %s\n", name, f.GetHelp(), name, strings.ToLower(f.GetType().String()))
			}
		}
		if err := testutil.GatherAndCompare(registry, strings.NewReader(help+want+"\n"), name); err != nil {
			t.Error(err)
		}
	}
}

// A histogram says the same in both of its forms, to the last observation.
func TestHistogramForms(t *testing.T) {
	var counts [metrics.LastBucket - metrics.FirstBucket + 1]uint64
	durations := []time.Duration{time.Microsecond, 3 * time.Microsecond, time.Millisecond, time.Millisecond, time.Second, 1100 * time.Millisecond, time.Hour}
	var sum time.Duration
	for _, d := range durations {
		i, ok := metrics.Bucket(d)
		if !ok {
			t.Fatalf("%v counts as none", d)
		}
		counts[i-metrics.FirstBucket]++
		sum += d
	}
	s := metrics.Snapshot{Started: time.Unix(1, 0), Routes: []metrics.Route{{Name: "a.b", Handler: metrics.NewHistogram(sum, 2, metrics.FirstBucket, counts[:])}}}
	registry := prometheus.NewRegistry()
	registry.MustRegister(promnano.NewCollector(fixed{s}))
	all, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() != "nano_handler_duration_seconds" {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		if h.GetSampleCount() != 9 || h.GetZeroCount() != 2 || h.GetSampleSum() != sum.Seconds() {
			t.Errorf("count %d, none %d, sum %v", h.GetSampleCount(), h.GetZeroCount(), h.GetSampleSum())
		}
		native := nativeCounts(h)
		for _, b := range h.GetBucket() {
			want := h.GetZeroCount()
			for i, n := range native {
				if metrics.Bound(i) <= b.GetUpperBound() {
					want += n
				}
			}
			if b.GetCumulativeCount() != want {
				t.Errorf("up to %v there are %d, and %d by the native buckets", b.GetUpperBound(), b.GetCumulativeCount(), want)
			}
		}
		total := h.GetZeroCount()
		for _, n := range native {
			total += n
		}
		if total != h.GetSampleCount() {
			t.Errorf("%d of %d are in native buckets", total, h.GetSampleCount())
		}
		return
	}
	t.Error("no histogram")
}

// nativeCounts undoes spans and differences as Prometheus does.
func nativeCounts(h *dto.Histogram) map[int]uint64 {
	counts, at, d, n := map[int]uint64{}, 0, 0, int64(0)
	for _, span := range h.GetPositiveSpan() {
		at += int(span.GetOffset())
		for range span.GetLength() {
			n += h.GetPositiveDelta()[d]
			d++
			counts[at] = uint64(n)
			at++
		}
	}
	return counts
}

type fixed struct{ s metrics.Snapshot }

func (f fixed) Snapshot() metrics.Snapshot { return f.s }

// Rooms must not make a label each, and two schedulers of one name must not fail the scrape.
func TestLabelsAreBounded(t *testing.T) {
	s := metrics.Snapshot{Schedulers: []metrics.Scheduler{
		{Name: "nano", Kind: metrics.SchedulerOfNode},
		{Name: "shop", Kind: metrics.SchedulerOfComponent, Queued: 1, Busy: time.Second},
		{Name: "shop", Kind: metrics.SchedulerOfComponent, Queued: 2, Busy: time.Second},
		{Name: "room 1", Kind: metrics.SchedulerMade},
		{Name: "room 1", Kind: metrics.SchedulerMade},
	}}
	registry := prometheus.NewRegistry()
	registry.MustRegister(promnano.NewCollector(fixed{s}))
	want := `
# HELP nano_scheduler_queued Calls and tasks that wait.
# TYPE nano_scheduler_queued gauge
nano_scheduler_queued{kind="component",scheduler="shop"} 3
nano_scheduler_queued{kind="node",scheduler="nano"} 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "nano_scheduler_queued"); err != nil {
		t.Error(err)
	}
}

// A dashboard or an alert that asks for a metric which is not there shows nothing, and nobody is
// told.
func TestDashboardAndAlertsNameWhatIsThere(t *testing.T) {
	ch := make(chan *prometheus.Desc, 1000)
	promnano.NewCollector(fixed{}).Describe(ch)
	close(ch)
	known := map[string]bool{}
	name := regexp.MustCompile(`fqName: "([^"]+)"`)
	for d := range ch {
		known[name.FindStringSubmatch(d.String())[1]] = true
	}
	used := regexp.MustCompile(`\bnano_[a-z_]+`)
	for _, file := range []string{"dashboard.json", "alerts.yml"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all := used.FindAllString(string(b), -1)
		if len(all) < 10 {
			t.Errorf("%s names %d metrics", file, len(all))
		}
		for _, m := range all {
			if !known[strings.TrimSuffix(m, "_bucket")] {
				t.Errorf("%s asks for %s, which is not there", file, m)
			}
		}
	}
}

// Package promnano exports the figures of a node of nano to Prometheus.
//
//	registry := prometheus.NewRegistry()
//	registry.MustRegister(promnano.NewCollector(app), collectors.NewGoCollector())
//	pages.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
//
// Each scrape takes one snapshot (App.Snapshot); between scrapes it costs nothing. Durations are
// native histograms, and classic ones for a Prometheus that does not ask for those.
//
// Labels are bounded: routes are those that the node has handlers for, schedulers those of the node
// and of components, peers the nodes of the cluster. What rooms make (App.NewScheduler, groups) is
// told in sums. Two nodes of one process need a registry each, or prometheus.WrapRegistererWith.
//
// The files dashboard.json, for Grafana, and alerts.yml, for Prometheus, stand beside this one.
package promnano

import (
	"cmp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lonng/nano/metrics"
)

// Source is whose figures are exported: a *nano.App or a *cluster.Node.
type Source interface{ Snapshot() metrics.Snapshot }

// NewCollector returns a collector of the figures of a node, which may start later. It may be
// called by several scrapes at a time.
func NewCollector(of Source) prometheus.Collector { return &collector{of} }

type collector struct{ source Source }

// Describe sends the descriptions of all metrics.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range families() {
		ch <- f.desc
	}
}

// Collect takes a snapshot and sends it.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.source.Snapshot()
	for _, f := range families() {
		f.collect(&s, &sink{f.desc, s.Started, ch})
	}
}

// family is one metric with all its labels.
type family struct {
	desc    *prometheus.Desc
	collect func(s *metrics.Snapshot, to *sink)
}

// sink takes the values of one family.
type sink struct {
	desc    *prometheus.Desc
	started time.Time
	ch      chan<- prometheus.Metric
}

func (to *sink) counter(v float64, labels ...string) {
	m, err := prometheus.NewConstMetricWithCreatedTimestamp(to.desc, prometheus.CounterValue, v, to.started, labels...)
	to.send(m, err)
}

func (to *sink) gauge(v float64, labels ...string) {
	m, err := prometheus.NewConstMetric(to.desc, prometheus.GaugeValue, v, labels...)
	to.send(m, err)
}

func (to *sink) histogram(h metrics.Histogram, labels ...string) {
	to.ch <- &histogram{desc: to.desc, h: h, started: to.started, labels: prometheus.MakeLabelPairs(to.desc, labels)}
}

// send sends a metric, or the error of its labels: a route is what the application has named.
func (to *sink) send(m prometheus.Metric, err error) {
	if err != nil {
		m = prometheus.NewInvalidMetric(to.desc, err)
	}
	to.ch <- m
}

// each sends a counter for each key of a map.
func (to *sink) each(m map[string]uint64, labels ...string) {
	for key, n := range m {
		to.counter(float64(n), append(slices.Clone(labels), key)...)
	}
}

// schedulers are those with a name that stays, each name once: two of one name count together.
func schedulers(s *metrics.Snapshot) []metrics.Scheduler {
	var all []metrics.Scheduler
	for _, x := range s.Schedulers {
		if x.Kind == metrics.SchedulerMade {
			continue
		}
		i := slices.IndexFunc(all, func(o metrics.Scheduler) bool { return o.Name == x.Name && o.Kind == x.Kind })
		if i < 0 {
			all = append(all, x)
			continue
		}
		o := &all[i]
		o.Queued, o.Timers, o.Awaiting = o.Queued+x.Queued, o.Timers+x.Timers, o.Awaiting+x.Awaiting
		o.Busy, o.Executed, o.Dropped, o.Panics = o.Busy+x.Busy, o.Executed+x.Executed, o.Dropped+x.Dropped, o.Panics+x.Panics
		o.Wait = max(o.Wait, x.Wait)
		if o.Running == "" || x.Running != "" && x.Since.Before(o.Since) {
			o.Running, o.Since = x.Running, x.Since
		}
	}
	slices.SortFunc(all, func(a, b metrics.Scheduler) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return all
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

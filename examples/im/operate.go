package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/console"
	promnano "github.com/lonng/nano/contrib/prometheus"
	"github.com/lonng/nano/examples/im/accounts"
	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/online"
	"github.com/lonng/nano/examples/im/pushapi"
	"github.com/lonng/nano/examples/im/store"
)

// forOperators are the paths of those who run the messenger, and of their systems. Nodes of all
// kinds have them, if they have an address.
var forOperators = []string{"/api/", "/healthz", "/readyz", "/metrics", "/console/"}

// operated is a node whose operators can look at it.
type operated struct {
	app   *nano.App
	api   *pushapi.Server
	ready func(context.Context) error // whether the messenger can do its part here
	// gauges are figures of the messenger beside those of nano, by name and help.
	gauges map[[2]string]func() float64
}

// operators serves forOperators. The paths are there when the application is: register adds them.
type operators struct{ *http.ServeMux }

// register adds the paths of a node.
func (o *operators) register(conf *config, n operated) {
	o.Handle("/api/", n.api)
	o.Handle("GET /healthz", nano.HealthHandler(n.app))
	o.Handle("GET /readyz", n.readyHandler())
	o.Handle("GET /metrics", n.api.Keyed(n.metrics()))
	if conf.consoleToken != "" {
		o.Handle("/console/", http.StripPrefix("/console", console.New(n.app, console.Config{Token: conf.consoleToken})))
	}
}

// readyTime is how long the database may take to answer before a node is taken for one that cannot
// serve.
const readyTime = 2 * time.Second

// errAway is what strangers may know of a database that does not answer.
var errAway = errors.New("the database does not answer")

// pinged reports whether a database answers.
func pinged(s store.Store) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := s.Ping(ctx); err != nil {
			slog.Debug("not ready", "err", err)
			return errAway
		}
		return nil
	}
}

// readyHandler says whether the node should get new clients: what the framework says, and whether
// the messenger can do its part.
func (n *operated) readyHandler() http.Handler {
	framework := nano.ReadyHandler(n.app)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTime)
		defer cancel()
		if err := n.ready(ctx); err != nil && n.app.Health().Ready {
			w.Header().Set("Cache-Control", "no-store")
			accounts.Fail(w, http.StatusServiceUnavailable, component.CodeUnavailable, err.Error())
			return
		}
		framework.ServeHTTP(w, r)
	})
}

// metrics are the figures of the node for Prometheus.
func (n *operated) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(promnano.NewCollector(n.app), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for name, value := range n.gauges {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name[0], Help: name[1]}, value))
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// gauges are the figures of the messenger. s and running are those of a node that runs channels, or
// nil.
func gauges(o *online.Registry, s store.Store, running *channels.Service) map[[2]string]func() float64 {
	g := map[[2]string]func() float64{
		{"im_users_online", "Users who are connected, at all gates."}: func() float64 { n, _ := o.Count(); return float64(n) },
	}
	if s != nil {
		g[[2]string{"im_changes_waiting", "Messages and other changes that wait to be written."}] = func() float64 { return float64(s.Waiting()) }
	}
	if running != nil {
		g[[2]string{"im_channels_owned", "Channels that this node runs now."}] = func() float64 { return float64(running.Owned()) }
	}
	return g
}

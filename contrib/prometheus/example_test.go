package promnano_test

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/lonng/nano"
	promnano "github.com/lonng/nano/contrib/prometheus"
)

// The figures of a node and of its process, beside the probes.
func Example() {
	app := nano.New("127.0.0.1:0")
	registry := prometheus.NewRegistry()
	registry.MustRegister(promnano.NewCollector(app), collectors.NewGoCollector())
	pages := http.NewServeMux()
	pages.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	pages.Handle("GET /healthz", nano.HealthHandler(app))
	pages.Handle("GET /readyz", nano.ReadyHandler(app))
}

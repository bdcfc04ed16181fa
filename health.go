package nano

import (
	"encoding/json"
	"net/http"

	"github.com/lonng/nano/metrics"
)

// HealthHandler answers whether the application works: 200 while it does and while it starts, 503
// when a restart would help, because it has ended or one call has held up its scheduler for a
// minute. It is for the liveness probe of whoever restarts programs. The body is [metrics.Health]
// as JSON, with the reasons.
//
//	pages := http.NewServeMux()
//	pages.Handle("GET /healthz", nano.HealthHandler(app))
//	pages.Handle("GET /readyz", nano.ReadyHandler(app))
func HealthHandler(app *App) http.Handler {
	return healthHandler(app, func(h *metrics.Health) bool { return h.Live })
}

// ReadyHandler answers whether the application should get new clients: 200 when it should, else
// 503, because it is starting, not in the list of its cluster, draining or overloaded. It is for
// the readiness probe of a load balancer. The body is [metrics.Health] as JSON, with the reasons.
func ReadyHandler(app *App) http.Handler {
	return healthHandler(app, func(h *metrics.Health) bool { return h.Ready })
}

func healthHandler(app *App, good func(*metrics.Health) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := app.Health()
		status := http.StatusOK
		if !good(&h) {
			status = http.StatusServiceUnavailable
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_ = json.NewEncoder(w).Encode(&h) // the client has gone
		}
	})
}

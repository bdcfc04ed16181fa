package nano

import (
	"encoding/json"
	"net/http"

	"github.com/lonng/nano/describe"
)

// Describe returns what the application takes and answers: services, routes, the types of requests,
// answers and pushes as JSON Schema. In a cluster, the services of other nodes have their names
// only: [Operator.Describe] asks another node, and [describe.Merge] joins what each node says.
// Describe may be called before Start, too, once the components are registered; its error is that
// of the components.
func (a *App) Describe() (*describe.Description, error) { return a.node.Describe() }

// DescribeHandler returns a handler that serves [App.Describe] as JSON, for nano-cli describe and
// nano-cli gen. It asks nobody who they are: mount it where only developers come, or behind a check
// of your own.
func DescribeHandler(a *App) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		d, err := a.Describe()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(d) // fails if nobody reads any more
	})
}

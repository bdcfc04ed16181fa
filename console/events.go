package console

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/lonng/nano/component"
)

const (
	maxStreams  = 64               // pages that look at a time
	streamWrite = 10 * time.Second // that one may take to read an event
	streamTime  = 10 * time.Minute // after which a page has to show its cookie again
)

// views are what a stream can be of: each leaves out what the page does not show.
func isView(name string) bool {
	return slices.Contains([]string{"nodes", "routes", "schedulers", "groups"}, name)
}

// events is a stream of server-sent events: "history" once, and "overview" once a second.
func (a *api) events(w http.ResponseWriter, r *http.Request) {
	view := r.FormValue("view")
	if view == "" {
		view = "nodes"
	}
	if !isView(view) {
		invalid(w, "view is nodes, routes, schedulers or groups")
		return
	}
	if a.streams.Add(1) > maxStreams {
		a.streams.Add(-1)
		fail(w, http.StatusServiceUnavailable, component.CodeExhausted, "too many pages look at this console")
		return
	}
	defer a.streams.Add(-1)
	told, stop := a.sampler.watch()
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // has nginx pass on each event
	out := http.NewResponseController(w)
	write := func(event string, data []byte) bool {
		_ = out.SetWriteDeadline(time.Now().Add(streamWrite))                             // where there are none, the network's own time has to do
		if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, data); err != nil { //nolint:gosec // JSON for a stream of events, which no browser takes for a page
			return false
		}
		return out.Flush() == nil
	}
	if !write("history", a.sampler.history()) {
		return
	}
	if data := a.sampler.event(view); data != nil && a.sampler.fresh() && !write("overview", data) { // others look already
		return
	}
	end := time.NewTimer(streamTime)
	defer end.Stop()
	for {
		select {
		case <-told:
			if data := a.sampler.event(view); data != nil && !write("overview", data) {
				return
			}
		case <-end.C:
			return
		case <-r.Context().Done():
			return
		case <-a.app.Ending():
			return
		}
	}
}

package promnano

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lonng/nano/metrics"
)

// families returns all metrics, in the order of the snapshot.
func families() []family {
	var all []family
	add := func(name, help string, collect func(s *metrics.Snapshot, to *sink), labels ...string) {
		all = append(all, family{prometheus.NewDesc("nano_"+name, help, labels, nil), collect})
	}
	addNode(add)
	addRoutes(add)
	addSchedulers(add)
	addClients(add)
	addQueues(add)
	addCluster(add)
	addLinks(add)
	return all
}

type adder = func(name, help string, collect func(s *metrics.Snapshot, to *sink), labels ...string)

func addNode(add adder) {
	add("ready", "1 if the node may get new clients.", func(s *metrics.Snapshot, to *sink) { to.gauge(number(s.Health.Ready)) })
	add("live", "0 if a restart of the node would help.", func(s *metrics.Snapshot, to *sink) { to.gauge(number(s.Health.Live)) })
}

func addRoutes(add adder) {
	routes := func(each func(r *metrics.Route, to *sink)) func(*metrics.Snapshot, *sink) {
		return func(s *metrics.Snapshot, to *sink) {
			for i := range s.Routes {
				each(&s.Routes[i], to)
			}
		}
	}
	add("handler_duration_seconds", "Time from the beginning of a handler to its return.",
		routes(func(r *metrics.Route, to *sink) { to.histogram(r.Handler, r.Name) }), "route")
	add("handler_wait_seconds", "Time from when a message was read to the beginning of its handler.",
		routes(func(r *metrics.Route, to *sink) { to.histogram(r.Wait, r.Name) }), "route")
	add("handlers_running", "Calls that have begun and not returned.",
		routes(func(r *metrics.Route, to *sink) { to.gauge(float64(r.Running), r.Name) }), "route")
	add("messages_total", "Messages for a handler of the node.", routes(func(r *metrics.Route, to *sink) {
		to.counter(float64(r.Requests), r.Name, "request")
		to.counter(float64(r.Notifies), r.Name, "notify")
	}), "route", "type")
	add("message_errors_total", "Messages that ended in an error, by its code.",
		routes(func(r *metrics.Route, to *sink) { to.each(r.Errors, r.Name) }), "route", "code")
	add("handler_panics_total", "Calls that panicked.",
		routes(func(r *metrics.Route, to *sink) { to.counter(float64(r.Panics), r.Name) }), "route")
	add("elsewhere_messages_total", "Messages for which the node has no handler.", func(s *metrics.Snapshot, to *sink) {
		to.counter(float64(s.Elsewhere.Requests), "request")
		to.counter(float64(s.Elsewhere.Notifies), "notify")
	}, "type")
	add("elsewhere_errors_total", "Messages without a handler on the node that ended in an error, by its code.",
		func(s *metrics.Snapshot, to *sink) { to.each(s.Elsewhere.Errors) }, "code")
}

func addSchedulers(add adder) {
	each := func(send func(x *metrics.Scheduler, to *sink, labels ...string)) func(*metrics.Snapshot, *sink) {
		return func(s *metrics.Snapshot, to *sink) {
			for _, x := range schedulers(s) {
				send(&x, to, x.Name, string(x.Kind))
			}
		}
	}
	add("scheduler_queued", "Calls and tasks that wait.",
		each(func(x *metrics.Scheduler, to *sink, l ...string) { to.gauge(float64(x.Queued), l...) }), "scheduler", "kind")
	add("scheduler_wait_seconds", "How long the first of those that wait, or of the last batch, has waited.",
		each(func(x *metrics.Scheduler, to *sink, l ...string) { to.gauge(x.Wait.Seconds(), l...) }), "scheduler", "kind")
	add("scheduler_busy_seconds_total", "Time in which the scheduler ran something.",
		each(func(x *metrics.Scheduler, to *sink, l ...string) { to.counter(x.Busy.Seconds(), l...) }), "scheduler", "kind")
	add("scheduler_executed_total", "Calls and tasks that were run.",
		each(func(x *metrics.Scheduler, to *sink, l ...string) { to.counter(float64(x.Executed), l...) }), "scheduler", "kind")
	add("scheduler_dropped_total", "Calls and tasks that came after the scheduler's end.",
		each(func(x *metrics.Scheduler, to *sink, l ...string) { to.counter(float64(x.Dropped), l...) }), "scheduler", "kind")
	add("scheduler_panics_total", "Tasks, timers and calls that panicked on the scheduler.",
		each(func(x *metrics.Scheduler, to *sink, l ...string) { to.counter(float64(x.Panics), l...) }), "scheduler", "kind")
	add("scheduler_awaiting", "Calls in Await.",
		each(func(x *metrics.Scheduler, to *sink, l ...string) { to.gauge(float64(x.Awaiting), l...) }), "scheduler", "kind")
	add("scheduler_timers", "Timers that are not stopped.",
		each(func(x *metrics.Scheduler, to *sink, l ...string) { to.gauge(float64(x.Timers), l...) }), "scheduler", "kind")
	add("scheduler_call_seconds", "How long the batch of the call that runs has run; 0 if none does.",
		func(s *metrics.Snapshot, to *sink) {
			for _, x := range schedulers(s) {
				runs := 0.0
				if x.Running != "" {
					runs = max(0, s.At.Sub(x.Since).Seconds())
				}
				to.gauge(runs, x.Name, string(x.Kind))
			}
		}, "scheduler", "kind")
	add("made_schedulers", "Schedulers of App.NewScheduler.",
		func(s *metrics.Snapshot, to *sink) { to.gauge(float64(s.MadeSchedulers.Count)) })
	add("made_schedulers_queued", "Calls and tasks that wait for schedulers of App.NewScheduler.",
		func(s *metrics.Snapshot, to *sink) { to.gauge(float64(s.MadeSchedulers.Queued)) })
	add("made_schedulers_wait_seconds", "The longest wait of the schedulers of App.NewScheduler.",
		func(s *metrics.Snapshot, to *sink) { to.gauge(s.MadeSchedulers.Wait.Seconds()) })
}

// gauges and counters of the gate and of groups that have no labels.
func plain(add adder, name, help string, value func(s *metrics.Snapshot) float64, counts bool) {
	add(name, help, func(s *metrics.Snapshot, to *sink) {
		if counts {
			to.counter(value(s))
		} else {
			to.gauge(value(s))
		}
	})
}

func addClients(add adder) {
	gauge := func(name, help string, v func(g *metrics.Gate) float64) {
		plain(add, name, help, func(s *metrics.Snapshot) float64 { return v(&s.Gate) }, false)
	}
	counter := func(name, help string, v func(g *metrics.Gate) uint64) {
		plain(add, name, help, func(s *metrics.Snapshot) float64 { return float64(v(&s.Gate)) }, true)
	}
	add("connections", "Open connections.", func(s *metrics.Snapshot, to *sink) {
		to.gauge(float64(s.Gate.Connections.TCP), "tcp")
		to.gauge(float64(s.Gate.Connections.WebSocket), "websocket")
	}, "transport")
	gauge("sessions", "Sessions that live.", func(g *metrics.Gate) float64 { return float64(g.Sessions) })
	gauge("users", "Users with a session on the node.", func(g *metrics.Gate) float64 { return float64(g.Users) })
	gauge("sessions_away", "Sessions that wait for their clients to come back.", func(g *metrics.Gate) float64 { return float64(g.Away) })
	gauge("resume_kept_bytes", "Bytes that may have to be sent again.", func(g *metrics.Gate) float64 { return float64(g.Kept) })
	counter("connections_accepted_total", "Connections that found a place.", func(g *metrics.Gate) uint64 { return g.Accepted })
	add("connections_refused_total", "Connections that were closed before their handshake was finished.",
		func(s *metrics.Snapshot, to *sink) { to.each(s.Gate.Refused) }, "reason")
	counter("sessions_opened_total", "Sessions whose handshake was answered.", func(g *metrics.Gate) uint64 { return g.Opened })
	add("sessions_ended_total", "Sessions that have ended.", func(s *metrics.Snapshot, to *sink) { to.each(s.Gate.Ends) }, "reason")
	counter("sessions_suspended_total", "Connections that were lost while their sessions go on.", func(g *metrics.Gate) uint64 { return g.Suspended })
	counter("sessions_resumed_total", "Clients that came back to their session.", func(g *metrics.Gate) uint64 { return g.Resumed })
	plain(add, "groups", "Groups that have had a member on the node.", func(s *metrics.Snapshot) float64 { return float64(s.Groups.Count) }, false)
	plain(add, "group_members", "Members of all groups together.", func(s *metrics.Snapshot) float64 { return float64(s.Groups.Members) }, false)
	plain(add, "group_broadcasts_total", "Broadcasts and multicasts to groups.", func(s *metrics.Snapshot) float64 { return float64(s.Groups.Broadcasts) }, true)
	plain(add, "group_pushes_total", "Members that broadcasts were for.", func(s *metrics.Snapshot) float64 { return float64(s.Groups.Pushes) }, true)
}

func addQueues(add adder) {
	gauge := func(name, help string, v func(g *metrics.Gate) float64) {
		plain(add, name, help, func(s *metrics.Snapshot) float64 { return v(&s.Gate) }, false)
	}
	counter := func(name, help string, v func(g *metrics.Gate) uint64) {
		plain(add, name, help, func(s *metrics.Snapshot) float64 { return float64(v(&s.Gate)) }, true)
	}
	counter("received_bytes_total", "Bytes from clients, without TLS.", func(g *metrics.Gate) uint64 { return g.BytesIn })
	counter("sent_bytes_total", "Bytes to clients, without TLS.", func(g *metrics.Gate) uint64 { return g.BytesOut })
	counter("received_packets_total", "Packets from clients.", func(g *metrics.Gate) uint64 { return g.PacketsIn })
	counter("sent_packets_total", "Packets to clients.", func(g *metrics.Gate) uint64 { return g.PacketsOut })
	gauge("slow_connections", "Connections with 64 KiB or more that are not written yet.", func(g *metrics.Gate) float64 { return float64(g.Slow) })
	gauge("send_queue_bytes", "Bytes in the queues of slow connections; a broadcast counts for each that it waits for.", func(g *metrics.Gate) float64 { return float64(g.Queued) })
	gauge("send_queue_largest_bytes", "Bytes in the largest queue.", func(g *metrics.Gate) float64 { return float64(g.Largest) })
	add("sessions_kicked_total", "Sessions that were kicked: by the application, or because they did not read.", func(s *metrics.Snapshot, to *sink) {
		to.counter(float64(s.Gate.Kicked), "application")
		to.counter(float64(s.Gate.SlowKicked), "slow")
	}, "by")
	add("pushes_left_out_total", "Messages that were not sent to sessions that did not keep up, or because a newer one came.", func(s *metrics.Snapshot, to *sink) {
		to.counter(float64(s.Gate.Dropped), "dropped")
		to.counter(float64(s.Gate.Skipped), "skipped")
		to.counter(float64(s.Gate.Replaced), "replaced")
	}, "reason")
	counter("connections_silent_total", "Connections that the heartbeat ended.", func(g *metrics.Gate) uint64 { return g.Silent })
	counter("connections_malformed_total", "Connections that ended for what they sent.", func(g *metrics.Gate) uint64 { return g.Malformed })
	add("limited_total", "What was over a limit, whether it waited or was dropped.", func(s *metrics.Snapshot, to *sink) {
		to.counter(float64(s.Gate.Limited.Messages), "messages")
		to.counter(float64(s.Gate.Limited.Addresses), "addresses")
		to.counter(float64(s.Gate.Limited.Accepts), "accepts")
		to.counter(float64(s.Gate.Limited.Handshakes), "handshakes")
	}, "limit")
}

func addCluster(add adder) {
	add("members", "Other nodes of the cluster.", func(s *metrics.Snapshot, to *sink) {
		type kind struct{ state, reach string }
		count := map[kind]int{}
		for _, m := range s.Cluster.Members {
			count[kind{m.State, m.Reach}]++
		}
		for k, n := range count {
			to.gauge(float64(n), k.state, k.reach)
		}
	}, "state", "reach")
	add("call_duration_seconds", "Time from App.Call to its return.", func(s *metrics.Snapshot, to *sink) { to.histogram(s.Cluster.Calls) })
	add("call_errors_total", "Calls that failed, by the code of the error.", func(s *metrics.Snapshot, to *sink) { to.each(s.Cluster.CallErrors) }, "code")
	add("calls_in_flight", "Calls to and of other nodes that have no reply.", func(s *metrics.Snapshot, to *sink) {
		to.gauge(float64(s.Cluster.Calling), "out")
		to.gauge(float64(s.Cluster.Serving), "in")
	}, "direction")
	add("cluster_messages_lost_total", "Messages between nodes that did not run.", func(s *metrics.Snapshot, to *sink) {
		to.counter(float64(s.Cluster.Withdrawn), "withdrawn")
		to.counter(float64(s.Cluster.Late), "late")
		to.counter(float64(s.Cluster.Unknown), "unknown")
		to.counter(float64(s.Cluster.Lost), "lost")
	}, "reason")
}

func addLinks(add adder) {
	gauge := func(name, help string, v func(l *metrics.Link) float64) {
		add(name, help, func(s *metrics.Snapshot, to *sink) {
			for i := range s.Cluster.Links {
				to.gauge(v(&s.Cluster.Links[i]), s.Cluster.Links[i].Peer)
			}
		}, "peer")
	}
	counter := func(name, help string, v func(l *metrics.Link) uint64) {
		add(name, help, func(s *metrics.Snapshot, to *sink) {
			for i := range s.Cluster.Links {
				to.counter(float64(v(&s.Cluster.Links[i])), s.Cluster.Links[i].Peer)
			}
		}, "peer")
	}
	gauge("link_connected", "1 if the link to the node is up.", func(l *metrics.Link) float64 { return number(l.Connected) })
	gauge("link_round_trip_seconds", "How long the node took to answer last; 0 if that is not known.", func(l *metrics.Link) float64 { return l.RoundTrip.Seconds() })
	gauge("link_unsent_bytes", "Bytes queued for the node.", func(l *metrics.Link) float64 { return float64(l.Unsent) })
	gauge("link_unacked_bytes", "Bytes sent to the node, which has not confirmed them.", func(l *metrics.Link) float64 { return float64(l.Unacked) })
	gauge("link_credit_bytes", "Bytes of calls and notifies that the node has not taken out of its queue.", func(l *metrics.Link) float64 { return float64(l.Credit) })
	gauge("link_sessions", "Sessions of clients that the node knows from here.", func(l *metrics.Link) float64 { return float64(l.Sessions) })
	counter("link_frames_total", "Frames queued for the node.", func(l *metrics.Link) uint64 { return l.Frames })
	counter("link_batches_total", "Batches sent to the node.", func(l *metrics.Link) uint64 { return l.Batches })
	counter("link_sent_bytes_total", "Bytes of these batches.", func(l *metrics.Link) uint64 { return l.Bytes })
	counter("link_resent_total", "Batches sent again after a reconnect.", func(l *metrics.Link) uint64 { return l.Resent })
	counter("link_connects_total", "How often the link came up.", func(l *metrics.Link) uint64 { return l.Connects })
	counter("link_dropped_frames_total", "Frames given up because the node was restarted.", func(l *metrics.Link) uint64 { return l.Dropped })
	counter("link_refused_frames_total", "Frames that found no room in the queue.", func(l *metrics.Link) uint64 { return l.Refused })
}

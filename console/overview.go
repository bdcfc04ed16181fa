package console

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/metrics"
)

// Overview is the cluster as the console shows it: the answer of api/overview, and of each event of
// api/events. Rates are a second's, quantiles in milliseconds, both of the last ten seconds. Ages
// are in milliseconds.
type Overview struct {
	At    time.Time `json:"at"`
	Self  string    `json:"self"` // the node whose console this is
	Total Point     `json:"total"`
	Nodes []Node    `json:"nodes"` // this node first, then by address
	// Routes are those of all nodes together, the busiest first. The event stream has them in its
	// view "routes".
	Routes []Route `json:"routes,omitempty"`
}

// Point is the whole cluster at one moment, without the nodes that have not answered for a while.
type Point struct {
	At       int64   `json:"at"` // Unix time in milliseconds
	Sessions int     `json:"sessions"`
	Users    int     `json:"users"`
	Rate     float64 `json:"rate"` // messages that came to handlers
	Errors   float64 `json:"errors"`
	BytesIn  float64 `json:"bytesIn"`
	BytesOut float64 `json:"bytesOut"`
	P50      float64 `json:"p50"` // of handlers
	P99      float64 `json:"p99"`
	Busy     float64 `json:"busy"` // the busiest node's scheduler, 0 to 1
}

// Node is a node of the cluster.
type Node struct {
	Node     string   `json:"node"`
	Label    string   `json:"label,omitempty"`
	Roles    []string `json:"roles"` // master, gate, backend
	Services []string `json:"services,omitempty"`
	// State is starting, working or draining, "silent" when no answer came for a while, "gone" for
	// a node that has left the list, and "v0.5" for one that answers nothing.
	State string `json:"state"`
	// Age is how old its figures are, by the clock of this node; -1: it has never answered.
	Age     int64            `json:"age"`
	Error   string           `json:"error,omitempty"` // why the last question had no answer
	Started time.Time        `json:"started,omitzero"`
	Process *nano.Process    `json:"process,omitempty"`
	Clients []string         `json:"clients,omitempty"` // addresses at which clients connect
	Health  *metrics.Health  `json:"health,omitempty"`
	Gate    *metrics.Gate    `json:"gate,omitempty"`
	Groups  *metrics.Groups  `json:"groups,omitempty"` // in the view "groups" with the largest ones
	Calling int              `json:"calling"`
	Serving int              `json:"serving"`
	Point                    // this node's part
	Links   []Link           `json:"links,omitempty"`
	Scheds  []SchedulerState `json:"schedulers,omitempty"` // in the view "schedulers" all, else the node's own and what is slow
	Routes  []Route          `json:"routes,omitempty"`     // only in api/overview
}

// Link is the way from a node to another one.
type Link struct {
	metrics.Link
	HeardAge int64   `json:"heardAge"` // of the last sign of life; -1: none came
	RTT      float64 `json:"rtt"`      // in ms
	Frames   float64 `json:"frameRate"`
	Batches  float64 `json:"batchRate"`
	Bytes    float64 `json:"byteRate"`
}

// SchedulerState is a scheduler of a node.
type SchedulerState struct {
	metrics.Scheduler
	Wait   float64 `json:"wait"`  // in ms
	For    float64 `json:"for"`   // how long the call that runs has done so, in ms
	Share  float64 `json:"share"` // of the time in which it ran something, 0 to 1
	Rate   float64 `json:"rate"`  // calls
	IsSlow bool    `json:"slow"`  // its call runs for longer than slowAfter
}

// Route is what the handlers of a route do.
type Route struct {
	Name     string             `json:"name"`
	Nodes    int                `json:"nodes"` // that have it
	Rate     float64            `json:"rate"`
	Errors   float64            `json:"errors"`
	ByCode   map[string]float64 `json:"byCode,omitempty"` // errors
	Running  int                `json:"running"`
	P50      float64            `json:"p50"`
	P90      float64            `json:"p90"`
	P99      float64            `json:"p99"`
	Wait99   float64            `json:"wait99"` // before the handler
	Messages uint64             `json:"messages"`
	Failed   uint64             `json:"failed"`
	Panics   uint64             `json:"panics"`

	handler, wait metrics.Histogram
}

const (
	silentAfter = 4 * time.Second
	slowAfter   = 500 * time.Millisecond // of a call that runs
)

// view leaves out what a view does not show.
func (o *Overview) view(view string) *Overview {
	v := *o
	if view != "routes" {
		v.Routes = nil
	}
	v.Nodes = slices.Clone(o.Nodes)
	for i := range v.Nodes {
		n := &v.Nodes[i]
		n.Routes = nil
		if view != "groups" && n.Groups != nil {
			g := *n.Groups
			g.Largest = nil
			n.Groups = &g
		}
		if view != "schedulers" {
			n.Scheds = slices.DeleteFunc(slices.Clone(n.Scheds), func(s SchedulerState) bool {
				return s.Kind != metrics.SchedulerOfNode && !s.IsSlow
			})
		}
	}
	return &v
}

// overviewLocked makes an overview of what is known.
func (s *sampler) overviewLocked(now time.Time) *Overview {
	o := &Overview{At: now, Self: s.self, Total: Point{At: now.UnixMilli()}}
	routes := make(map[string]*Route)
	var all metrics.Histogram
	for _, n := range s.nodes {
		node, handler := n.view(now)
		o.Nodes = append(o.Nodes, node)
		if node.State == "silent" || node.State == "gone" || n.state == nil {
			continue
		}
		o.Total.add(&node.Point)
		all = all.Add(handler)
		for i := range node.Routes {
			merge(routes, &node.Routes[i])
		}
	}
	o.Total.P50, o.Total.P99 = ms(all.Quantile(0.5)), ms(all.Quantile(0.99))
	slices.SortFunc(o.Nodes, func(a, b Node) int {
		if (a.Node == s.self) != (b.Node == s.self) {
			return cmp.Compare(b2i(b.Node == s.self), b2i(a.Node == s.self))
		}
		return strings.Compare(a.Node, b.Node)
	})
	for _, r := range routes {
		r.quantiles()
		o.Routes = append(o.Routes, *r)
	}
	slices.SortFunc(o.Routes, busiest)
	if own := s.nodes[s.self]; own != nil && len(own.before) > 1 { // else there are no rates yet
		s.points = append(s.points, o.Total)
	}
	if len(s.points) > keepPoints {
		s.points = slices.Delete(s.points, 0, len(s.points)-keepPoints)
	}
	return o
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func busiest(a, b Route) int {
	return cmp.Or(cmp.Compare(b.Rate, a.Rate), cmp.Compare(b.Messages, a.Messages), strings.Compare(a.Name, b.Name))
}

func (p *Point) add(o *Point) {
	p.Sessions += o.Sessions
	p.Users += o.Users
	p.Rate += o.Rate
	p.Errors += o.Errors
	p.BytesIn += o.BytesIn
	p.BytesOut += o.BytesOut
	p.Busy = max(p.Busy, o.Busy)
}

// merge adds a node's route to that of all.
func merge(all map[string]*Route, r *Route) {
	m := all[r.Name]
	if m == nil {
		m = &Route{Name: r.Name}
		all[r.Name] = m
	}
	m.Nodes++
	m.Rate, m.Errors, m.Running = m.Rate+r.Rate, m.Errors+r.Errors, m.Running+r.Running
	m.Messages, m.Failed, m.Panics = m.Messages+r.Messages, m.Failed+r.Failed, m.Panics+r.Panics
	for code, n := range r.ByCode {
		if m.ByCode == nil {
			m.ByCode = make(map[string]float64)
		}
		m.ByCode[code] += n
	}
	m.handler, m.wait = m.handler.Add(r.handler), m.wait.Add(r.wait)
}

func (r *Route) quantiles() {
	r.P50, r.P90, r.P99 = ms(r.handler.Quantile(0.5)), ms(r.handler.Quantile(0.9)), ms(r.handler.Quantile(0.99))
	r.Wait99 = ms(r.wait.Quantile(0.99))
}

// view returns a node as it is shown, and the times of its handlers.
func (n *sampled) view(now time.Time) (v Node, handler metrics.Histogram) {
	v = Node{
		Node: n.addr, Label: n.member.Label, Services: n.member.Services, State: cmp.Or(n.member.State, "working"), Age: -1, Error: n.err,
		Started: n.member.Started, Roles: []string{},
	}
	switch {
	case !n.listed.IsZero() && now.Sub(n.listed) > silentAfter:
		v.State = "gone"
	case n.member.Legacy:
		v.State = "v0.5"
	case n.state == nil && n.err != "", n.state != nil && now.Sub(n.answered) > silentAfter:
		v.State = "silent"
	}
	if n.state == nil {
		if len(v.Services) > 0 {
			v.Roles = append(v.Roles, "backend")
		}
		return v, handler
	}
	at, s := n.state, n.state.Snapshot
	v.Label, v.Services, v.Started, v.Clients = s.Label, at.Services, s.Started, at.Clients
	v.Process, v.Health, v.Gate, v.Groups = &at.Process, &s.Health, &s.Gate, &s.Groups
	v.Calling, v.Serving, v.Roles = s.Cluster.Calling, s.Cluster.Serving, roles(at)
	v.Age = now.Sub(n.answered).Milliseconds()
	if at.Draining && v.State != "silent" && v.State != "gone" {
		v.State = "draining"
	}
	was := s
	if len(n.before) > 0 {
		was = n.before[0].Snapshot
	}
	over := s.At.Sub(was.At).Seconds()
	rate := func(now, before uint64) float64 {
		if over <= 0 || now < before {
			return 0
		}
		return float64(now-before) / over
	}
	v.Routes, handler = routesOf(s, was, rate)
	v.Point = Point{
		At: now.UnixMilli(), Sessions: s.Gate.Connections.Total() + s.Gate.Away, Users: s.Gate.Users,
		BytesIn: rate(s.Gate.BytesIn, was.Gate.BytesIn), BytesOut: rate(s.Gate.BytesOut, was.Gate.BytesOut),
		P50: ms(handler.Quantile(0.5)), P99: ms(handler.Quantile(0.99)),
	}
	for _, r := range v.Routes {
		v.Rate, v.Errors = v.Rate+r.Rate, v.Errors+r.Errors
	}
	v.Links = linksOf(s, was, rate, v.Age)
	v.Scheds = schedulersOf(s, was, rate, over)
	for _, sched := range v.Scheds {
		if sched.Kind == metrics.SchedulerOfNode {
			v.Busy = sched.Share
		}
	}
	return v, handler
}

func roles(at *nano.NodeState) (all []string) {
	all = []string{}
	if at.Master {
		all = append(all, "master")
	}
	if len(at.Clients) > 0 {
		all = append(all, "gate")
	}
	if len(at.Services) > 0 && (len(at.Clients) == 0 || !at.Clustered) {
		all = append(all, "backend")
	}
	return all
}

type rater = func(now, before uint64) float64

func routesOf(s, was *metrics.Snapshot, rate rater) (all []Route, handler metrics.Histogram) {
	before := make(map[string]*metrics.Route, len(was.Routes))
	for i := range was.Routes {
		before[was.Routes[i].Name] = &was.Routes[i]
	}
	for i := range s.Routes {
		r, b := &s.Routes[i], before[s.Routes[i].Name]
		if b == nil {
			b = new(metrics.Route)
		}
		v := Route{
			Name: r.Name, Nodes: 1, Running: r.Running, Messages: r.Requests + r.Notifies, Failed: r.Failed(), Panics: r.Panics,
			Rate: rate(r.Requests+r.Notifies, b.Requests+b.Notifies), Errors: rate(r.Failed(), b.Failed()),
			handler: r.Handler.Sub(b.Handler), wait: r.Wait.Sub(b.Wait),
		}
		for code, n := range r.Messages.Errors {
			if e := rate(n, b.Messages.Errors[code]); e > 0 {
				if v.ByCode == nil {
					v.ByCode = make(map[string]float64)
				}
				v.ByCode[code] = e
			}
		}
		v.quantiles()
		handler = handler.Add(v.handler)
		all = append(all, v)
	}
	slices.SortFunc(all, busiest)
	return all, handler
}

func linksOf(s, was *metrics.Snapshot, rate rater, age int64) (all []Link) {
	before := make(map[string]*metrics.Link, len(was.Cluster.Links))
	for i := range was.Cluster.Links {
		before[was.Cluster.Links[i].Peer] = &was.Cluster.Links[i]
	}
	for _, l := range s.Cluster.Links {
		b := before[l.Peer]
		if b == nil {
			b = new(metrics.Link)
		}
		v := Link{Link: l, HeardAge: -1, RTT: ms(l.RoundTrip)}
		v.Frames, v.Batches, v.Bytes = rate(l.Frames, b.Frames), rate(l.Batches, b.Batches), rate(l.Bytes, b.Bytes)
		if !l.Heard.IsZero() { // two times of that node's clock
			v.HeardAge = max(0, s.At.Sub(l.Heard).Milliseconds()) + age
		}
		all = append(all, v)
	}
	return all
}

func schedulersOf(s, was *metrics.Snapshot, rate rater, over float64) (all []SchedulerState) {
	type key struct {
		name string
		kind metrics.SchedulerKind
	}
	before := make(map[key]*metrics.Scheduler, len(was.Schedulers))
	for i := range was.Schedulers {
		before[key{was.Schedulers[i].Name, was.Schedulers[i].Kind}] = &was.Schedulers[i]
	}
	for _, sched := range s.Schedulers {
		v := SchedulerState{Scheduler: sched, Wait: ms(sched.Wait)}
		if sched.Running != "" && !sched.Since.IsZero() {
			run := max(0, s.At.Sub(sched.Since))
			v.For, v.IsSlow = ms(run), run >= slowAfter
		}
		if b := before[key{sched.Name, sched.Kind}]; b != nil && over > 0 {
			v.Share = min(1, max(0, (sched.Busy-b.Busy).Seconds()/over))
			v.Rate = rate(sched.Executed, b.Executed)
		}
		all = append(all, v)
	}
	return all
}

// ms is a duration in milliseconds, to the microsecond.
func ms(d time.Duration) float64 { return math.Round(float64(d)/1e3) / 1e3 }

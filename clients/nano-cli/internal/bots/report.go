package bots

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Report is what a run has shown. As JSON it is for machines: times are in milliseconds.
type Report struct {
	URL         string        `json:"url"`
	Seconds     float64       `json:"seconds"` // of load, after the ramp
	Connections ConnCounts    `json:"connections"`
	Requests    MessageCounts `json:"requests"` // of setup and steps
	Notifies    MessageCounts `json:"notifies"`
	Pushes      uint64        `json:"pushes"`
	PacketsIn   uint64        `json:"packets_in"`
	PacketsOut  uint64        `json:"packets_out"`
	BytesIn     uint64        `json:"bytes_in"`
	BytesOut    uint64        `json:"bytes_out"`
	Latency     Latency       `json:"latency"` // of the requests of all steps
	Connect     Latency       `json:"connect"`
	Cost        Cost          `json:"cost"`     // of the bots themselves
	Steps       []StepReport  `json:"steps"`    // setup, then steps
	Failures    uint64        `json:"failures"` // all that Errors lists
	Errors      []ErrorCount  `json:"errors"`
	Thresholds  []Verdict     `json:"thresholds"`
	OK          bool          `json:"ok"`       // no threshold was missed
	Problems    []string      `json:"problems"` // what never succeeded: the run shows nothing of it

	all   *hdrhistogram.Histogram
	tried float64
}

// ConnCounts are figures of connections.
type ConnCounts struct {
	Asked     int   `json:"asked"`
	Tried     int64 `json:"tried"` // fewer than asked if the run was cut short
	Connected int64 `json:"connected"`
	Lost      int64 `json:"lost"`
}

// MessageCounts are figures of requests or notifies.
type MessageCounts struct {
	Sent     uint64  `json:"sent"`
	Answered uint64  `json:"answered,omitempty"` // requests only, without errors
	Failed   uint64  `json:"failed"`
	Rate     float64 `json:"per_second"` // answered or sent, after the ramp
}

// StepReport is one step's part.
type StepReport struct {
	Kind  string `json:"kind"` // request or notify
	Route string `json:"route"`
	Setup bool   `json:"setup,omitempty"`
	MessageCounts
	Latency *Latency `json:"latency,omitempty"` // of requests

	histogram *hdrhistogram.Histogram
}

// Latency is a distribution, in milliseconds.
type Latency struct {
	Count     int64    `json:"count"`
	Min       float64  `json:"min_ms"`
	Mean      float64  `json:"mean_ms"`
	P50       float64  `json:"p50_ms"`
	P90       float64  `json:"p90_ms"`
	P95       float64  `json:"p95_ms"`
	P99       float64  `json:"p99_ms"`
	P999      float64  `json:"p999_ms"`
	Max       float64  `json:"max_ms"`
	Histogram []Bucket `json:"histogram,omitempty"`
}

// Bucket is one bar: what took from From to To.
type Bucket struct {
	From  float64 `json:"from_ms"`
	To    float64 `json:"to_ms"`
	Count int64   `json:"count"`
}

func (r *run) report(begin, before, after spent) *Report {
	load := after.at.Sub(before.at)
	rep := &Report{
		URL: r.URL, Seconds: math.Round(load.Seconds()*1000) / 1000,
		Connections: ConnCounts{r.Connections, r.tried.Load(), r.connected.Load(), r.lost.Load()},
		Pushes:      r.pushes.Load(), BytesIn: r.bytesIn.Load(), BytesOut: r.bytesOut.Load(),
		PacketsIn: r.packetsIn.Load(), PacketsOut: r.packetsOut.Load(),
		Connect:  latency(r.connects.histogram()),
		Cost:     r.cost(begin, before, after, r.spent()),
		Failures: r.failures.n.Load(), Errors: []ErrorCount{},
		all: newHistogram(),
	}
	for _, t := range r.setup {
		rep.add(t, true)
	}
	for _, t := range r.steps {
		rep.add(t, false)
	}
	rep.Latency = latency(rep.all)
	if load > 0 {
		rep.Requests.Rate = float64(after.answers-before.answers) / load.Seconds()
		rep.Notifies.Rate = float64(after.sends-before.sends) / load.Seconds()
	}
	r.failures.mu.Lock()
	for _, e := range r.failures.all {
		rep.Errors = append(rep.Errors, *e)
	}
	r.failures.mu.Unlock()
	slices.SortFunc(rep.Errors, func(a, b ErrorCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Where, b.Where), cmp.Compare(a.Code, b.Code))
	})
	rep.tried = float64(rep.Connections.Tried) + float64(rep.Requests.Sent+rep.Notifies.Sent+rep.Notifies.Failed)
	rep.Thresholds = r.Thresholds.judge(rep)
	rep.Problems = rep.problems()
	rep.OK = !slices.ContainsFunc(rep.Thresholds, func(v Verdict) bool { return !v.OK })
	return rep
}

// problems lists what was tried and failed each time: then figures and thresholds say nothing of
// the server.
func (rep *Report) problems() []string {
	all := []string{}
	c := rep.Connections
	if c.Tried > 0 && c.Connected == 0 {
		all = append(all, fmt.Sprintf("no connection was made: all %d attempts failed", c.Tried))
	}
	if c.Lost > 0 && c.Lost == c.Connected {
		all = append(all, fmt.Sprintf("all %d connections were lost", c.Lost))
	}
	for _, s := range rep.Steps {
		succeeded := s.Sent
		if s.Kind == "request" {
			succeeded = s.Answered
		}
		if s.Failed > 0 && succeeded == 0 {
			all = append(all, fmt.Sprintf("%s %s: all %d failed", s.Kind, s.name(), s.Failed))
		}
	}
	return all
}

func (s *StepReport) name() string {
	if s.Setup {
		return s.Route + " (setup)"
	}
	return s.Route
}

func (rep *Report) add(t *task, setup bool) {
	s := StepReport{Kind: "notify", Route: t.route, Setup: setup, histogram: t.stats.histogram()}
	s.Sent, s.Answered, s.Failed = t.stats.sent.Load(), t.stats.answered.Load(), t.stats.failed.Load()
	total := &rep.Notifies
	if t.request {
		s.Kind, total = "request", &rep.Requests
		l := latency(s.histogram)
		s.Latency = &l
		if !setup {
			rep.all.Merge(s.histogram)
		}
	}
	if rep.Seconds > 0 && !setup {
		s.Rate = float64(s.Sent) / rep.Seconds
		if t.request {
			s.Rate = float64(s.Answered) / rep.Seconds
		}
	}
	total.Sent += s.Sent
	total.Answered += s.Answered
	total.Failed += s.Failed
	rep.Steps = append(rep.Steps, s)
}

func ms(ns int64) float64 { return math.Round(float64(ns)/1e3) / 1e3 }

func latency(h *hdrhistogram.Histogram) Latency {
	if h.TotalCount() == 0 {
		return Latency{}
	}
	at := func(p float64) float64 { return ms(h.ValueAtPercentile(p)) }
	return Latency{
		Count: h.TotalCount(), Min: ms(h.Min()), Mean: ms(int64(h.Mean())),
		P50: at(50), P90: at(90), P95: at(95), P99: at(99), P999: at(99.9), Max: ms(h.Max()),
		Histogram: buckets(h),
	}
}

// steps of a decade, for buckets whose borders are easy to read.
func ladder() []int64 { return []int64{100, 150, 200, 300, 500, 700} }

// buckets sorts a histogram into bars, without empty ones before the first and after the last.
func buckets(h *hdrhistogram.Histogram) []Bucket {
	var borders []int64
	for unit := shortest / 100; unit <= longest; unit *= 10 {
		for _, s := range ladder() {
			borders = append(borders, s*unit)
		}
	}
	counts := make([]int64, len(borders))
	for _, bar := range h.Distribution() {
		if bar.Count > 0 {
			i, found := slices.BinarySearch(borders, bar.From)
			if !found {
				i--
			}
			counts[max(i, 0)] += bar.Count
		}
	}
	first := slices.IndexFunc(counts, func(n int64) bool { return n > 0 })
	if first < 0 {
		return nil
	}
	last := len(counts) - 1
	for counts[last] == 0 {
		last--
	}
	out := make([]Bucket, 0, last-first+1)
	for i := first; i <= last; i++ {
		b := Bucket{From: ms(borders[i]), Count: counts[i]}
		if i+1 < len(borders) {
			b.To = ms(borders[i+1])
		}
		out = append(out, b)
	}
	return out
}

// JSON writes the report for machines.
func (rep *Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(rep)
}

// Text writes the report for people.
func (rep *Report) Text(w io.Writer) error {
	var out strings.Builder
	p := func(format string, a ...any) { fmt.Fprintf(&out, format, a...) }
	c := rep.Connections
	p("%s, %.1f s of load\n\n", rep.URL, rep.Seconds)
	p("connections  %s of %s connected, %s lost\n", grouped(c.Connected), grouped(int64(c.Asked)), grouped(c.Lost))
	p("requests     %s sent, %s answered, %s failed, %.1f/s\n", grouped(rep.Requests.Sent), grouped(rep.Requests.Answered), grouped(rep.Requests.Failed), rep.Requests.Rate)
	p("notifies     %s sent, %s failed, %.1f/s\n", grouped(rep.Notifies.Sent), grouped(rep.Notifies.Failed), rep.Notifies.Rate)
	p("pushes       %s\n", grouped(rep.Pushes))
	p("bytes        %s in, %s out\n", grouped(rep.BytesIn), grouped(rep.BytesOut))
	p("own cost     %.1f s of processor time, %.1f µs a message; %.1f MB of memory, %.1f KB a connection\n",
		rep.Cost.CPU, rep.Cost.CPUPerMessage, float64(rep.Cost.Memory)/1e6, float64(rep.Cost.PerConnection)/1e3)

	p("\n%-24s %10s %9s %9s %9s %9s %9s %9s\n", "latency", "count", "min", "p50", "p90", "p99", "p99.9", "max")
	row := func(name string, l *Latency) {
		if l.Count == 0 {
			return
		}
		p("%-24s %10s", name, grouped(l.Count))
		for _, v := range []float64{l.Min, l.P50, l.P90, l.P99, l.P999, l.Max} {
			p(" %9s", short(time.Duration(v*1e6)))
		}
		p("\n")
	}
	row("connect", &rep.Connect)
	for _, s := range rep.Steps {
		if s.Latency != nil {
			row(s.name(), s.Latency)
		}
	}
	for _, s := range rep.Steps {
		if s.Latency != nil && !s.Setup && s.Latency.Count > 0 {
			p("\n%s\n", s.Route)
			bars(&out, s.Latency.Histogram)
		}
	}
	if len(rep.Errors) > 0 {
		p("\nerrors\n")
		for _, e := range rep.Errors {
			p("  %10s  %s %s: %s\n", grouped(e.Count), e.Where, e.Code, e.Example)
		}
	}
	if len(rep.Thresholds) > 0 {
		p("\nthresholds\n")
		for _, v := range rep.Thresholds {
			word := "ok"
			if !v.OK {
				word = "MISSED"
			}
			p("  %-7s %s %s: %s\n", word, v.Name, v.Limit, v.Value)
		}
	}
	if len(rep.Problems) > 0 {
		p("\nFAILED\n  %s\n", strings.Join(rep.Problems, "\n  "))
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// bars draws a histogram.
func bars(out *strings.Builder, all []Bucket) {
	const width = 50
	most := slices.MaxFunc(all, func(a, b Bucket) int { return cmp.Compare(a.Count, b.Count) }).Count
	var total int64
	for _, b := range all {
		total += b.Count
	}
	for _, b := range all {
		eighths := int(math.Round(8 * width * float64(b.Count) / float64(most)))
		if eighths == 0 && b.Count > 0 {
			eighths = 1
		}
		bar := strings.Repeat("█", eighths/8)
		if rest := eighths % 8; rest > 0 {
			bar += string([]rune("▏▎▍▌▋▊▉")[rest-1])
		}
		fmt.Fprintf(out, "  %8s … %-8s %10s %5.1f%%  %s\n", short(time.Duration(b.From*1e6)), short(time.Duration(b.To*1e6)),
			grouped(b.Count), 100*float64(b.Count)/float64(total), bar)
	}
}

// short writes a time with three digits.
func short(d time.Duration) string {
	switch f := float64(d); {
	case d < time.Millisecond:
		return fmt.Sprintf("%.3gµs", f/1e3)
	case d < time.Second:
		return fmt.Sprintf("%.3gms", f/1e6)
	}
	return fmt.Sprintf("%.3gs", d.Seconds())
}

// grouped writes a number with commas.
func grouped[T int64 | uint64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

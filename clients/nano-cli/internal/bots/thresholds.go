package bots

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Thresholds are what a run must keep to. A nil or empty one is not looked at. Latencies are those
// of all requests of the steps together.
type Thresholds struct {
	MaxP50    *Duration `yaml:"max-p50"`
	MaxP90    *Duration `yaml:"max-p90"`
	MaxP95    *Duration `yaml:"max-p95"`
	MaxP99    *Duration `yaml:"max-p99"`
	MaxP999   *Duration `yaml:"max-p999"`
	MaxErrors string    `yaml:"max-errors"` // a number, or a share of all that was tried, such as 0.1%
	MinRate   *float64  `yaml:"min-rate"`   // requests answered a second, after the ramp
}

// Verdict is what came of a threshold.
type Verdict struct {
	Name  string `json:"name"`
	Limit string `json:"limit"`
	Value string `json:"value"`
	OK    bool   `json:"ok"`
}

func (t *Thresholds) latencies() []struct {
	name string
	at   float64
	max  *Duration
} {
	return []struct {
		name string
		at   float64
		max  *Duration
	}{
		{"max-p50", 50, t.MaxP50}, {"max-p90", 90, t.MaxP90}, {"max-p95", 95, t.MaxP95},
		{"max-p99", 99, t.MaxP99}, {"max-p999", 99.9, t.MaxP999},
	}
}

func (t *Thresholds) check() error {
	_, _, err := t.errors()
	for _, l := range t.latencies() {
		if l.max != nil && *l.max <= 0 {
			err = errors.Join(err, fmt.Errorf("%s: %v is not above 0", l.name, time.Duration(*l.max)))
		}
	}
	if t.MinRate != nil && *t.MinRate <= 0 {
		err = errors.Join(err, fmt.Errorf("min-rate: %v is not above 0", *t.MinRate))
	}
	return err
}

// errors reads MaxErrors.
func (t *Thresholds) errors() (n float64, share bool, err error) {
	text, share := strings.CutSuffix(strings.TrimSpace(t.MaxErrors), "%")
	if text == "" && !share {
		return 0, false, nil
	}
	n, err = strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n > 100 && share || !share && n != float64(uint64(n)) {
		return 0, share, fmt.Errorf("max-errors: %q is neither a number of errors nor a share such as 0.1%%", t.MaxErrors)
	}
	return n, share, nil
}

// judge compares.
func (t *Thresholds) judge(rep *Report) []Verdict {
	out := []Verdict{}
	for _, l := range t.latencies() {
		if l.max == nil {
			continue
		}
		v := Verdict{Name: l.name, Limit: time.Duration(*l.max).String(), Value: "no request was answered"}
		if rep.all.TotalCount() > 0 {
			got := time.Duration(rep.all.ValueAtPercentile(l.at))
			v.Value, v.OK = short(got), got <= time.Duration(*l.max)
		}
		out = append(out, v)
	}
	if n, share, _ := t.errors(); t.MaxErrors != "" {
		got := float64(rep.Failures)
		value := strconv.FormatUint(rep.Failures, 10)
		if share {
			got = 100 * got / float64(max(rep.tried, 1))
			value = fmt.Sprintf("%.3g%%", got)
		}
		out = append(out, Verdict{"max-errors", t.MaxErrors, value, got <= n})
	}
	if t.MinRate != nil {
		out = append(out, Verdict{"min-rate", fmt.Sprintf("%g/s", *t.MinRate), fmt.Sprintf("%.1f/s", rep.Requests.Rate), rep.Requests.Rate >= *t.MinRate})
	}
	return out
}

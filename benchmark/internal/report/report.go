// Package report shows the figures of a benchmark: as a table, as JSON, and as a picture.
package report

import (
	"encoding/json"
	"io"
	"slices"
	"strconv"
)

// Report is what a run of the benchmark has found.
type Report struct {
	Machine  string   `json:"machine"`
	Date     string   `json:"date"`
	Subjects []string `json:"subjects"` // in the order of the columns; the first is the floor
	Rows     []*Row   `json:"rows"`
	Failed   []string `json:"failed,omitempty"` // what could not be measured, and why
}

// Row is one figure of several subjects.
type Row struct {
	Name  string           `json:"name"`
	Unit  string           `json:"unit"`
	More  bool             `json:"more_is_better,omitempty"`
	Cells map[string]*Cell `json:"cells"` // by subject; none where it was not measured
}

// Cell is what one subject has in a row.
type Cell struct {
	Value float64              `json:"value"` // the median of Runs
	Runs  []float64            `json:"runs"`
	Other map[string]float64   `json:"other,omitempty"` // other figures of the same runs, medians
	other map[string][]float64 // of each run
	Notes []string             `json:"notes,omitempty"` // what must not be overlooked, as lost messages
}

// Add adds a run to what a subject has in the row.
func (r *Row) Add(subject string, value float64, other map[string]float64, note string) {
	if r.Cells == nil {
		r.Cells = make(map[string]*Cell)
	}
	c := r.Cells[subject]
	if c == nil {
		c = &Cell{Other: make(map[string]float64), other: make(map[string][]float64)}
		r.Cells[subject] = c
	}
	c.Runs = append(c.Runs, value)
	c.Value = Median(c.Runs)
	for k, v := range other {
		c.other[k] = append(c.other[k], v)
		c.Other[k] = Median(c.other[k])
	}
	if note != "" && !slices.Contains(c.Notes, note) {
		c.Notes = append(c.Notes, note)
	}
}

// Median returns the middle value, the mean of the two middle ones, or 0 of none.
func Median(all []float64) float64 {
	s := slices.Sorted(slices.Values(all))
	n := len(s)
	switch {
	case n == 0:
		return 0
	case n%2 == 1:
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

// Ratio returns a subject's value divided by that of the base. It is false where there is none.
func (r *Row) Ratio(subject, base string) (float64, bool) {
	a, b := r.Cells[subject], r.Cells[base]
	if a == nil || b == nil || b.Value == 0 || subject == base {
		return 0, false
	}
	return a.Value / b.Value, true
}

// JSON writes the report for programs.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// number shows a value with three digits that say something.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 10_000:
		return group(strconv.FormatFloat(v, 'f', 0, 64))
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 0.1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}

// group puts commas between thousands.
func group(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

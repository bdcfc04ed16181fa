package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Table writes the report for people, as a table of Markdown whose columns stand under each other.
// Behind a value stands its ratio to the floor.
func (r *Report) Table(w io.Writer) error {
	lines := [][]string{append([]string{"work", "unit"}, r.Subjects...)}
	for _, row := range r.Rows {
		lines = append(lines, r.line(row))
	}
	width := make([]int, len(lines[0]))
	for _, l := range lines {
		for i, cell := range l {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	rule := make([]string, len(width))
	for i, n := range width {
		rule[i] = strings.Repeat("-", n)
		if i > 1 {
			rule[i] = rule[i][1:] + ":"
		}
	}
	lines = append([][]string{lines[0], rule}, lines[1:]...)
	for _, l := range lines {
		for i, cell := range l {
			l[i] = pad(cell, width[i], i > 1)
		}
		if _, err := fmt.Fprintf(w, "| %s |\n", strings.Join(l, " | ")); err != nil {
			return err
		}
	}
	return r.notes(w)
}

func (r *Report) line(row *Row) []string {
	l := []string{row.Name, row.Unit}
	for _, s := range r.Subjects {
		c := row.Cells[s]
		if c == nil {
			l = append(l, "-")
			continue
		}
		text := number(c.Value)
		if ratio, ok := row.Ratio(s, r.Subjects[0]); ok {
			text += fmt.Sprintf(" (%.2f)", ratio)
		}
		if len(c.Notes) > 0 {
			text += " !"
		}
		l = append(l, text)
	}
	return l
}

// notes writes what must not be overlooked.
func (r *Report) notes(w io.Writer) error {
	for _, f := range r.Failed {
		if _, err := fmt.Fprintf(w, "! not measured: %s\n", f); err != nil {
			return err
		}
	}
	for _, row := range r.Rows {
		for _, s := range r.Subjects {
			if c := row.Cells[s]; c != nil && len(c.Notes) > 0 {
				if _, err := fmt.Fprintf(w, "! %s, %s: %s\n", row.Name, s, strings.Join(c.Notes, "; ")); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func pad(s string, width int, right bool) string {
	space := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
	if right {
		return space + s
	}
	return s + space
}

package report

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// Measures of the picture, in pixels.
const (
	labelWidth = 330
	barWidth   = 300
	valueWidth = 150
	barHeight  = 11
	rowGap     = 14
	headHeight = 58
)

// colours of the subjects, by their order.
var colours = [...]string{"#9aa5b1", "#4c78a8", "#54a24b", "#e0a030", "#c44e52", "#8064a2"}

// SVG writes a picture with a bar for each value. The bars of a row have the same scale, and rows
// do not.
func (r *Report) SVG(w io.Writer) error {
	var b strings.Builder
	height := headHeight
	for _, row := range r.Rows {
		height += len(r.present(row))*barHeight + rowGap
	}
	width := labelWidth + barWidth + valueWidth
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n",
		width, height+10, width, height+10)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	fmt.Fprintf(&b, `<text x="10" y="18" fill="#555">%s</text>`+"\n", html.EscapeString(r.Machine+", "+r.Date))
	x := 10
	for i, s := range r.Subjects {
		fmt.Fprintf(&b, `<rect x="%d" y="28" width="11" height="11" fill="%s"/><text x="%d" y="38">%s</text>`+"\n",
			x, colours[i%len(colours)], x+16, html.EscapeString(s))
		x += 40 + 7*len(s)
	}
	y := headHeight
	for _, row := range r.Rows {
		y = r.bars(&b, row, y)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// present returns the numbers of the subjects that have a value in the row.
func (r *Report) present(row *Row) (numbers []int) {
	for i, s := range r.Subjects {
		if row.Cells[s] != nil {
			numbers = append(numbers, i)
		}
	}
	return numbers
}

// bars draws a row from y on, and returns where the next one begins.
func (r *Report) bars(b *strings.Builder, row *Row, y int) int {
	most := 0.0
	for _, i := range r.present(row) {
		most = max(most, row.Cells[r.Subjects[i]].Value)
	}
	better := ""
	if row.More {
		better = ", more is better"
	}
	fmt.Fprintf(b, `<text x="10" y="%d">%s <tspan fill="#777">%s%s</tspan></text>`+"\n", y+9,
		html.EscapeString(row.Name), html.EscapeString(row.Unit), better)
	for _, i := range r.present(row) {
		s := r.Subjects[i]
		length := 0.0
		if most > 0 {
			length = row.Cells[s].Value / most * barWidth
		}
		text := number(row.Cells[s].Value)
		if ratio, ok := row.Ratio(s, r.Subjects[0]); ok {
			text += fmt.Sprintf(" (%.2f)", ratio)
		}
		fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%d" font-size="10">%s</text>`+"\n",
			labelWidth, y, max(length, 1), barHeight-2, colours[i%len(colours)], float64(labelWidth)+max(length, 1)+4, y+8, text)
		y += barHeight
	}
	return y + rowGap
}

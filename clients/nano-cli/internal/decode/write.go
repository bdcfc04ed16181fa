package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	perLine = 8   // bytes in a line of short parts
	perDump = 16  // bytes in a line of bodies
	maxShow = 512 // bytes of a body that are shown unless all are wanted
	maxJSON = 4 << 10
)

func (x *Explainer) printf(format string, a ...any) {
	if _, err := fmt.Fprintf(x.Out, format, a...); err != nil && x.werr == nil {
		x.werr = err
	}
}

// line shows a short part with what it means.
func (x *Explainer) line(at int, b []byte, text string) {
	first := b[:min(perLine, len(b))]
	x.printf("  %06x  %-24s %s\n", at, spaced(first), text)
	for i := perLine; i < len(b); i += perLine {
		x.printf("  %06x  %s\n", at+i, spaced(b[i:min(i+perLine, len(b))]))
	}
}

// dump shows a part of any length, with its letters.
func (x *Explainer) dump(at int, b []byte, text string) {
	x.printf("  %06x  %-24s %s\n", at, "", text)
	for i := 0; i < len(b); i += perDump {
		if !x.All && len(b) > maxShow && i == maxShow/2 {
			skip := (len(b) - maxShow) / perDump * perDump
			x.printf("          … %s more, --all shows them …\n", count(skip))
			i += skip
		}
		piece := b[i:min(i+perDump, len(b))]
		x.printf("  %06x    %-48s  %s\n", at+i, spaced(piece), letters(piece))
	}
}

func (x *Explainer) note(text string) { x.printf("          %s\n", text) }

// value shows JSON in lines.
func (x *Explainer) value(b []byte) {
	if !json.Valid(b) || (!x.All && len(b) > maxJSON) {
		return
	}
	var out bytes.Buffer
	if json.Indent(&out, b, "          ", "  ") == nil {
		x.printf("          %s\n", out.Bytes())
	}
}

// fail shows what is wrong, at the bytes that are.
func (x *Explainer) fail(at int, b []byte, reason string) {
	x.failed = append(x.failed, &Error{x.where, at, reason})
	if len(b) > perLine {
		x.line(at, b[:perLine], "<<< error: "+reason)
		x.rest(at+perLine, b[perLine:])
		return
	}
	x.line(at, b, "<<< error: "+reason)
}

// rest shows bytes whose meaning is lost.
func (x *Explainer) rest(at int, b []byte) {
	if len(b) > 0 {
		x.dump(at, b, count(len(b))+" that cannot be told")
	}
}

func count(n int) string {
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}

func spaced(b []byte) string { return strings.TrimSuffix(fmt.Sprintf("% x", b), " ") }

func letters(b []byte) string {
	out := make([]byte, len(b))
	for i, c := range b {
		if out[i] = c; c < ' ' || c > '~' {
			out[i] = '.'
		}
	}
	return string(out)
}

// text tells whether b is something to read.
func text(b []byte) bool {
	return utf8.Valid(b) && bytes.IndexFunc(b, func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }) < 0
}

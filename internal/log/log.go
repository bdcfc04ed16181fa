// Package log joins the two ways in which a node tells what happened: log/slog, which everything in
// this module writes to, and the three-method logger that programs written for v0.5 pass to
// nano.WithLogger.
package log

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Printer is the one method of v0.5's logger that is ever called.
type Printer interface {
	Println(v ...any)
}

// New returns a logger whose records become lines of l.Println: message, then key=value pairs.
// Values are quoted where they hold more than one word.
func New(l Printer, level slog.Level) *slog.Logger {
	return slog.New(&handler{out: l, level: level})
}

// handler formats a record as one line. It is immutable, so it may be used by any number of
// goroutines.
type handler struct {
	out   Printer
	level slog.Level
	group string // prefix of keys, with its dot
	attrs string // formatted, each with a leading blank
}

func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	h.out.Println(h.text(r))
	return nil
}

// Text returns the line that the handler of a logger of [New], or one that was made from it, writes
// of a record. It writes nothing. It returns "" for any other handler.
func Text(h slog.Handler, r slog.Record) string {
	if h, ok := h.(*handler); ok {
		return h.text(r)
	}
	return ""
}

func (h *handler) text(r slog.Record) string {
	var b strings.Builder
	b.WriteString("nano: ")
	if r.Level != slog.LevelInfo {
		b.WriteString(r.Level.String())
		b.WriteString(" ")
	}
	b.WriteString(r.Message)
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		appendAttr(&b, h.group, a)
		return true
	})
	return b.String()
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		appendAttr(&b, h.group, a)
	}
	c := *h
	c.attrs = b.String()
	return &c
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.group += name + "."
	return &c
}

func appendAttr(b *strings.Builder, group string, a slog.Attr) {
	a.Value = a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return
	}
	if a.Value.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, g := range a.Value.Group() {
			appendAttr(b, group, g)
		}
		return
	}
	b.WriteString(" ")
	b.WriteString(group)
	b.WriteString(a.Key)
	b.WriteString("=")
	appendText(b, a.Key, a.Value.String())
}

// appendText writes a value, quoted where it could be taken for more than one: texts from outside
// must not forge lines or attributes. Stacks are the runtime's own, and are only indented.
func appendText(b *strings.Builder, key, v string) {
	word, printable := v != "", utf8.ValidString(v)
	for _, r := range v {
		word = word && r != ' ' && r != '"' && r != '=' && r != '`'
		printable = printable && strconv.IsPrint(r)
	}
	switch {
	case word && printable:
		b.WriteString(v)
	case key == "stack":
		b.WriteString("\n\t")
		b.WriteString(strings.ReplaceAll(strings.TrimSpace(v), "\n", "\n\t"))
	case printable && strings.Contains(v, `"`) && strconv.CanBackquote(v):
		b.WriteString("`" + v + "`")
	default:
		b.WriteString(strconv.Quote(v))
	}
}

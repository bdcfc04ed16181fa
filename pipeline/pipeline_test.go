package pipeline_test

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/session"
)

// mark is a filter that adds its name to the payload.
func mark(name string) pipeline.Func {
	return func(_ *session.Session, msg *pipeline.Message) error {
		msg.Data = append(msg.Data, name...)
		return nil
	}
}

func run(t *testing.T, c pipeline.Channel) string {
	t.Helper()
	msg := &pipeline.Message{}
	if err := c.Process(session.New(nil), msg); err != nil {
		t.Fatal(err)
	}
	return string(msg.Data)
}

func TestOrder(t *testing.T) {
	p := pipeline.New()
	in := p.Inbound()
	in.PushBack(mark("c"))
	in.PushFront(mark("b"))
	in.PushFront(mark("a"))
	in.PushBack(mark("d"))
	in.PushBack(nil)
	in.PushFront(nil)
	if got := run(t, in); got != "abcd" {
		t.Errorf("filters ran as %q", got)
	}
	if got := run(t, p.Outbound()); got != "" {
		t.Errorf("inbound filters %q saw an outbound message", got)
	}
	if p.Inbound() != in {
		t.Error("another channel each time")
	}
}

// A message that was refused must not reach the filters behind, which count or
// pay for what comes through.
func TestFirstErrorEndsIt(t *testing.T) {
	refusal := errors.New("refused")
	c := pipeline.New().Inbound()
	c.PushBack(mark("a"))
	c.PushBack(func(*session.Session, *pipeline.Message) error { return refusal })
	c.PushBack(mark("b"))
	msg := &pipeline.Message{}
	if err := c.Process(session.New(nil), msg); !errors.Is(err, refusal) || string(msg.Data) != "a" {
		t.Errorf("error %v, data %q", err, msg.Data)
	}
}

// A panic in a filter must cost one message, not the node.
func TestPanicIsAnError(t *testing.T) {
	for name, value := range map[string]any{"text": "broken", "error": io.ErrUnexpectedEOF} {
		t.Run(name, func(t *testing.T) {
			c := pipeline.New().Outbound()
			c.PushBack(func(*session.Session, *pipeline.Message) error { panic(value) })
			err := c.Process(session.New(nil), &pipeline.Message{})
			var p *pipeline.PanicError
			if !errors.As(err, &p) || p.Value != value || !strings.Contains(string(p.Stack), "pipeline_test.go") {
				t.Fatalf("error %v", err)
			}
			if want, ok := value.(error); ok != errors.Is(err, io.ErrUnexpectedEOF) || ok && !strings.Contains(err.Error(), want.Error()) {
				t.Errorf("the panic's own error is lost in %v", err)
			}
		})
	}
}

type foreign struct{ pipeline.Channel }

func TestEmpty(t *testing.T) {
	c := pipeline.New().Inbound()
	if !pipeline.Empty(c) || !pipeline.Empty(nil) {
		t.Error("not empty without filters")
	}
	if pipeline.Empty(foreign{c}) {
		t.Error("a channel of the application that cannot say so is taken for empty: its filters would not run")
	}
	c.PushBack(nil)
	if !pipeline.Empty(c) {
		t.Error("a nil filter counts")
	}
	c.PushFront(mark("a"))
	if pipeline.Empty(c) {
		t.Error("empty with a filter")
	}
}

func TestFiltersAddedWhileOthersRun(t *testing.T) {
	c := pipeline.New().Inbound()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				c.PushBack(mark("b"))
				c.PushFront(mark("a"))
			}
		})
		wg.Go(func() {
			for range 200 {
				got := run(t, c)
				if n := strings.Index(got, "b"); n >= 0 && strings.Contains(got[n:], "a") {
					t.Errorf("filters ran as %q", got)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := run(t, c); len(got) != 400 {
		t.Errorf("%d filters, want 400", len(got))
	}
}

// A filter that adds a filter, as a plug-in may, does not wait for itself.
func TestPushFromInside(t *testing.T) {
	c := pipeline.New().Inbound()
	c.PushBack(func(*session.Session, *pipeline.Message) error { c.PushBack(mark("x")); return nil })
	if got := run(t, c); got != "" {
		t.Errorf("the message under way saw the new filter: %q", got)
	}
	if got := run(t, c); got != "x" {
		t.Errorf("the next message saw %q", got)
	}
}

func BenchmarkProcess(b *testing.B) {
	s, msg := session.New(nil), &pipeline.Message{}
	for _, filters := range []int{0, 1, 4} {
		c := pipeline.New().Inbound()
		for range filters {
			c.PushBack(func(*session.Session, *pipeline.Message) error { return nil })
		}
		b.Run(map[int]string{0: "empty", 1: "one", 4: "four"}[filters], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Process(s, msg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package nano_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/internal/nanotest"
)

// A deploy that gives its node ten seconds must get it back, with the reason and nothing left open.
func TestStartEndsWithItsContext(t *testing.T) {
	why := errors.New("the deploy was called off")
	over, end := context.WithCancelCause(t.Context())
	end(why)
	brief, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, why)
	defer cancel()
	for name, c := range map[string]struct {
		ctx context.Context
		opt nano.Option
	}{
		"over before the start":   {over, nil},
		"over, and a master":      {over, nano.WithMaster()},
		"the master is not there": {brief, nano.WithAdvertiseAddr("127.0.0.1:1", 10*time.Millisecond)},
	} {
		l := nanotest.NewListener()
		app := nano.New("127.0.0.1:0", c.opt, nano.WithEndpoint(nano.Endpoint{Listener: l}), quiet())
		if err := app.Start(c.ctx); !errors.Is(err, why) {
			t.Errorf("%s: Start returned %v, want %v", name, err, why)
		}
		if _, err := l.Dial(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: the listener is still open: %v", name, err)
		}
	}
}

// The context of Start is for the start: a node must not die with the deadline that its start had.
func TestAppOutlivesTheContextOfItsStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := nanotest.NewListener()
	app := nano.New("", nano.WithEndpoint(nano.Endpoint{Listener: l}), quiet())
	if err := app.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer shutdown(t, app)
	cancel()
	c := l.Client(t)
	c.Ready()
	c.Close()
}

func quiet() nano.Option { return nano.WithSlog(slog.New(slog.DiscardHandler)) }

func shutdown(t *testing.T, app *nano.App) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), nanotest.Patience)
	defer cancel()
	if err := app.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

package otelnano_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	otelnano "github.com/lonng/nano/contrib/otel"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

// A node whose handlers are traced. A program has an exporter that sends the spans somewhere, in
// a batch processor (sdktrace.WithBatcher).
func Example() {
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	defer func() { _ = provider.Shutdown(context.Background()) }()

	var cs component.Components
	component.Handle(&cs, "Shop.Price", func(context.Context, *session.Session, *string) (*int, error) {
		price := 12
		return &price, nil
	})
	app := nano.New("127.0.0.1:0",
		nano.WithComponents(&cs),
		nano.WithSerializer(json.NewSerializer()),
		nano.WithSlog(slog.New(slog.DiscardHandler)),
		nano.WithTracer(otelnano.NewTracer(otelnano.WithTracerProvider(provider))),
	)
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	price, err := nano.Call[int](app.Context(ctx), "Shop.Price", "sword")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("the price is", *price)
	if err := app.Shutdown(ctx); err != nil {
		fmt.Println(err)
	}
	for _, s := range exporter.GetSpans().Snapshots() {
		fmt.Println(s.SpanKind(), s.Name())
	}
	// Unordered output:
	// the price is 12
	// server Shop.Price
	// client Shop.Price
}

// A program that has set its provider by otel.SetTracerProvider.
func ExampleNewTracer() {
	const addr = ":3250"
	app := nano.New(addr,
		nano.WithTracer(otelnano.NewTracer()),
		nano.WithSlog(slog.New(otelnano.LogHandler(slog.NewJSONHandler(os.Stderr, nil)))),
	)
	_ = app
}

// A provider that samples one trace in a hundred.
func ExampleWithTracerProvider() {
	const addr = ":3250"
	exporter := tracetest.NewInMemoryExporter()

	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter), // such as otlptracegrpc.New(ctx)
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0.01))),
	)
	defer provider.Shutdown(context.Background())

	app := nano.New(addr,
		nano.WithTracer(otelnano.NewTracer(otelnano.WithTracerProvider(provider))),
		nano.WithSlog(slog.New(otelnano.LogHandler(slog.NewJSONHandler(os.Stderr, nil)))),
	)
	_ = app
}

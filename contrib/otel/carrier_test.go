package otelnano

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/lonng/nano/session"
	"github.com/lonng/nano/tracing"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// What a client says is kept where it is trace context, and nothing else of it: not what it makes
// up, and never more than a node carries.
func TestWhatAClientSays(t *testing.T) {
	long := "a=" + strings.Repeat("b", 2*tracing.MaxCarrier)
	header := func(h http.Header) *http.Request { return &http.Request{Header: h} }
	for name, c := range map[string]struct {
		body    string
		request *http.Request
		want    string
	}{
		"nothing":                {body: `{"sys":{"type":"js"},"user":{}}`},
		"no body":                {},
		"in user":                {body: `{"user":{"traceparent":"` + parent + `"}}`, want: "traceparent=" + parent + "\n"},
		"in sys":                 {body: `{"sys":{"traceparent":"` + parent + `","tracestate":"a=b"}}`, want: "tracestate=a=b\ntraceparent=" + parent + "\n"},
		"user is text":           {body: `{"user":"traceparent","sys":{"traceparent":"` + parent + `"}}`, want: "traceparent=" + parent + "\n"},
		"in the header":          {request: header(http.Header{"Traceparent": {parent}}), want: "traceparent=" + parent + "\n"},
		"in both":                {body: `{"user":{"traceparent":"` + parent + `"}}`, request: header(http.Header{"Traceparent": {"00-1-2-00"}}), want: "traceparent=" + parent + "\n"},
		"malformed":              {body: `{"user":{"traceparent":"00-0-0-01"}}`},
		"a number":               {body: `{"user":{"traceparent":7}}`},
		"no JSON":                {body: `traceparent`},
		"state only":             {body: `{"user":{"tracestate":"a=b","traceparent":""}}`},
		"lines of its own":       {body: `{"user":{"traceparent":"` + parent + `\ntracestate=x=y"}}`},
		"a state that is long":   {body: `{"user":{"traceparent":"` + parent + `","tracestate":"` + long + `"}}`, want: "traceparent=" + parent + "\n"},
		"a parent that is long":  {body: `{"user":{"traceparent":"` + parent + long + `"}}`},
		"an unknown propagation": {body: `{"user":{"b3":"0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1"}}`},
	} {
		tracer := NewTracer()
		s := session.New(nil)
		tracer.Handshake(s, &session.Handshake{Payload: []byte(c.body), Request: c.request})
		if got := s.String(clientKey); got != c.want {
			t.Errorf("%s: kept %q, want %q", name, got, c.want)
		}
	}
}

// A baggage that is too large does not cost the trace.
func TestCarrierLeavesOutWhatIsLarge(t *testing.T) {
	tracer := NewTracer(WithPropagator(propagation.NewCompositeTextMapPropagator(propagation.Baggage{}, propagation.TraceContext{})))
	ctx := tracer.extract(context.Background(), "traceparent="+parent+"\nbaggage=k="+strings.Repeat("v", 2*tracing.MaxCarrier)+"\n")
	got := tracer.inject(ctx)
	if len(got) > tracing.MaxCarrier || string(got) != "traceparent="+parent+"\n" {
		t.Errorf("the carrier is %q", got)
	}
	ctx = tracer.extract(context.Background(), "traceparent="+parent+"\nbaggage=k=v\n")
	if got := string(tracer.inject(ctx)); got != "baggage=k=v\ntraceparent="+parent+"\n" {
		t.Errorf("the carrier is %q", got)
	}
	sc := trace.SpanContextFromContext(tracer.extract(ctx, "nothing of the kind"))
	if sc.IsValid() {
		t.Errorf("bytes that are no trace context are %v", sc)
	}
}

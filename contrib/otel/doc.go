// Package otelnano makes OpenTelemetry spans of what a nano node does with messages, so that one
// trace shows a client's request on its way through the nodes of a cluster.
//
// Give each node the tracer:
//
//	app := nano.New(addr, nano.WithTracer(otelnano.NewTracer()))
//
// There is a span for each call of a handler, for each message that a gate sends to another node,
// and for each nano.Call and nano.Notify. W3C trace context travels between the nodes with their
// messages. A handler's context has the span of its call: pass it to nano.Call, nano.Notify, to
// databases, and to the logger, whose lines [LogHandler] gives the ids of the trace.
//
// A client may send its trace context in the handshake. Its messages have links to that by default:
// a session lasts for hours, and a client that is believed could have everything sampled. See
// [WithClientParent].
//
// No span has a user id, an address or a payload.
package otelnano

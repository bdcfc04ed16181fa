// Package wsframe reads and writes WebSocket frames (RFC 6455) without I/O and
// without buffers of its own.
//
// A [Parser] is fed what the network delivered, cut anywhere, and hands back the
// payload of text and binary messages piece by piece, unmasked where it lies, with
// the control frames in between. It suits a protocol that has frames of its own
// inside of the stream: messages are never put together. The functions that append
// make whole frames.
//
// The package knows no extensions, does not check that text is UTF-8 (text is read
// like binary here), answers nothing by itself, and leaves the HTTP upgrade to others.
package wsframe

// Package codec turns the bytes of nano's wire format into values and back.
//
// There are two layers. A packet is what travels on a connection: a type, three
// bytes of length and a body. A [Decoder] cuts packets out of whatever pieces the
// network delivers. A message is the body of a data packet: a request, notify,
// response or push with its id, route and payload. [ParseMessage] reads one in
// place, [AppendData] writes one together with its packet, and a [Dictionary]
// replaces routes by two-byte codes.
//
// Both directions reuse memory: reading returns slices of the bytes that were fed, and
// writing appends to a slice of the caller's. Each function says what is borrowed, and for
// how long. No input makes this package panic, read out of bounds, or allocate much more
// memory than the peer has sent.
//
// The package does no I/O, keeps no state outside of its values, neither compresses nor
// serializes payloads, and does not check the order of packets, which the connection does.
package codec

package codec

// Decoder cuts a stream of bytes into packets. The bytes may be fed in pieces of
// any size; where they are cut makes no difference to what comes out.
//
// The zero value is ready and has the limit [DefaultMaxPacket]. A Decoder is
// small, is meant to be embedded by value, and holds no memory while it is
// between two packets. It belongs to one goroutine at a time.
type Decoder struct {
	in    []byte // lent by Feed, not yet looked at
	part  []byte // body so far of a packet that is split over feeds
	limit uint32 // of a body, in bytes; 0 means DefaultMaxPacket
	head  [HeadLength]byte
	nhead uint8 // bytes of head that are there; all of them while part grows
}

// minPart is how much is set aside, at most, for the first bytes of a split body.
const minPart = 512

// NewDecoder returns a decoder that refuses bodies of more than maxBody bytes; 0
// or less means [DefaultMaxPacket].
func NewDecoder(maxBody int) *Decoder {
	d := new(Decoder)
	d.Init(maxBody)
	return d
}

// Init makes d as new, with a limit as in [NewDecoder].
func (d *Decoder) Init(maxBody int) {
	*d = Decoder{limit: uint32(bodyLimit(maxBody))}
}

// Feed lends data to the decoder until Next has returned false; until then the
// caller must not write to it. It ends the validity of all bodies handed out
// before. Feeding again before Next has returned false is allowed and costs a
// copy. After an error data is ignored.
func (d *Decoder) Feed(data []byte) {
	if len(d.in) > 0 {
		joined := make([]byte, 0, len(d.in)+len(data))
		data = append(append(joined, d.in...), data...)
	}
	d.in = data
}

// Next returns the next packet of what was fed, or false when more bytes are
// needed. The packet's body is valid until the next Feed: it lies in the fed bytes
// without a copy, unless the packet began in an earlier feed.
//
// An error, [ErrPacketType] or [ErrPacketTooLarge], is final: there is no way to
// find the next packet, and every further call returns it again. It comes as soon
// as the offending byte is there; packets before it are delivered first.
func (d *Decoder) Next() (p Packet, ok bool, err error) {
	in := d.in
	if d.nhead == 0 && len(in) >= HeadLength {
		// The usual case: all of it is here.
		t, n := PacketType(in[0]), bodyLength(in)
		if end := HeadLength + n; t.Valid() && n <= d.max() && end <= len(in) {
			d.in = in[end:]
			return Packet{Type: t, Body: in[HeadLength:end:end]}, true, nil
		}
	}
	return d.nextSplit()
}

// Partial reports, once Next has returned false, whether a packet has begun and is
// not complete. A stream that ends then was cut off.
func (d *Decoder) Partial() bool { return d.nhead > 0 || len(d.in) > 0 }

// nextSplit is Next for packets that are not whole in what was fed, and for bad
// ones. An error needs no field: the head that caused it stays and says it again.
func (d *Decoder) nextSplit() (Packet, bool, error) {
	k := copy(d.head[d.nhead:], d.in)
	d.nhead += uint8(k)
	d.in = d.in[k:]
	if d.nhead == 0 {
		d.in = nil
		return Packet{}, false, nil
	}
	t := PacketType(d.head[0])
	if !t.Valid() {
		d.in = nil
		return Packet{}, false, typeError(t)
	}
	if d.nhead < HeadLength {
		d.in = nil
		return Packet{}, false, nil
	}
	n := bodyLength(d.head[:])
	if n > d.max() {
		d.in = nil
		return Packet{}, false, sizeError(t, n, d.max())
	}

	missing := n - len(d.part)
	if len(d.in) < missing {
		d.gather(n)
		return Packet{}, false, nil
	}
	body := d.in[:missing:missing]
	d.in = d.in[missing:]
	if len(d.part) > 0 {
		body = append(d.grown(n, missing), body...)
	}
	d.part, d.nhead = nil, 0
	return Packet{Type: t, Body: body[:n:n]}, true, nil
}

// gather keeps all that was fed as a part of a body of n bytes.
func (d *Decoder) gather(n int) {
	if len(d.in) > 0 {
		d.part = append(d.grown(n, len(d.in)), d.in...)
	}
	d.in = nil
}

// grown returns part with room for k more bytes of a body of n. The room follows
// what has arrived, not what the header says: a lie about 64 KiB costs the liar's
// peer no more than twice the bytes that were really sent.
func (d *Decoder) grown(n, k int) []byte {
	have := len(d.part)
	if have+k <= cap(d.part) {
		return d.part
	}
	room := min(n, max(minPart, 2*have, have+k))
	return append(make([]byte, 0, room), d.part...)
}

func (d *Decoder) max() int {
	if d.limit == 0 {
		return DefaultMaxPacket
	}
	return int(d.limit)
}

// bodyLength reads the length of a head of at least HeadLength bytes.
func bodyLength(head []byte) int {
	_ = head[HeadLength-1]
	return int(head[1])<<16 | int(head[2])<<8 | int(head[3])
}

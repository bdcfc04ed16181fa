package gate

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/internal/wsframe"
)

// Compression of WebSocket messages (RFC 7692, permessage-deflate), without context takeover: each
// message stands for itself, so no connection holds a window, and what goes to many is compressed
// once.

// compressor compresses what goes out. As many goroutines as there are processors compress at a
// time, and the others wait: the memory of a flate.Writer is a megabyte. Its methods are safe for
// concurrent use; those of nil compress nothing.
type compressor struct {
	atLeast  int // bytes of a message
	slots    chan struct{}
	deflates sync.Pool // of *flate.Writer
	gzips    sync.Pool // of *gzip.Writer
}

func newCompressor(atLeast int) *compressor {
	return &compressor{atLeast: atLeast, slots: make(chan struct{}, runtime.GOMAXPROCS(0)),
		deflates: sync.Pool{New: func() any {
			w, _ := flate.NewWriter(nil, flate.BestSpeed) // the level is one that there is
			return w
		}},
		gzips: sync.Pool{New: func() any { return gzip.NewWriter(nil) }}}
}

// syncTail ends what a flate.Writer has flushed; RFC 7692 leaves it out.
var syncTail = []byte{0, 0, 0xff, 0xff}

// appendMessage appends a message of packets as one frame, compressed if it pays.
func (z *compressor) appendMessage(dst, packets []byte) []byte {
	if z != nil && z.atLeast > 0 && len(packets) >= z.atLeast {
		z.slots <- struct{}{}
		w := z.deflates.Get().(*flate.Writer)
		b := bytes.NewBuffer(make([]byte, 0, len(packets)/2))
		w.Reset(b)
		_, _ = w.Write(packets) // a bytes.Buffer takes everything
		_ = w.Flush()
		z.deflates.Put(w)
		<-z.slots
		if body := bytes.TrimSuffix(b.Bytes(), syncTail); len(body) < len(packets) {
			start := len(dst)
			dst = wsframe.AppendHeader(dst, wsframe.OpBinary, len(body))
			dst[start] |= wsframe.Compressed
			return append(dst, body...)
		}
	}
	dst = wsframe.AppendHeader(dst, wsframe.OpBinary, len(packets))
	return append(dst, packets...)
}

// gzip packs a payload.
func (z *compressor) gzip(payload []byte) []byte {
	z.slots <- struct{}{}
	defer func() { <-z.slots }()
	w := z.gzips.Get().(*gzip.Writer)
	defer z.gzips.Put(w)
	b := bytes.NewBuffer(make([]byte, 0, len(payload)/2))
	w.Reset(b)
	_, _ = w.Write(payload) // a bytes.Buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

// deflate compresses the messages that are about to be written, except those that are compressed
// already and control frames.
func (z *compressor) deflate(o *outbuf) {
	size := 0
	for i, seg := range o.segs {
		if deflated, ok := z.segment(seg); ok {
			o.segs[i] = deflated
		}
		size += len(o.segs[i])
	}
	o.size = size
}

// segment compresses the messages of a segment, which holds whole frames; false: there are none to
// compress.
func (z *compressor) segment(seg []byte) (deflated []byte, ok bool) {
	for at := 0; at < len(seg); {
		head, n := serverFrame(seg[at:])
		if n > len(seg)-at-head { // not of ours: it goes as it is
			return nil, false
		}
		if seg[at] == wsframe.Final|wsframe.OpBinary && n >= z.atLeast {
			if deflated == nil {
				deflated = append(make([]byte, 0, len(seg)), seg[:at]...)
			}
			deflated = z.appendMessage(deflated, seg[at+head:at+head+n])
		} else if deflated != nil {
			deflated = append(deflated, seg[at:at+head+n]...)
		}
		at += head + n
	}
	return deflated, deflated != nil
}

// serverFrame returns the length of the header of a frame of ours, and of its payload. Of a header
// that is cut off it returns the length only, which is more than there is.
func serverFrame(b []byte) (head, n int) {
	switch {
	case len(b) < 2:
		return 2, 0
	case b[1] == 126:
		if len(b) < 4 {
			return 4, 0
		}
		return 4, int(binary.BigEndian.Uint16(b[2:]))
	case b[1] == 127:
		if len(b) < 10 {
			return 10, 0
		}
		return 10, int(min(binary.BigEndian.Uint64(b[2:]), math.MaxInt32))
	}
	return 2, int(b[1])
}

// inflater reads compressed messages. It belongs to a connection only while a message is read.
type inflater struct {
	src   bytes.Reader
	flate io.ReadCloser
	buf   [4 << 10]byte
}

var inflaters = sync.Pool{New: func() any {
	f := new(inflater)
	f.flate = flate.NewReader(&f.src)
	return f
}}

// messageEnd completes a compressed message: what the sender has left out, and a last block.
var messageEnd = []byte{0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff}

var (
	errInflated error = &wsframe.Error{Code: wsframe.CloseTooBig, Reason: "compressed message too big"}
	errDeflate  error = &wsframe.Error{Code: wsframe.CloseInvalidData, Reason: "compressed message cannot be read"}
)

// inflated gathers a piece of a compressed message, and serves its packets when it is whole.
// Neither what came nor what it is when decompressed may be longer than one packet.
func (in *input) inflated(piece []byte, final bool) error {
	limit := codec.HeadLength + maxOut
	if n := in.conn.gate.cfg.MaxPacket; n > 0 {
		limit = codec.HeadLength + n
	}
	if len(in.gathered)+len(piece) > limit+deflateSlack {
		return errInflated
	}
	if in.gathered = append(in.gathered, piece...); !final {
		return nil
	}
	in.gathered = append(in.gathered, messageEnd...)
	f := inflaters.Get().(*inflater)
	defer inflaters.Put(f)
	f.src.Reset(in.gathered)
	defer f.src.Reset(nil)
	if err := f.flate.(flate.Resetter).Reset(&f.src, nil); err != nil {
		return errDeflate
	}
	for total := 0; ; {
		n, err := f.flate.Read(f.buf[:])
		if total += n; total > limit {
			return errInflated
		}
		if n > 0 {
			if err := in.consumePackets(f.buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			if in.gathered = in.gathered[:0]; cap(in.gathered) > keepGathered {
				in.gathered = nil
			}
			return nil
		case err != nil:
			return errDeflate
		}
	}
}

const (
	deflateSlack = 64      // by how much a message that does not get smaller may grow
	keepGathered = 4 << 10 // how much memory of gathered messages is used again
)

// offersDeflate tells whether an upgrade request offers permessage-deflate in a way that the gate
// can take: the window of what it compresses is always 32 KiB, so an offer that asks for a certain
// one is declined.
func offersDeflate(h http.Header) bool {
	for offer := range strings.SplitSeq(strings.Join(h.Values("Sec-Websocket-Extensions"), ","), ",") {
		if takesOffer(strings.Split(offer, ";")) {
			return true
		}
	}
	return false
}

// takesOffer reads one offer: its name and its parameters.
func takesOffer(parts []string) bool {
	if strings.TrimSpace(parts[0]) != "permessage-deflate" {
		return false
	}
	var seen []string
	for _, p := range parts[1:] {
		name, value, has := strings.Cut(strings.TrimSpace(p), "=")
		name, value = strings.TrimSpace(name), strings.Trim(strings.TrimSpace(value), `"`)
		if slices.Contains(seen, name) {
			return false
		}
		seen = append(seen, name)
		switch name {
		case "server_no_context_takeover", "client_no_context_takeover":
			if has {
				return false
			}
		case "client_max_window_bits": // any window can be read
			if has && !slices.Contains([]string{"8", "9", "10", "11", "12", "13", "14", "15"}, value) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

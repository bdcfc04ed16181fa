package link

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Reader iterates over the frames of one batch. It copies nothing and allocates nothing. It belongs
// to one goroutine at a time.
type Reader struct {
	rest []byte
	err  error
}

// NewReader returns a Reader of a batch.
func NewReader(batch []byte) *Reader { return &Reader{rest: batch} }

// Reset starts the Reader on another batch.
func (r *Reader) Reset(batch []byte) { *r = Reader{rest: batch} }

// Next fills f with the next frame of a known kind. ok is false at the end of the batch and after
// an error, which stays. The fields of f are borrowed from the batch, except Sessions, whose memory
// is used again: pass the same f for all frames of a batch, and for all batches.
func (r *Reader) Next(f *Frame) (ok bool, err error) {
	for len(r.rest) > 0 && r.err == nil {
		n, size := binary.Uvarint(r.rest)
		if size <= 0 || n == 0 || n > uint64(len(r.rest)-size) {
			return false, r.fail("length")
		}
		body := r.rest[size : size+int(n)]
		r.rest = r.rest[size+int(n):]
		if kind := Kind(body[0]); kind == 0 || kind >= kindEnd {
			continue
		}
		if what := f.decode(body); what != "" {
			return false, r.fail(what)
		}
		return true, nil
	}
	return false, r.err
}

func (r *Reader) fail(what string) error {
	r.rest = nil
	r.err = fmt.Errorf("%w: %s", ErrMalformed, what)
	return r.err
}

// decode fills f from a frame without its length, and says what is wrong with it, if anything.
func (f *Frame) decode(b []byte) (wrong string) {
	*f = Frame{Kind: Kind(b[0]), Sessions: f.Sessions[:0]}
	if len(b) < 2 {
		return "mask"
	}
	mask := b[1]
	b = b[2:]
	if mask&hasFlags != 0 {
		if len(b) == 0 {
			return "flags"
		}
		f.Flags, b = b[0], b[1:]
	}
	if mask&hasSession != 0 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			return "session"
		}
		f.Session, b = int64(n), b[size:]
	}
	if mask&hasID != 0 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			return "id"
		}
		f.ID, b = n, b[size:]
	}
	if mask&hasUID != 0 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			return "uid"
		}
		f.UID, b = int64(n), b[size:]
	}
	var ok bool
	if mask&hasRoute != 0 {
		if f.Route, b, ok = cutBytes(b); !ok {
			return "route"
		}
	}
	if mask&hasText != 0 {
		if f.Text, b, ok = cutBytes(b); !ok {
			return "text"
		}
	}
	if mask&hasData != 0 {
		if f.Data, b, ok = cutBytes(b); !ok {
			return "data"
		}
	}
	if mask&hasSessions != 0 {
		if b, ok = f.decodeSessions(b); !ok {
			return "sessions"
		}
	}
	if len(b) > 0 {
		left, size := binary.Uvarint(b)
		if size <= 0 {
			return "time left"
		}
		f.Left = time.Duration(min(left, uint64(math.MaxInt64/time.Microsecond))) * time.Microsecond
		if b = b[size:]; len(b) > 0 {
			if f.Trace, _, ok = cutBytes(b); !ok {
				return "trace"
			}
		}
	}
	return ""
}

// decodeSessions grows with the ids that are there: a number that promises more than the frame has
// bytes is refused first.
func (f *Frame) decodeSessions(b []byte) (rest []byte, ok bool) {
	count, size := binary.Uvarint(b)
	if size <= 0 || count > uint64(len(b)-size) {
		return nil, false
	}
	b = b[size:]
	var last int64
	for range count {
		d, size := binary.Varint(b)
		if size <= 0 {
			return nil, false
		}
		last += d
		b = b[size:]
		f.Sessions = append(f.Sessions, last)
	}
	return b, true
}

// cutBytes takes bytes that have their length before them.
func cutBytes(b []byte) (v, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, false
	}
	end := size + int(n)
	return b[size:end:end], b[end:], true
}

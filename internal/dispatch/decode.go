package dispatch

import (
	"bytes"
	"compress/gzip"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/pipeline"
)

// refusal gives the error of a filter a code, unless it has one. The text of the error is for the
// log: it was not written for clients. A filter that panicked has refused nothing.
func refusal(err error) error {
	var p *pipeline.PanicError
	if errors.As(err, &p) {
		return &crash{"inbound filter", p.Value, p.Stack}
	}
	var e *component.Error
	if errors.As(err, &e) {
		return err
	}
	return fmt.Errorf("%w: %w", component.Errorf(component.CodeRefused, "refused"), err)
}

// find looks a route up without making a string of it when there is a handler.
func (t *Table) find(v codec.View) (*route, string) {
	if v.Compressed {
		name, err := v.RouteString(t.cfg.Dictionary)
		if err != nil {
			return nil, ""
		}
		return t.routes[name], name
	}
	if r := t.routes[string(v.Route)]; r != nil {
		return r, r.name
	}
	return nil, string(v.Route)
}

// payload returns the message's data, decompressed if it is gzip. The result may alias what was
// read.
func (t *Table) payload(v codec.View) ([]byte, error) {
	if !v.Gzip {
		return v.Data, nil
	}
	u := gunzips.Get().(*gunzip)
	defer gunzips.Put(u)
	u.src.Reset(v.Data)
	defer u.src.Reset(nil) // a pool keeps nothing of what was read
	if err := u.gzip.Reset(&u.src); err != nil {
		return nil, component.Errorf(component.CodeInvalid, "payload is marked as gzip and is not: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(&u.gzip, int64(t.cfg.MaxPayload)+1))
	if err != nil {
		return nil, component.Errorf(component.CodeInvalid, "the gzip payload is broken: %w", err)
	}
	if len(data) > t.cfg.MaxPayload {
		public := component.Errorf(component.CodeInvalid, "the decompressed payload has more than %d bytes", t.cfg.MaxPayload)
		return nil, fmt.Errorf("%w: %w", errBomb, public)
	}
	return data, nil
}

// errBomb is the error of a payload that has more bytes than it may when it is decompressed.
var errBomb = errors.New("dispatch: gzip bomb")

// gunzip is a gzip reader, which is worth keeping: its tables are 40 KiB.
type gunzip struct {
	src  bytes.Reader
	gzip gzip.Reader
}

var gunzips = sync.Pool{New: func() any { return new(gunzip) }}

// unmarshal makes the handler's argument. A panic of the application's serializer costs this
// message only.
func (t *Table) unmarshal(r *route, data []byte) (arg any, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("dispatch: serializer panicked on a payload for %s: %v", r.name, v)
		}
	}()
	arg = r.handler.New()
	if t.cfg.AliasesInput {
		data = slices.Clone(data)
	}
	if err := t.cfg.Serializer.Unmarshal(data, arg); err != nil {
		return nil, unreadable(r, err)
	}
	return arg, nil
}

// unreadable returns the error of a payload that does not parse. Types are for the log only.
func unreadable(r *route, err error) error {
	why := fmt.Errorf("dispatch: payload is not a %v: %w", r.handler.Type, err)
	return &refused{why, &component.Error{Code: component.CodeInvalid, Message: "the payload does not parse" + detail(err)}}
}

// detail returns what a client may know of why its payload does not parse.
func detail(err error) string {
	if e := (*stdjson.SyntaxError)(nil); errors.As(err, &e) {
		return fmt.Sprintf(": %v at byte %d", e, e.Offset)
	}
	if e := (*stdjson.UnmarshalTypeError)(nil); errors.As(err, &e) {
		field := e.Field[strings.LastIndexByte(e.Field, '.')+1:] // what stands before may be an embedded type
		if field == "" {
			return fmt.Sprintf(": it cannot be a JSON %s", e.Value)
		}
		return fmt.Sprintf(": %q cannot be a JSON %s", field, e.Value)
	}
	return ""
}

package client

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/lonng/nano/codec"
)

// call is one request in flight. It is used again when its caller has the outcome.
type call struct {
	done    chan struct{} // one send for each request
	data    []byte
	failed  bool // data is an error
	gzip    bool // data is
	err     error
	expires time.Time // zero: its context bounds it
	next    *call     // of those that are free

	route string // of Start: fn is called, and done is not used
	fn    func(data []byte, err error)
}

// maxFree is how many calls a client keeps for reuse.
const maxFree = 4

// calls are the requests in flight: each has one outcome, and is forgotten with it.
type calls struct {
	cfg *config
	wg  *sync.WaitGroup // has a share while the timer is armed

	mu      sync.Mutex // may be taken under Client.mu, never the other way round
	id      uint64     // of the last request
	pending map[uint64]*call
	free    *call // the first of a few for reuse
	frees   int
	sweeper *time.Timer // ends requests that took too long
	armed   bool
	stopped bool // the timer is not to be armed until there is a new request
}

// add has a request that is about to be sent be in flight. timed has WithRequestTimeout bound it.
// fn gets the outcome; if it is nil, the caller waits for the call.
func (s *calls) add(timed bool, route string, fn func([]byte, error)) (id uint64, k *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k = s.newLocked()
	k.route, k.fn = route, fn
	if s.pending == nil {
		s.pending = make(map[uint64]*call)
	}
	s.id++
	s.pending[s.id], s.stopped = k, false
	if timed && s.cfg.requestTimeout > 0 {
		k.expires = time.Now().Add(s.cfg.requestTimeout)
		s.armLocked(s.cfg.requestTimeout)
	}
	return s.id, k
}

// unsent forgets the request that was added last, whose message could not be sent. Its id is used
// again.
func (s *calls) unsent(id uint64) {
	if k := s.take(id); k != nil {
		s.recycle(k)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id--
}

func (s *calls) newLocked() *call {
	k := s.free
	if k == nil {
		return &call{done: make(chan struct{}, 1)}
	}
	s.free, k.next = k.next, nil
	s.frees--
	return k
}

// recycle takes a call back, of which nobody else knows any more.
func (s *calls) recycle(k *call) {
	if cap(k.data) > readBuffer {
		k.data = nil
	}
	k.err, k.failed, k.gzip, k.expires, k.fn = nil, false, false, time.Time{}, nil
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frees < maxFree {
		k.next, s.free = s.free, k
		s.frees++
	}
}

// count returns how many requests are in flight, with the one that is just being sent.
func (s *calls) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending)
}

// take returns the request with an id and forgets it; nil if there is none, or no more.
func (s *calls) take(id uint64) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.pending[id]
	delete(s.pending, id)
	return k
}

// takeAll returns the requests in flight and forgets them. The caller must end them.
func (s *calls) takeAll() []*call {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*call, 0, len(s.pending))
	for id, k := range s.pending {
		delete(s.pending, id)
		all = append(all, k)
	}
	return all
}

// fail ends requests that were taken.
func (s *calls) fail(all []*call, err error) {
	for _, k := range all {
		if k.fn != nil {
			s.tell(k, nil, err)
			continue
		}
		k.err = err
		k.done <- struct{}{}
	}
}

// answer gives a response to the request that was taken for it.
func (s *calls) answer(k *call, v codec.View) {
	k.failed, k.gzip = v.Err, v.Gzip
	if k.fn != nil {
		s.tell(k, v.Data, nil)
		return
	}
	k.data = append(k.data[:0], v.Data...)
	k.done <- struct{}{}
}

// tell calls the function of Start. A panic in it is logged and costs this call only.
func (s *calls) tell(k *call, data []byte, err error) {
	route := k.route
	defer func() {
		if v := recover(); v != nil {
			s.cfg.logPanic("answer to "+route, v)
		}
	}()
	if err == nil {
		data, err = s.outcome(k, data)
	}
	if err != nil {
		data, err = nil, fmt.Errorf("client: request %s: %w", route, err)
	}
	fn := k.fn
	s.recycle(k)
	fn(data, err)
}

// outcome reads the payload of an answer.
func (s *calls) outcome(k *call, data []byte) ([]byte, error) {
	if k.gzip {
		var err error
		if data, err = gunzip(data, s.cfg.maxReceived); err != nil {
			return nil, err
		}
	}
	if k.failed {
		return nil, failure(data, s.cfg.serializer)
	}
	return data, nil
}

// result reads the outcome of a call into reply.
func (s *calls) result(k *call, reply any) error {
	if k.err != nil {
		return k.err
	}
	data, err := s.outcome(k, k.data)
	if err != nil {
		return err
	}
	if err := s.cfg.decode(data, reply); err != nil {
		return fmt.Errorf("client: decode the answer into %T: %w", reply, err)
	}
	return nil
}

// armLocked calls sweep in d, unless it will be called before: sweep then arms itself for the rest.
func (s *calls) armLocked(d time.Duration) {
	if s.armed || s.stopped {
		return
	}
	s.armed = true
	s.wg.Add(1)
	if s.sweeper == nil {
		s.sweeper = time.AfterFunc(d, s.sweep)
	} else {
		s.sweeper.Reset(d)
	}
}

// stop disarms the timer. A sweep that runs already is waited for by wg.
func (s *calls) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	if s.armed && s.sweeper.Stop() {
		s.armed = false
		s.wg.Done()
	}
}

// sweep ends the requests whose time is over.
func (s *calls) sweep() {
	defer s.wg.Done()
	var late []*call
	defer func() { s.fail(late, ErrTimeout) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = false
	now := time.Now()
	var earliest time.Time
	for id, k := range s.pending {
		switch {
		case k.expires.IsZero():
		case !now.Before(k.expires):
			delete(s.pending, id)
			late = append(late, k)
		case earliest.IsZero() || k.expires.Before(earliest):
			earliest = k.expires
		}
	}
	if !earliest.IsZero() {
		s.armLocked(earliest.Sub(now))
	}
}

var gunzips sync.Pool // of *gzip.Reader

// gunzip decompresses, to at most limit bytes.
func gunzip(data []byte, limit int) ([]byte, error) {
	src := bytes.NewReader(data)
	z, _ := gunzips.Get().(*gzip.Reader)
	var err error
	if z == nil {
		z, err = gzip.NewReader(src)
	} else {
		err = z.Reset(src)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: gzip payload: %w", ErrProtocol, err)
	}
	defer gunzips.Put(z)
	data, err = io.ReadAll(io.LimitReader(z, int64(limit)+1))
	if err == nil && len(data) > limit {
		err = codec.ErrPacketTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("%w: gzip payload: %w", ErrProtocol, err)
	}
	return data, nil
}

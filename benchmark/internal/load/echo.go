//go:build linux

package load

import (
	"slices"
	"time"

	"github.com/lonng/nano/codec"
)

// echo has Depth requests in flight on each connection.
func (s *Scenario) echo(all []*conn) (r Result, err error) {
	data := message{N: 1, Body: padding}.encode()
	times := make([][]time.Duration, len(all))
	begun := time.Now()
	end := begun.Add(s.Duration)
	err = each(all, func(i int, c *conn) error {
		sent := make([]time.Time, s.Depth)
		for id := range s.Depth {
			sent[id] = time.Now()
			if err := c.send(codec.Request, uint64(id)+1, s.Route, data); err != nil {
				return err
			}
		}
		for open := s.Depth; open > 0; {
			m, err := c.message()
			if err != nil {
				return err
			}
			if m.Type != codec.Response {
				continue
			}
			now := time.Now()
			times[i] = append(times[i], now.Sub(sent[m.ID-1]))
			if now.After(end) {
				open--
				continue
			}
			sent[m.ID-1] = now
			if err := c.send(codec.Request, m.ID, s.Route, data); err != nil {
				return err
			}
		}
		return nil
	})
	took := time.Since(begun)
	flat := slices.Concat(times...)
	r.Messages = int64(len(flat))
	r.PerSecond = float64(len(flat)) / took.Seconds()
	r.setTimes(flat)
	return r, err
}

//go:build linux

package load

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/codec"
)

// churn has the server make members leave and join again as fast as they can, while the first
// client speaks Rate times a second. The answer says how often that was.
func (s *Scenario) churn(all []*conn) (r Result, err error) {
	var heard atomic.Int64
	stop := make(chan struct{})
	var hearing sync.WaitGroup
	for _, c := range all[2:] {
		hearing.Go(func() {
			for {
				m, err := c.message()
				if err != nil {
					return // the end, as below
				}
				if m.Type == codec.Push {
					heard.Add(1)
				}
			}
		})
	}
	go func() {
		tick := time.NewTicker(time.Duration(float64(time.Second) / s.Rate))
		defer tick.Stop()
		for n := int64(0); ; n++ {
			select {
			case <-stop:
				return
			case <-tick.C:
				if all[0].send(codec.Notify, 0, "Bench.Say", message{N: n, Body: padding}.encode()) != nil {
					return
				}
			}
		}
	}()
	begun := time.Now()
	answer, err := all[1].call(2, "Bench.Churn", message{N: s.Duration.Milliseconds()}.encode())
	took := time.Since(begun)
	close(stop)
	if err == nil {
		r.Other, err = number(answer)
	}
	r.Messages = heard.Load()
	r.PerSecond = float64(r.Other) / took.Seconds()
	for _, c := range all[2:] {
		_ = c.Close()
	}
	hearing.Wait()
	return r, err
}

//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lonng/nano/clients/client"
)

// counts are what bots have counted: answers by route.
type counts map[string]uint64

// bots are clients of one gate.
type bots struct {
	all     []*client.Client
	rate    float64 // requests of all of them, a second
	counted map[string]*atomic.Uint64
	open    sync.WaitGroup // requests that are not answered
	failed  atomic.Pointer[string]
}

// play plays the bots of a gate until its input is closed. It prints "in" when all are connected.
// Of the lines that it reads, "play" has them begin; "count" and "rest" are answered with what they
// have counted, the latter when they have stopped and all is answered.
func play(o options, gate string) error {
	b := &bots{rate: o.rate * float64(o.bots), counted: make(map[string]*atomic.Uint64)}
	for _, route := range routes {
		b.counted[route] = new(atomic.Uint64)
	}
	if err := b.connect(o.bots, "ws://"+gate+"/nano"); err != nil {
		return err
	}
	fmt.Println("in", len(b.all))
	stop, stopped := make(chan struct{}), make(chan struct{})
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch lines.Text() {
		case "play":
			go func() {
				defer close(stopped)
				b.ask(stop)
			}()
			fmt.Println("plays")
		case "rest":
			close(stop)
			<-stopped
			b.open.Wait()
			b.tell()
		case "count":
			b.tell()
		}
	}
	os.Exit(0)
	return nil
}

// connect connects n bots, some at a time.
func (b *bots) connect(n int, url string) error {
	b.all = make([]*client.Client, n)
	errs := make(chan error, n)
	turns := make(chan struct{}, 32)
	for i := range b.all {
		turns <- struct{}{}
		go func() {
			defer func() { <-turns }()
			c, err := client.Dial(context.Background(), url, client.WithConnectTimeout(time.Minute), client.WithRequestTimeout(time.Minute))
			b.all[i] = c
			errs <- err
		}()
	}
	for range b.all {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// ask has the bots make requests, by turns, until stop is closed.
func (b *bots) ask(stop <-chan struct{}) {
	payload := []byte("0123456789abcdef")
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for begun, n := time.Now(), 0; ; {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		for due := int(time.Since(begun).Seconds() * b.rate); n < due; n++ {
			route := routes[n%len(routes)]
			b.open.Add(1)
			err := b.all[n%len(b.all)].Start(route, payload, func(_ []byte, err error) {
				defer b.open.Done()
				b.note(route, err)
			})
			if err != nil {
				b.open.Done()
				b.note(route, err)
			}
		}
	}
}

func (b *bots) note(route string, err error) {
	if err != nil {
		text := fmt.Sprintf("%s: %v", route, err)
		b.failed.CompareAndSwap(nil, &text)
		return
	}
	b.counted[route].Add(1)
}

// tell prints what was counted, or the first failure.
func (b *bots) tell() {
	if text := b.failed.Load(); text != nil {
		fmt.Println("failed", *text)
		return
	}
	c := make(counts)
	for route, n := range b.counted {
		c[route] = n.Load()
	}
	text, _ := json.Marshal(c) // texts and numbers can be encoded
	fmt.Printf("counted %s\n", text)
}

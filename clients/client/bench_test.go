package client_test

import (
	"context"
	"net"
	"runtime"
	"testing"

	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/codec"
)

// BenchmarkRequest is the client's own share of a request: its server is a loop over TCP that knows
// nothing.
func BenchmarkRequest(b *testing.B) {
	addr := echo(b)
	c, err := client.Dial(ctx, "tcp://"+addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	payload := []byte(`{"text":"hello"}`)
	b.Run("one caller", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := c.Request(ctx, "Room.Echo", payload, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("many callers", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := c.Request(ctx, "Room.Echo", payload, nil); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

// BenchmarkIdle tells what a connection holds that does nothing.
func BenchmarkIdle(b *testing.B) {
	addr := echo(b)
	for _, n := range []int{1000} {
		all := make([]*client.Client, n)
		var before, after runtime.MemStats
		for b.Loop() {
			runtime.GC()
			runtime.ReadMemStats(&before)
			goroutines := runtime.NumGoroutine()
			for i := range all {
				c, err := client.Dial(context.Background(), "tcp://"+addr)
				if err != nil {
					b.Fatal(err)
				}
				all[i] = c
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			// The server of this benchmark has one goroutine a connection too, with a buffer of 512
			// bytes.
			b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/float64(n)-1, "goroutines/conn")
			b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/float64(n), "B/conn")
			for _, c := range all {
				_ = c.Shutdown(ctx)
			}
		}
	}
}

// echo answers every request with its payload, and returns its address.
func echo(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go echoTo(nc)
		}
	}()
	return l.Addr().String()
}

func echoTo(nc net.Conn) {
	defer nc.Close()
	dec := codec.NewDecoder(0)
	buf := make([]byte, 512)
	var out []byte
	for {
		n, err := nc.Read(buf)
		if err != nil {
			return
		}
		dec.Feed(buf[:n])
		out = out[:0]
		for {
			p, ok, err := dec.Next()
			if err != nil {
				return
			}
			if !ok {
				break
			}
			switch p.Type {
			case codec.Handshake:
				out = codec.AppendPacket(out, codec.Handshake, []byte(silent))
			case codec.Data:
				v, _ := codec.ParseMessage(p.Body)
				out, _ = codec.AppendData(out, codec.Response, v.ID, "", v.Data, 0, nil, 0)
			}
		}
		if _, err := nc.Write(out); err != nil {
			return
		}
	}
}

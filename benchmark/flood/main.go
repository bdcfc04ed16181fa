// Flood measures what clients that flood cost one that does not: it starts a node, has one client
// send a request every few milliseconds, and prints how long the answers take, first alone and then
// beside clients that send notifies as fast as they are taken.
//
//	go run ./benchmark/flood -flooders 100 -for 3s
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/clients/client"
	"github.com/lonng/nano/codec"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/session"
)

// Bench is what the clients ask for.
type Bench struct{ component.Base }

// Echo answers with what it got.
func (*Bench) Echo(s *session.Session, data []byte) error { return s.Response(data) }

// Note takes a notify.
func (*Bench) Note(*session.Session, []byte) error { return nil }

func main() {
	flooders := flag.Int("flooders", 100, "clients that flood")
	during := flag.Duration("for", 3*time.Second, "how long to measure, alone and beside them")
	flag.Parse()
	if err := run(*flooders, *during); err != nil {
		fmt.Fprintln(os.Stderr, "flood:", err)
		os.Exit(1)
	}
}

func run(flooders int, during time.Duration) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	cs := new(component.Components)
	cs.Register(&Bench{})
	app := nano.New("flood", nano.WithEndpoint(nano.Endpoint{Listener: l}), nano.WithComponents(cs),
		nano.WithSerializer(json.NewSerializer()), nano.WithSlog(slog.New(slog.DiscardHandler)))
	if err := app.Start(context.Background()); err != nil {
		return err
	}
	defer func() { _ = app.Shutdown(context.Background()) }()
	quiet, err := client.Dial(context.Background(), "tcp://"+l.Addr().String())
	if err != nil {
		return err
	}
	defer func() { _ = quiet.Close() }()
	if err := measure(quiet, "alone", during); err != nil {
		return err
	}
	var conns []net.Conn
	defer func() {
		for _, nc := range conns {
			_ = nc.Close()
		}
	}()
	for range flooders {
		nc, err := new(net.Dialer).DialContext(context.Background(), "tcp", l.Addr().String())
		if err != nil {
			return err
		}
		conns = append(conns, nc)
		go flood(nc)
	}
	time.Sleep(during / 4) // until the queues are full
	return measure(quiet, fmt.Sprintf("beside %d that flood", flooders), during)
}

// measure prints the mean and the 99th percentile of requests that follow each other.
func measure(c *client.Client, name string, during time.Duration) error {
	var all []time.Duration
	var sum time.Duration
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		began := time.Now()
		if err := c.Request(context.Background(), "Bench.Echo", []byte("1"), nil); err != nil {
			return err
		}
		took := time.Since(began)
		sum += took
		all = append(all, took)
	}
	slices.Sort(all)
	fmt.Printf("%-25s mean %10v   99%% %10v   %d requests\n", name, (sum / time.Duration(len(all))).Round(time.Microsecond),
		all[len(all)*99/100].Round(time.Microsecond), len(all))
	return nil
}

// flood sends notifies until the connection ends.
func flood(nc net.Conn) {
	go func() { _, _ = io.Copy(io.Discard, nc) }()
	hello := codec.AppendPacket(nil, codec.Handshake, []byte("{}"))
	hello = codec.AppendPacket(hello, codec.HandshakeAck, nil)
	if _, err := nc.Write(hello[:len(hello)-codec.HeadLength]); err != nil {
		return
	}
	time.Sleep(100 * time.Millisecond) // the answer comes before the ack
	if _, err := nc.Write(hello[len(hello)-codec.HeadLength:]); err != nil {
		return
	}
	var some []byte
	for range 1000 {
		some, _ = codec.AppendData(some, codec.Notify, 0, "Bench.Note", []byte("1"), 0, nil, 1<<20) // nothing of it can fail
	}
	for {
		if _, err := nc.Write(some); err != nil {
			return
		}
	}
}

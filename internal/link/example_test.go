package link_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/lonng/nano/internal/link"
)

func Example() {
	receiver, err := link.NewReceiver(link.ReceiverConfig{Epoch: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	w := &wire{receiver: receiver, epoch: 1, handle: func(r *link.Reader) error {
		var f link.Frame
		for {
			ok, err := r.Next(&f)
			if !ok || err != nil {
				return err
			}
			fmt.Printf("%v %s: %s\n", f.Kind, f.Route, f.Data)
		}
	}}
	sender, err := link.NewSender(link.SenderConfig{Dial: w.dial, Epoch: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, word := range []string{"hello", "world"} {
		if _, err := sender.Queue(&link.Frame{Kind: link.Push, Session: 1, Route: []byte("onSay"), Data: []byte(word)}); err != nil {
			fmt.Println(err)
		}
	}
	sender.Flush()
	if err := sender.Close(context.Background()); err != nil { // waits until both were taken
		fmt.Println(err)
	}
	if err := receiver.Close(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// Push onSay: hello
	// Push onSay: world
}

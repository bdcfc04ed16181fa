// Command chat is a chat with rooms, on one node: run it and open the address that it prints.
//
//	go run ./examples/chat
//	go run ./examples/chat -addr 127.0.0.1:0
//
// chat.go is what clients may call, room.go what a room is, rules.go what is allowed. The page is
// in page, and what it shares with other examples' pages in examples/page.
package main

import (
	"context"
	"embed"
	stdjson "encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/examples/page"
	"github.com/lonng/nano/serialize/json"
)

//go:embed page
var files embed.FS

func main() {
	addr := flag.String("addr", "127.0.0.1:3250", "address to listen on; port 0 takes a free one")
	describe := flag.Bool("describe", false, "print what clients may send and get, for nano-cli gen, and end")
	flag.Parse()
	if *describe {
		if err := printDescription(os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "chat:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(context.Background(), *addr, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

// run serves the chat on addr until ctx ends or the process is told to stop. It writes the page's
// address to out as soon as the page can be opened.
func run(ctx context.Context, addr string, out io.Writer) error {
	pages, err := page.Handler(files, "page")
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer listener.Close()

	chat := NewChat()
	app := nano.New("",
		nano.WithEndpoint(nano.Endpoint{Listener: listener, WebSocket: true, Path: "/nano"}),
		nano.WithHTTPHandler(pages),
		nano.WithSameOrigin(),
		nano.WithComponents(components(chat)),
		nano.WithSerializer(json.NewSerializer()),
		nano.WithDictionary(routeCodes),
		nano.WithHeartbeatInterval(15*time.Second),
		nano.WithMaxPacket(8<<10), // the longest message is 500 runes
		nano.WithMaxConnections(5000),
		nano.WithResume(nano.Resume{}), // a phone in a tunnel costs nobody a word, nor the seat
		nano.WithSignals(),
	)
	// Handlers, timers and the end of sessions all run on the node's scheduler, one after the
	// other. It is why the chat has no locks.
	chat.after = func(d time.Duration, f func()) { app.Scheduler().NewAfterTimer(d, f) }
	app.Lifetime().OnClosed(chat.gone)

	fmt.Fprintf(out, "chat: open http://%s\n", page.Address(listener.Addr()))
	if near := page.Nearby(listener.Addr()); near != "" {
		fmt.Fprintf(out, "      on a phone in the same network: http://%s\n", near)
	}
	return app.Run(ctx)
}

// components are what the node runs. What the chat pushes and does not answer is said here, for the
// page's types: routes.d.ts.
func components(chat *Chat) *component.Components {
	all := &component.Components{}
	all.Register(chat, component.WithName("chat"), component.WithNameFunc(strings.ToLower),
		component.WithoutAnswer("Typing"),
		component.WithPush[Message](pushMessage),
		component.WithPush[Notice](pushJoined),
		component.WithPush[Notice](pushLeft),
		component.WithPush[Notice](pushTyping),
		component.WithPush[RoomList](pushRooms),
	)
	return all
}

// printDescription writes what clients may send and get as JSON. .ci/types.sh makes routes.d.ts of
// it.
func printDescription(out io.Writer) error {
	d, err := nano.New("", nano.WithComponents(components(NewChat())), nano.WithSerializer(json.NewSerializer())).Describe()
	if err != nil {
		return err
	}
	return stdjson.NewEncoder(out).Encode(d)
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

// Room is the backend's component: one group.
type Room struct {
	component.Base
	group *nano.Group
}

// Join puts the client into the group.
func (r *Room) Join(s *session.Session, _ []byte) error {
	if err := r.group.Add(s); err != nil {
		return err
	}
	return s.Response([]byte("ok"))
}

// node runs a node until its input is closed. On the backend each line of the input is a broadcast.
func node(role, master string, payload int) error {
	slog.SetLogLoggerLevel(slog.LevelWarn)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	options := []nano.Option{nano.WithServiceListener(l), nano.WithShutdownTimeout(20 * time.Second), nano.WithHandshakeTimeout(time.Minute)}
	if role == "master" {
		options = append(options, nano.WithMaster())
	} else {
		options = append(options, nano.WithAdvertiseAddr(master, 100*time.Millisecond))
	}
	room := &Room{group: nano.NewGroup("room")}
	switch role {
	case "backend":
		components := &component.Components{}
		components.Register(room)
		options = append(options, nano.WithComponents(components))
	case "gate":
		options = append(options, nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0"}))
	}
	app := nano.New(l.Addr().String(), options...)
	if err := app.Start(context.Background()); err != nil {
		return err
	}
	fmt.Print("serves ", l.Addr())
	if role == "gate" {
		fmt.Print(" ", app.Addr())
	}
	fmt.Println()

	message := bytes.Repeat([]byte("x"), payload)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		app.Scheduler().PushTask(func() {
			begun := time.Now()
			if err := room.group.Broadcast("room.shout", message); err != nil {
				fmt.Fprintln(os.Stderr, "cluster-scale: broadcast:", err)
			}
			fmt.Println("shouted", begun.UnixNano(), int64(time.Since(begun)))
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second) // the clients end with their process
	defer cancel()
	_ = app.Shutdown(ctx)
	return nil
}

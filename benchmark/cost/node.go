package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

// Bench is what the clients call.
type Bench struct {
	component.Base
	group *nano.Group
}

// Echo answers with the payload.
func (b *Bench) Echo(s *session.Session, data []byte) error { return s.Response(data) }

// Join puts the client into the group.
func (b *Bench) Join(s *session.Session, data []byte) error {
	if err := b.group.Add(s); err != nil {
		return err
	}
	return s.Response(data)
}

// Say broadcasts the payload to the group.
func (b *Bench) Say(_ *session.Session, data []byte) error { return b.group.Broadcast("said", data) }

// Burst pushes numbers from 0 on, as many as the payload says, and then answers.
func (b *Bench) Burst(s *session.Session, data []byte) error {
	n, err := strconv.Atoi(string(data))
	if err != nil {
		return err
	}
	for i := range n {
		if err := s.Push("burst", []byte(strconv.Itoa(i))); err != nil {
			return err
		}
	}
	return s.Response(data)
}

// node runs a server until its input is closed.
func node(role, master string, websocket bool) error {
	slog.SetLogLoggerLevel(slog.LevelError)
	endpoint := nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0", WebSocket: websocket, Path: "/nano"})
	components := &component.Components{}
	components.Register(&Bench{group: nano.NewGroup("bench")})
	options := []nano.Option{nano.WithShutdownTimeout(time.Second), nano.WithCheckOriginFunc(func(*http.Request) bool { return true })}
	if role == "single" || role == "backend" {
		options = append(options, nano.WithComponents(components))
	}
	if role == "single" || role == "gate" {
		options = append(options, endpoint)
	}
	addr := ""
	if role != "single" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		addr = l.Addr().String()
		options = append(options, nano.WithServiceListener(l))
		if role == "master" {
			options = append(options, nano.WithMaster())
		} else {
			options = append(options, nano.WithAdvertiseAddr(master, 100*time.Millisecond))
		}
	}
	app := nano.New(addr, options...)
	if err := app.Start(context.Background()); err != nil {
		return err
	}
	fmt.Print("serves ", addr)
	if role == "single" || role == "gate" {
		fmt.Print(" ", app.Addr())
	}
	fmt.Println()
	if role != "single" {
		for len(app.Members()) < 2 { // a master, a backend and a gate
			time.Sleep(10 * time.Millisecond)
		}
		fmt.Println("knows all")
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second) // the clients end with their process
	defer cancel()
	_ = app.Shutdown(ctx)
	return nil
}

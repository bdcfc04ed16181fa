//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

// Hall is the backend's component: a group of all clients, and one of some.
type Hall struct {
	component.Base
	all, room *nano.Group
}

// Join puts the client into the group of all, and into the room if it says so.
func (h *Hall) Join(s *session.Session, data []byte) error {
	if err := h.all.Add(s); err != nil && !errors.Is(err, nano.ErrSessionDuplication) { // it asks again after an error
		return err
	}
	if string(data) == "room" {
		if err := h.room.Add(s); err != nil && !errors.Is(err, nano.ErrSessionDuplication) {
			return err
		}
	}
	return s.Response([]byte("ok"))
}

// node runs a node until its input is closed. On the backend each line of the input is a command.
func node(o options, role, master string, number int) error {
	slog.SetLogLoggerLevel(slog.LevelError) // at the end all lose each other
	debug.SetGCPercent(o.gogc)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	options := []nano.Option{
		nano.WithServiceListener(l), nano.WithShutdownTimeout(20 * time.Second),
		nano.WithHandshakeTimeout(time.Minute), nano.WithHeartbeatInterval(o.heartbeat),
	}
	if role == "master" {
		options = append(options, nano.WithMaster())
	} else {
		options = append(options, nano.WithAdvertiseAddr(master, 100*time.Millisecond))
	}
	hall := &Hall{all: nano.NewGroup("all"), room: nano.NewGroup("room")}
	switch role {
	case "backend":
		components := &component.Components{}
		components.Register(hall)
		options = append(options, nano.WithComponents(components))
	case "gate":
		more, err := gateOptions(o, number)
		if err != nil {
			return err
		}
		options = append(options, more...)
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
	message := bytes.Repeat([]byte("x"), o.payload)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		command(app, hall, lines.Text(), message)
	}
	os.Exit(0) // nothing has to be kept, and a million farewells would take as long as the welcome
	return nil
}

// gateOptions are those of a gate.
func gateOptions(o options, number int) ([]nano.Option, error) {
	l, err := net.Listen("tcp", listenAt(number))
	if err != nil {
		return nil, err
	}
	e := nano.Endpoint{Listener: l, WebSocket: !o.tcp}
	if e.WebSocket {
		e.Path = path
	}
	return append(transportOptions(o), nano.WithEndpoint(e),
		nano.WithCheckOriginFunc(func(*http.Request) bool { return true })), nil
}

// command carries out one line: "members" prints how many nodes this one knows beside itself;
// "all" broadcasts to all; "room n rate" sends the room n messages.
func command(app *nano.App, hall *Hall, line string, message []byte) {
	w := strings.Fields(line)
	switch {
	case len(w) == 1 && w[0] == "members":
		fmt.Println("members", len(app.Members()))
	case len(w) == 1 && w[0] == "all":
		app.Scheduler().PushTask(func() {
			begun := time.Now()
			report(hall.all.Broadcast("hall.shout", message))
			fmt.Println("shouted", begun.UnixNano(), int64(time.Since(begun)))
		})
	case len(w) == 3 && w[0] == "room":
		n, _ := strconv.Atoi(w[1])
		rate, _ := strconv.ParseFloat(w[2], 64)
		tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
		defer tick.Stop()
		fmt.Println("talks", time.Now().UnixNano())
		for range n {
			<-tick.C
			app.Scheduler().PushTask(func() { report(hall.room.Broadcast("room.say", message)) })
		}
	}
}

func report(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster-scale: broadcast:", err)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/lonng/nano/examples/im/channels"
	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/examples/rules"
)

// fillPeople write what fill puts into a channel.
var fillPeople = []string{"Ada", "Ben", "Chen", "Dora", "Emil"}

// fillWords are what they write, over and over.
var fillWords = []string{
	"Good morning", "Who is at the office today?", "I am, until four. The train was late again, so I am still at my first coffee.",
	"👍", "Can somebody look at the figures of last week? They do not fit to what I remember, and I would like to be wrong.",
	"See https://example.org/figures", "They fit.", "Lunch?",
	"Yes\nat the usual place\nand at the usual time", "I have written down what we said yesterday: the release goes out on Thursday, whoever finds something until Wednesday evening says so, and nobody changes anything after that.",
}

// fillCommand is the command by which fill is called.
func fillCommand(out io.Writer) *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "data", Value: "im-data", EnvVars: []string{"IM_DATA"}, Usage: "`FOLDER` of the embedded database, of a messenger that does not run"},
		&cli.IntFlag{Name: "messages", Value: 100_000, Usage: "`NUMBER` of messages"},
	}
	return &cli.Command{
		Name: "fill", Usage: "write messages into the channel of everybody, to try a long history", Flags: flags,
		Action: func(c *cli.Context) error { return fill(c.Context, c.String("data"), c.Int("messages"), out) },
	}
}

// fill writes so many messages into the global channel, to see how clients do with a long history.
func fill(ctx context.Context, data string, count int, out io.Writer) (err error) {
	s, err := store.OpenSQLite(ctx, data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	_ = s.CreateChannel(ctx, store.Channel{ID: channels.GlobalID, Kind: store.Global, Title: "Everybody"}, nil) // it may be there
	for _, name := range fillPeople {
		if _, err := s.PutUser(ctx, store.User{ID: rules.Fold(name), Name: name}); err != nil {
			return err
		}
	}
	epoch, c, err := s.Claim(ctx, channels.GlobalID)
	if err != nil {
		return err
	}
	var (
		waiting sync.WaitGroup
		room    = make(chan struct{}, 4096) // changes that are under way
		mu      sync.Mutex
		failed  error
	)
	began := time.Now()
	for i := range count {
		who, what := fillPeople[i*7/3%len(fillPeople)], fillWords[i*11/4%len(fillWords)]
		at := began.Add(-time.Duration(count-i) * 100 * time.Second)
		room <- struct{}{}
		waiting.Add(1)
		s.Change(&store.Change{Op: store.Post, Epoch: epoch, Message: store.Message{
			Channel: channels.GlobalID, From: rules.Fold(who), Name: who, At: at.UnixMilli(), CID: fmt.Sprintf("fill-%d-%d", c.N, i), Text: fmt.Sprintf("%s · %d", what, c.N+int64(i)+1),
		}, Done: func(_ store.Message, _ bool, err error) {
			if err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
			}
			<-room
			waiting.Done()
		}})
	}
	waiting.Wait()
	fmt.Fprintf(out, "im: %d messages in %v\n", count, time.Since(began).Round(time.Millisecond))
	return failed
}

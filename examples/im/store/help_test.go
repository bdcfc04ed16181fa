package store_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/lonng/nano/examples/im/store"
	"github.com/lonng/nano/examples/im/store/postgrestest"
)

// server is the PostgreSQL of all tests; nil where there is none.
var server *postgrestest.Server

func TestMain(m *testing.M) {
	var err error
	if server, err = postgrestest.Start(context.Background(), "fsync=off"); err != nil {
		fmt.Println("SKIPPED: the store on PostgreSQL:", err)
	}
	code := m.Run()
	if server != nil {
		server.Stop()
	}
	os.Exit(code)
}

// source opens one database as often as it is asked to: as several nodes do.
type source func(t *testing.T) store.Store

// on runs a test on each database.
func on(t *testing.T, test func(t *testing.T, open source)) {
	t.Run("sqlite", func(t *testing.T) {
		folder := t.TempDir()
		test(t, func(t *testing.T) store.Store {
			t.Helper()
			return opened(t, func() (store.Store, error) { return store.OpenSQLite(t.Context(), folder) })
		})
	})
	t.Run("postgres", func(t *testing.T) {
		if server == nil {
			t.Skip(postgrestest.ErrMissing)
		}
		url, err := server.Database(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		test(t, func(t *testing.T) store.Store {
			t.Helper()
			return opened(t, func() (store.Store, error) { return store.OpenPostgres(t.Context(), url) })
		})
	})
}

func opened(t *testing.T, open func() (store.Store, error)) store.Store {
	t.Helper()
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must2 is for calls whose errors are not what a test is about.
func must2[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func errOf[T any](_ T, err error) error { return err }

func errOf2[T, U any](_ T, _ U, err error) error { return err }

// users enters people, and returns them as members.
func users(t *testing.T, s store.Store, ids ...string) []store.Member {
	t.Helper()
	list := make([]store.Member, len(ids))
	for i, id := range ids {
		u := store.User{ID: id, Name: strings.ToUpper(id)}
		must(t, errOf(s.PutUser(t.Context(), u)))
		list[i] = store.Member{User: u, Role: store.Plain}
	}
	return list
}

// group makes a group of people, and claims it.
func group(t *testing.T, s store.Store, id string, ids ...string) (epoch int64) {
	t.Helper()
	must(t, s.CreateChannel(t.Context(), store.Channel{ID: id, Kind: store.Group, Title: id}, users(t, s, ids...)))
	epoch, _, err := s.Claim(t.Context(), id)
	must(t, err)
	return epoch
}

// change makes a change and waits for it.
func change(s store.Store, op store.Op, epoch int64, m store.Message) (stored store.Message, again bool, err error) {
	done := make(chan struct{})
	s.Change(&store.Change{Op: op, Epoch: epoch, Message: m, Done: func(m store.Message, a bool, e error) {
		stored, again, err = m, a, e
		close(done)
	}})
	<-done
	return stored, again, err
}

func post(t *testing.T, s store.Store, epoch int64, m store.Message) store.Message {
	t.Helper()
	stored, _, err := change(s, store.Post, epoch, m)
	must(t, err)
	return stored
}

// numbers returns the numbers of messages.
func numbers(list []store.Message) []int64 {
	ns := []int64{}
	for _, m := range list {
		ns = append(ns, m.N)
	}
	return ns
}

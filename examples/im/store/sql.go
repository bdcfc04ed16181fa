package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// queries is what runs statements: a pool, a connection, a transaction.
type queries interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// db is what both databases share.
type db struct {
	*base
	people
	rooms
	history
	inboxes
	albums
	chores
}

func newDB(b *base) db {
	return db{b, people{b}, rooms{b}, history{b}, inboxes{b}, albums{b}, chores{b, rooms{b}, &atomic.Bool{}}}
}

// The parts of a store, each in the file of its name.
type (
	people  struct{ *base }
	rooms   struct{ *base }
	history struct{ *base }
	inboxes struct{ *base }
	albums  struct{ *base }
	chores  struct {
		*base
		rooms rooms
		swept *atomic.Bool // references to pushes that are gone have been looked for once
	}
)

// base runs statements. They are written with ? for arguments.
type base struct {
	read       *sql.DB
	isPostgres bool
	// write runs f in a transaction of its own. It may run again if it failed without a trace.
	write  func(ctx context.Context, f func(ctx context.Context, q queries) error) error
	writer *writer
	// claimed is told within a transaction that a channel gets another owner; nil: nobody is.
	claimed func(channel string)
	kept    *cached // of SQLite's readers
	keys    keyCache
}

// numbered replaces each ? by $1, $2, ..., as Postgres wants them.
func numbered(query string) string {
	if !strings.Contains(query, "?") {
		return query
	}
	var b strings.Builder
	for i, n := 0, 0; i < len(query); i++ {
		if query[i] != '?' {
			b.WriteByte(query[i])
			continue
		}
		n++
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

// numbering is queries whose statements are written with ?.
type numbering struct{ queries }

func (n numbering) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return n.queries.ExecContext(ctx, numbered(query), args...)
}

func (n numbering) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return n.queries.QueryContext(ctx, numbered(query), args...)
}

func (n numbering) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return n.queries.QueryRowContext(ctx, numbered(query), args...)
}

// reader returns what reads outside of transactions.
func (d *base) reader() queries {
	if d.isPostgres {
		return numbering{d.read}
	}
	return d.kept
}

// each calls scan for each row of a query.
func each(ctx context.Context, q queries, scan func(*sql.Rows) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err says what is wrong
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// one is QueryRowContext(...).Scan with ErrNotFound for no row.
func one(ctx context.Context, q queries, to []any, query string, args ...any) error {
	err := q.QueryRowContext(ctx, query, args...).Scan(to...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// marks returns n question marks for a list, and the values behind the arguments before.
func marks[T any](before []any, values []T) (string, []any) {
	for _, v := range values {
		before = append(before, v)
	}
	return strings.TrimSuffix(strings.Repeat("?,", len(values)), ","), before
}

// failed says what failed, unless nothing did.
func failed(what string, err error) error {
	if err == nil {
		return nil
	}
	if codeOf(err) == wrongText {
		err = fmt.Errorf("%w: %w", ErrText, err)
	}
	return fmt.Errorf("store: %s: %w", what, err)
}

func millis() int64 { return time.Now().UnixMilli() }

// key returns the number of a channel.
func (d *base) key(ctx context.Context, q queries, id string) (int64, error) {
	if k, ok := d.keys.get(id); ok {
		return k, nil
	}
	var k int64
	if err := one(ctx, q, []any{&k}, "SELECT key FROM channels WHERE id = ?", id); err != nil {
		return 0, err
	}
	d.keys.put(id, k)
	return k, nil
}

// Waiting returns how many changes wait to be committed.
func (d *base) Waiting() int { return d.writer.waiting() }

// Change queues a change. Others are written with it, so what cannot be stored is refused before.
func (d *base) Change(c *Change) {
	err := c.Message.storable()
	if err == nil {
		err = d.writer.put(job{change: c})
	}
	if err != nil {
		c.Done(Message{}, false, err)
	}
}

// storable returns an error for texts that a database cannot hold.
func (m *Message) storable() error {
	for _, text := range []string{m.Channel, m.From, m.Name, m.CID, m.Text} {
		if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
			return failed("write a message", ErrText)
		}
	}
	return nil
}

// Ping reports whether the database answers.
func (d *base) Ping(ctx context.Context) error {
	var n int
	return failed("ping", one(ctx, d.reader(), []any{&n}, "SELECT 1"))
}

// Close commits what is queued and closes the database.
func (d *base) Close() error {
	d.writer.close()
	if d.kept != nil {
		d.kept.close()
	}
	return d.read.Close()
}

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// postgres is a Store in a database that several nodes share.
type postgres struct {
	db
	heads map[string]*head // of the channels that were changed here; the writer's
}

// OpenPostgres opens the store in the database that the URL (postgres://...) names.
func OpenPostgres(ctx context.Context, url string) (Store, error) {
	pool, err := sql.Open("pgx", url)
	if err != nil {
		return nil, failed("open the database", err)
	}
	pool.SetMaxOpenConns(16)
	pool.SetMaxIdleConns(8)
	s := &postgres{db: newDB(&base{}), heads: make(map[string]*head)}
	s.read, s.isPostgres = pool, true
	s.write = s.transact
	s.writer = newWriter(s.apply, func() {})
	if err := s.migrate(ctx, "postgres"); err != nil {
		_ = s.Close() // the first error says more
		return nil, err
	}
	return s, nil
}

// tries is how often a transaction is begun again that another one got in the way of.
const tries = 5

// transact runs f in a transaction.
func (s *postgres) transact(ctx context.Context, f func(context.Context, queries) error) error {
	for try := 1; ; try++ {
		err := s.attempt(ctx, f)
		if code := codeOf(err); try < tries && (code == "40001" || code == "40P01") { // serialization, deadlock
			continue
		}
		return err
	}
}

func (s *postgres) attempt(ctx context.Context, f func(context.Context, queries) error) error {
	tx, err := s.read.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(ctx, numbering{tx}); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

// codeOf returns the SQLSTATE of an error, or nothing.
func codeOf(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// SQLSTATEs of a row that is there already, and of a text that is not UTF-8 or holds U+0000.
const (
	uniqueViolation = "23505"
	wrongText       = "22021"
)

// writeTimeout bounds a batch: a database that hangs fails it, and clients send again.
const writeTimeout = 10 * time.Second

// apply writes a batch. Changes up to the next edit or deletion go in one statement, and all that
// was read goes in another.
func (s *postgres) apply(batch []job) []result {
	results := make([]result, 0, len(batch))
	marks := make([]job, 0, len(batch))
	batch = slices.DeleteFunc(batch, func(j job) bool {
		if j.mark != nil {
			marks = append(marks, j)
		}
		return j.mark != nil
	})
	if len(marks) > 0 {
		err := s.mark(marks)
		for _, j := range marks {
			j.answer <- err
		}
	}
	for len(batch) > 0 {
		n := 0
		for n < len(batch) && batch[n].change.Op == Post {
			n++
		}
		if n == 0 {
			results = append(results, s.alter(batch[0].change))
			batch = batch[1:]
			continue
		}
		results = append(results, s.post(batch[:n])...)
		batch = batch[n:]
	}
	return results
}

// mark notes how far people have read: the rows in one order, so that two nodes do not wait for
// each other.
func (s *postgres) mark(jobs []job) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	keys, uids, ns := make([]int64, 0, len(jobs)), make([]int64, 0, len(jobs)), make([]int64, 0, len(jobs))
	for _, j := range jobs {
		keys, uids, ns = append(keys, j.mark.key), append(uids, j.mark.uid), append(ns, j.mark.n)
	}
	_, err := s.read.ExecContext(ctx, `INSERT INTO reads (chan, uid, n)
		SELECT chan, uid, max(n) FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS m (chan, uid, n) GROUP BY chan, uid ORDER BY chan, uid
		ON CONFLICT (chan, uid) DO UPDATE SET n = excluded.n WHERE excluded.n > reads.n`, keys, uids, ns)
	return err
}

// owned returns the heads of the channels of a batch, and an error for each change whose epoch is
// over.
func (s *postgres) owned(ctx context.Context, changes []*Change) (map[*Change]error, error) {
	ids := make([]string, 0, len(changes))
	seen := make(map[string]bool)
	for _, c := range changes {
		if id := c.Message.Channel; !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	epochs := make(map[string]int64)
	err := each(ctx, s.read, func(rows *sql.Rows) error {
		var id string
		var epoch int64
		err := rows.Scan(&id, &epoch)
		epochs[id] = epoch
		return err
	}, "SELECT id, epoch FROM channels WHERE id = ANY($1)", ids)
	if err != nil {
		return nil, err
	}
	wrong := make(map[*Change]error)
	for _, c := range changes {
		epoch, ok := epochs[c.Message.Channel]
		switch {
		case !ok:
			wrong[c] = ErrNotFound
		case epoch != c.Epoch:
			delete(s.heads, c.Message.Channel)
			wrong[c] = fmt.Errorf("%w: epoch %d, the channel is at %d", ErrNotOwner, c.Epoch, epoch)
		}
	}
	for _, c := range changes { // when all heads are dropped that have to be: a channel may have had two owners in a batch
		if wrong[c] == nil {
			if err := s.load(ctx, c.Message.Channel, epochs[c.Message.Channel]); err != nil {
				return nil, err
			}
		}
	}
	return wrong, nil
}

// load reads how far a channel is, unless that is known from this epoch.
func (s *postgres) load(ctx context.Context, id string, epoch int64) error {
	if h := s.heads[id]; h != nil && h.epoch == epoch {
		return nil
	}
	if len(s.heads) >= maxKeys {
		clear(s.heads)
	}
	h := &head{epoch: epoch}
	err := one(ctx, s.read, []any{&h.key, &h.kind, &h.n, &h.rev}, `SELECT key, kind,
		greatest(first - 1, coalesce((SELECT max(n) FROM messages WHERE chan = key), 0)),
		greatest(floor_rev, coalesce((SELECT max(rev) FROM messages WHERE chan = key), 0)) FROM channels WHERE id = $1`, id)
	if err == nil {
		s.heads[id] = h
	}
	return err
}

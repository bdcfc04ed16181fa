package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// sqlite is a Store in one file.
type sqlite struct {
	db
	pool *sql.DB   // of the one connection that writes
	conn *sql.Conn // belongs to the writer's goroutine
	own  *cached   // what runs on it

	statements sqliteStatements
	heads      map[string]*head // of the channels that were changed; the writer's
	version    int64            // of the data, as far as others change it
	lag        *indexer
}

// OpenSQLite opens the store in folder, which is made if it does not exist.
func OpenSQLite(ctx context.Context, folder string) (Store, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, failed("make the data folder", err)
	}
	file := filepath.Join(folder, "im.db")
	open := func(connections int, pragmas ...string) (*sql.DB, error) {
		values := url.Values{"_pragma": append([]string{
			"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "cache_size(-32000)", "temp_store(MEMORY)",
		}, pragmas...)}
		pool, err := sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?"+values.Encode())
		if err == nil {
			pool.SetMaxOpenConns(connections)
			pool.SetMaxIdleConns(connections)
		}
		return pool, err
	}
	s := &sqlite{db: newDB(&base{}), heads: make(map[string]*head)}
	var err error
	if s.pool, err = open(1, "wal_autocheckpoint(4000)"); err != nil {
		return nil, failed("open "+file, err)
	}
	if s.conn, err = s.pool.Conn(ctx); err != nil {
		_ = s.pool.Close()
		return nil, failed("open "+file, err)
	}
	if s.read, err = open(max(2, runtime.GOMAXPROCS(0)), "query_only(1)"); err != nil {
		_ = s.pool.Close()
		return nil, failed("open "+file, err)
	}
	s.kept, s.own = newCached(s.read, s.read.PrepareContext), newCached(s.conn, s.conn.PrepareContext)
	s.write = s.transact
	s.writer = newWriter(s.apply, func() {
		s.statements.close()
		s.own.close()
		_ = s.conn.Close()
		_ = s.pool.Close()
	})
	if err = s.migrate(ctx, "sqlite"); err == nil {
		err = s.prepare(ctx)
	}
	if err != nil {
		_ = s.Close() // the first error says more
		return nil, err
	}
	s.lag = newIndexer(s.base)
	return s, nil
}

// Close commits what is queued and closes the database.
func (s *sqlite) Close() error {
	if s.lag != nil {
		s.lag.close()
	}
	return s.db.Close()
}

// Search finds what was stored before it, unless the index is far behind.
func (s *sqlite) Search(ctx context.Context, user, text, channel string, cursor int64, limit int) ([]Message, int64, error) {
	wait, cancel := context.WithTimeout(ctx, searchWait)
	defer cancel()
	if err := s.lag.catchUp(wait); err != nil && wait.Err() == nil {
		return nil, 0, failed("search", err)
	}
	return s.db.Search(ctx, user, text, channel, cursor, limit)
}

// transact runs f on the writer's goroutine, within the transaction of other writes.
func (s *sqlite) transact(ctx context.Context, f func(context.Context, queries) error) error {
	answer := make(chan error, 1)
	if err := s.writer.put(job{run: func() { answer <- s.savepoint(ctx, f) }}); err != nil {
		return err
	}
	return <-answer
}

// savepoint runs f so that its failure undoes its own writes only.
func (s *sqlite) savepoint(ctx context.Context, f func(context.Context, queries) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	quiet := context.WithoutCancel(ctx) // a statement that is broken off would end the transaction of all
	if _, err := s.own.ExecContext(quiet, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := f(quiet, s.own); err != nil {
		_, _ = s.conn.ExecContext(quiet, "ROLLBACK")
		return err
	}
	_, err := s.own.ExecContext(quiet, "COMMIT")
	if err != nil {
		_, _ = s.conn.ExecContext(quiet, "ROLLBACK")
	}
	return err
}

// apply writes a batch: runs of changes in one transaction each, and functions in their own.
func (s *sqlite) apply(batch []job) []result {
	results := make([]result, 0, len(batch))
	for len(batch) > 0 {
		n := 0
		for n < len(batch) && batch[n].change != nil {
			n++
		}
		if n == 0 {
			batch[0].run()
			clear(s.heads) // it may have claimed a channel
			batch = batch[1:]
			continue
		}
		results = append(results, s.changes(batch[:n])...)
		batch = batch[n:]
	}
	return results
}

// changes writes changes in one transaction. If it cannot be committed, all of them have failed.
func (s *sqlite) changes(batch []job) []result {
	ctx := context.Background()
	results := make([]result, len(batch))
	fail := func(err error) []result {
		_, _ = s.conn.ExecContext(ctx, "ROLLBACK")
		clear(s.heads)
		for i, j := range batch {
			results[i] = result{change: j.change, err: failed("write messages", err)}
		}
		return results
	}
	if _, err := s.statements.begin.ExecContext(ctx); err != nil {
		return fail(err)
	}
	if err := s.others(ctx); err != nil {
		return fail(err)
	}
	now := time.Now().UnixMilli()
	posted := false
	for i, j := range batch {
		results[i] = s.change(ctx, j.change, now)
		if err := results[i].err; err != nil && !expected(err) {
			return fail(err)
		}
		posted = posted || j.change.Op == Post
	}
	if _, err := s.statements.commit.ExecContext(ctx); err != nil {
		return fail(err)
	}
	if posted && s.lag != nil {
		s.lag.wake()
	}
	return results
}

// others forgets what is known of channels if another process has written. That one may have
// claimed them.
func (s *sqlite) others(ctx context.Context) error {
	var version int64
	if err := s.statements.version.QueryRowContext(ctx).Scan(&version); err != nil {
		return err
	}
	if version != s.version {
		s.version = version
		clear(s.heads)
	}
	return nil
}

// sqliteStatements are those that run for each message.
type sqliteStatements struct {
	begin, commit, version, head, insert, again, find, edit, remove, mention, unmention, index, unindex *sql.Stmt
	all                                                                                                 []*sql.Stmt
}

func (s *sqliteStatements) close() {
	for _, st := range s.all {
		_ = st.Close()
	}
}

const selectMessage = `SELECT c.id, m.n, m.rev, m.at, m.sender, m.name, m.cid, m.text, m.picture, m.reply, m.mentions, m.edited, m.deleted
	FROM messages m JOIN channels c ON c.key = m.chan `

func (s *sqlite) prepare(ctx context.Context) error {
	st := &s.statements
	for _, p := range []struct {
		to   **sql.Stmt
		text string
	}{
		{&st.begin, "BEGIN IMMEDIATE"},
		{&st.commit, "COMMIT"},
		{&st.version, "PRAGMA data_version"},
		{&st.head, `SELECT key, kind, epoch, max(first - 1, coalesce((SELECT max(n) FROM messages WHERE chan = key), 0)),
			max(floor_rev, coalesce((SELECT max(rev) FROM messages WHERE chan = key), 0)) FROM channels WHERE id = ?`},
		{&st.insert, `INSERT INTO messages (chan, n, rev, at, uid, sender, name, cid, text, picture, reply, mentions)
			VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (uid, cid) WHERE cid <> '' DO NOTHING`},
		{&st.again, selectMessage + "WHERE m.uid = ? AND m.cid = ?"},
		{&st.find, selectMessage + "WHERE m.chan = ? AND m.n = ?"},
		{&st.edit, "UPDATE messages SET rev = ?, text = ?, mentions = ?, edited = ? WHERE chan = ? AND n = ? AND deleted = 0"},
		{&st.remove, "UPDATE messages SET rev = ?, text = '', picture = '', mentions = '', deleted = 1 WHERE chan = ? AND n = ? AND deleted = 0"},
		{&st.mention, "INSERT INTO mentions VALUES (?,?,?) ON CONFLICT DO NOTHING"},
		{&st.unmention, "DELETE FROM mentions WHERE chan = ? AND n = ? AND uid = ?"},
		{&st.unindex, "DELETE FROM found WHERE rowid = (SELECT id FROM messages WHERE chan = ? AND n = ? AND id <= (SELECT id FROM indexed))"},
		{&st.index, `INSERT INTO found (rowid, text) SELECT id, text FROM messages WHERE chan = ? AND n = ? AND id <= (SELECT id FROM indexed)`},
	} {
		stmt, err := s.conn.PrepareContext(ctx, p.text)
		if err != nil {
			return failed(fmt.Sprintf("prepare %q", p.text), err)
		}
		*p.to = stmt
		st.all = append(st.all, stmt)
	}
	return nil
}

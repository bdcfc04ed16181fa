package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
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
	log        *checkpointer
}

// OpenSQLite opens the store in folder, which is made if it does not exist.
func OpenSQLite(ctx context.Context, folder string) (Store, error) {
	return openSQLite(ctx, folder, checkpointEvery, maxLog)
}

func openSQLite(ctx context.Context, folder string, moveEvery time.Duration, most int) (Store, error) {
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
	if s.pool, err = open(1, fmt.Sprintf("wal_autocheckpoint(%d)", most)); err != nil {
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
	s.claimed = func(id string) { delete(s.heads, id) }
	if err = s.prepareTransactions(ctx); err == nil {
		err = s.migrate(ctx, "sqlite")
	}
	if err == nil {
		err = s.prepareChanges(ctx)
	}
	if err != nil {
		_ = s.Close() // the first error says more
		return nil, err
	}
	moving, err := open(1)
	if err != nil {
		_ = s.Close() // the first error says more
		return nil, failed("open "+file, err)
	}
	s.log = newCheckpointer(moving, moveEvery)
	s.lag = newIndexer(s.base)
	return s, nil
}

// Close commits what is queued and closes the database.
func (s *sqlite) Close() error {
	if s.lag != nil {
		s.lag.close()
		s.log.close()
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
	return s.writer.wait(job{run: func(_ context.Context, q queries) error {
		if err := ctx.Err(); err != nil {
			return err // nobody waits any more
		}
		return f(context.WithoutCancel(ctx), q) // a statement that is broken off would end the transaction of all
	}})
}

// apply writes a batch in one transaction. What fails by itself leaves no trace there, and does not
// concern the others. If the transaction cannot be committed, all of it has failed.
func (s *sqlite) apply(batch []job) []result {
	results := make([]result, len(batch))
	if err := s.commit(context.Background(), batch, results); err != nil {
		clear(s.heads)
		for i := range results {
			results[i] = result{err: failed("write", err)}
		}
	}
	changes := results[:0]
	for i, j := range batch {
		if j.change == nil {
			j.answer <- results[i].err
			continue
		}
		results[i].change = j.change
		changes = append(changes, results[i])
	}
	return changes
}

// commit writes a batch, and notes in results what has become of each job.
func (s *sqlite) commit(ctx context.Context, batch []job, results []result) error {
	if s.log != nil && s.log.rest() {
		if _, err := s.own.ExecContext(ctx, checkpoint); err != nil {
			slog.Warn("database log not moved into its file", "err", err)
		}
	}
	if _, err := s.statements.begin.ExecContext(ctx); err != nil {
		return err
	}
	posted, err := s.writeAll(ctx, batch, results)
	if err == nil {
		_, err = s.statements.commit.ExecContext(ctx)
	}
	if err != nil {
		_, _ = s.conn.ExecContext(ctx, "ROLLBACK") // the first error says more
		return err
	}
	if s.log != nil {
		s.log.wake()
	}
	if posted && s.lag != nil {
		s.lag.wake()
	}
	return nil
}

// writeAll does the jobs of a batch, and reports whether there are new messages. Its error is one
// that concerns all.
func (s *sqlite) writeAll(ctx context.Context, batch []job, results []result) (posted bool, err error) {
	if err := s.others(ctx); err != nil {
		return false, err
	}
	now := millis()
	for i, j := range batch {
		switch {
		case j.change != nil:
			results[i] = s.change(ctx, j.change, now)
			if err := results[i].err; err != nil && !expected(err) {
				return false, err
			}
			posted = posted || j.change.Op == Post
		case j.mark != nil:
			if _, err := s.statements.mark.ExecContext(ctx, j.mark.key, j.mark.uid, j.mark.n); err != nil {
				return false, err
			}
		default:
			if results[i].err, err = s.savepoint(ctx, j.run); err != nil {
				return false, err
			}
		}
	}
	return posted, nil
}

// savepoint runs f so that its failure undoes its own writes only. broken is an error that concerns
// the whole transaction.
func (s *sqlite) savepoint(ctx context.Context, f func(context.Context, queries) error) (failure, broken error) {
	if _, err := s.statements.savepoint.ExecContext(ctx); err != nil {
		return nil, err
	}
	failure = f(ctx, s.own)
	if failure != nil {
		if _, err := s.conn.ExecContext(ctx, "ROLLBACK TO one"); err != nil {
			return nil, errors.Join(failure, err)
		}
	}
	_, broken = s.statements.release.ExecContext(ctx)
	return failure, broken
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

// markRead notes how far somebody has read. It never goes back.
const markRead = `INSERT INTO reads (chan, uid, n) VALUES (?,?,?)
	ON CONFLICT (chan, uid) DO UPDATE SET n = excluded.n WHERE excluded.n > reads.n`

// sqliteStatements are those that run for each message.
type sqliteStatements struct {
	begin, commit, savepoint, release, version                                              *sql.Stmt
	head, insert, again, find, edit, remove, mention, unmention, show, index, unindex, mark *sql.Stmt
	all                                                                                     []*sql.Stmt
}

func (s *sqliteStatements) close() {
	for _, st := range s.all {
		_ = st.Close()
	}
}

const selectMessage = `SELECT c.id, m.n, m.rev, m.at, m.sender, m.name, m.cid, m.text, m.picture, m.reply, m.mentions, m.edited, m.deleted
	FROM messages m JOIN channels c ON c.key = m.chan `

// statement is one to prepare.
type statement struct {
	to   **sql.Stmt
	text string
}

// prepareTransactions prepares what needs no tables yet.
func (s *sqlite) prepareTransactions(ctx context.Context) error {
	st := &s.statements
	return s.prepare(ctx, []statement{
		{&st.begin, "BEGIN IMMEDIATE"},
		{&st.commit, "COMMIT"},
		{&st.savepoint, "SAVEPOINT one"},
		{&st.release, "RELEASE one"},
		{&st.version, "PRAGMA data_version"},
	})
}

// prepareChanges prepares what runs for messages.
func (s *sqlite) prepareChanges(ctx context.Context) error {
	st := &s.statements
	return s.prepare(ctx, []statement{
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
		{&st.show, "UPDATE pictures SET used = used + 1 WHERE id = ?"},
		{&st.unindex, "DELETE FROM found WHERE rowid = (SELECT id FROM messages WHERE chan = ? AND n = ? AND id <= (SELECT id FROM indexed))"},
		{&st.index, `INSERT INTO found (rowid, text) SELECT id, text FROM messages WHERE chan = ? AND n = ? AND id <= (SELECT id FROM indexed)`},
		{&st.mark, markRead},
	})
}

func (s *sqlite) prepare(ctx context.Context, list []statement) error {
	for _, p := range list {
		stmt, err := s.conn.PrepareContext(ctx, p.text)
		if err != nil {
			return failed(fmt.Sprintf("prepare %q", p.text), err)
		}
		*p.to = stmt
		s.statements.all = append(s.statements.all, stmt)
	}
	return nil
}

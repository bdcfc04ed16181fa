package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// migrations holds the steps of each database, in files that begin with their version.
//
//go:embed migrations
var migrations embed.FS

// migrate brings the schema to the newest version, each step in a transaction of its own. A
// database that is newer than the program is refused. Two programs that start at once on Postgres
// take turns.
func (d *base) migrate(ctx context.Context, dialect string) error {
	names, err := fs.Glob(migrations, path.Join("migrations", dialect, "*.sql"))
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		number, _, _ := strings.Cut(path.Base(name), "_")
		version, err := strconv.Atoi(number)
		if err != nil {
			return fmt.Errorf("store: migration %s has no version", name)
		}
		text, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		if err := d.write(ctx, func(ctx context.Context, q queries) error {
			have, err := d.version(ctx, q)
			if err != nil || have >= version {
				return err
			}
			if _, err := q.ExecContext(ctx, string(text)); err != nil {
				return err
			}
			_, err = q.ExecContext(ctx, "INSERT INTO versions VALUES (?, ?)", version, millis())
			return err
		}); err != nil {
			return failed("migrate to version "+number, err)
		}
	}
	have := 0
	if err := one(ctx, d.reader(), []any{&have}, "SELECT max(version) FROM versions"); err != nil {
		return failed("read the version", err)
	}
	if have > len(names) {
		return fmt.Errorf("store: the database has version %d, and this program knows %d: use a newer program", have, len(names))
	}
	return nil
}

// version returns the version of the schema, 0 for an empty database.
func (d *base) version(ctx context.Context, q queries) (int, error) {
	if d.isPostgres {
		if _, err := q.ExecContext(ctx, "SELECT pg_advisory_xact_lock(7236123)"); err != nil {
			return 0, err
		}
	}
	if _, err := q.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS versions (version INTEGER PRIMARY KEY, at BIGINT NOT NULL)"); err != nil {
		return 0, err
	}
	have := 0
	err := one(ctx, q, []any{&have}, "SELECT coalesce(max(version), 0) FROM versions")
	return have, err
}

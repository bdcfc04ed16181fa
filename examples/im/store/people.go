package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/lonng/nano/examples/rules"
)

// listed is how many values one statement has in a list at most.
const listed = 500

// PutUser enters a user, or gives one another name.
func (d *people) PutUser(ctx context.Context, u User) (isNew bool, err error) {
	uid := u.UID()
	var have User
	err = one(ctx, d.reader(), []any{&have.ID, &have.Name}, "SELECT id, name FROM users WHERE uid = ?", uid)
	switch {
	case err == nil && have.ID != u.ID:
		return false, fmt.Errorf("store: user %q has the number of %q: %w", u.ID, have.ID, ErrExists)
	case err == nil && have == u:
		return false, nil
	case err != nil && !errors.Is(err, ErrNotFound):
		return false, failed("read a user", err)
	}
	err = d.write(ctx, func(ctx context.Context, q queries) error {
		done, err := q.ExecContext(ctx, `INSERT INTO users (uid, id, name, folded, created, place)
			VALUES (?,?,?,?,?, (SELECT coalesce(max(seq), 0) FROM pushes)) ON CONFLICT DO NOTHING`, uid, u.ID, u.Name, rules.Fold(u.Name), millis())
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			_, err2 := q.ExecContext(ctx, "UPDATE users SET name = ?, folded = ? WHERE uid = ?", u.Name, rules.Fold(u.Name), uid)
			return errors.Join(err, err2)
		}
		isNew = true
		_, err = q.ExecContext(ctx, `INSERT INTO reads (chan, uid, n)
			SELECT key, CAST(? AS BIGINT), coalesce((SELECT max(n) FROM messages WHERE chan = key), first - 1) FROM channels WHERE kind = 'global'
			ON CONFLICT DO NOTHING`, uid)
		return err
	})
	return isNew, failed("enter a user", err)
}

// Users returns those of the ids that are known.
func (d *people) Users(ctx context.Context, ids []string) ([]User, error) {
	var users []User
	for len(ids) > 0 {
		some := ids[:min(len(ids), listed)]
		ids = ids[len(some):]
		list, args := marks(nil, some)
		if err := each(ctx, d.reader(), collectUsers(&users), "SELECT id, name FROM users WHERE id IN ("+list+")", args...); err != nil {
			return nil, failed("read users", err)
		}
	}
	return users, nil
}

func collectUsers(users *[]User) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var u User
		err := rows.Scan(&u.ID, &u.Name)
		*users = append(*users, u)
		return err
	}
}

// FindUsers returns users whose names begin with the text.
func (d *people) FindUsers(ctx context.Context, text string, limit int) ([]User, error) {
	from := rules.Fold(text)
	query := "SELECT id, name FROM users WHERE folded >= ? AND folded < ? ORDER BY folded, id LIMIT ?"
	if d.isPostgres { // whose databases order words as a language does
		query = strings.ReplaceAll(query, "folded", `folded COLLATE "C"`)
	}
	var users []User
	err := each(ctx, d.reader(), collectUsers(&users), query, from, from+"\U0010ffff", limit)
	return users, failed("find users", err)
}

// ListUsers returns users in the order of ids.
func (d *people) ListUsers(ctx context.Context, after string, limit int) ([]User, error) {
	var users []User
	err := each(ctx, d.reader(), collectUsers(&users), "SELECT id, name FROM users WHERE id > ? ORDER BY id LIMIT ?", after, limit)
	return users, failed("list users", err)
}

// CountUsers returns how many users there are.
func (d *people) CountUsers(ctx context.Context) (int, error) {
	n := 0
	err := one(ctx, d.reader(), []any{&n}, "SELECT count(*) FROM users")
	return n, failed("count users", err)
}

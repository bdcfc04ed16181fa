package store

import (
	"context"
	"database/sql"
	"strings"
	"unicode"
)

// maxWords is how many words of a search count.
const maxWords = 8

// words returns the words of a search. What is no letter, mark or digit separates them, so that
// nothing of the text is taken for an operator.
func words(text string) []string {
	list := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) })
	return list[:min(len(list), maxWords)]
}

// Search finds words in the channels of a user.
func (d *history) Search(ctx context.Context, user, text, channel string, cursor int64, limit int) (found []Message, next int64, err error) {
	terms := words(text)
	if len(terms) == 0 || limit <= 0 {
		return nil, 0, nil
	}
	if cursor <= 0 {
		cursor = 1 << 62
	}
	var match, query string
	columns := strings.Replace(selectMessage, "SELECT ", "SELECT m.id, ", 1)
	if d.isPostgres {
		match = strings.Join(terms, ":* & ") + ":*"
		query = columns + "WHERE to_tsvector('simple', m.text) @@ to_tsquery('simple', ?)"
	} else {
		match = `"` + strings.Join(terms, `"* "`) + `"*`
		query = columns + "JOIN found ON found.rowid = m.id WHERE found MATCH ?"
	}
	query += ` AND m.id < ? AND m.deleted = 0 AND (c.kind = 'global'
		OR EXISTS (SELECT 1 FROM members s WHERE s.chan = m.chan AND s.uid = ? AND s.role <> 'invited'))`
	args := []any{match, cursor, UIDOf(user)}
	if channel != "" {
		query, args = query+" AND c.id = ?", append(args, channel)
	}
	query, args = query+" ORDER BY m.id DESC LIMIT ?", append(args, limit)
	err = each(ctx, d.reader(), func(rows *sql.Rows) error {
		var r row
		if err := rows.Scan(append([]any{&next}, r.scanned()...)...); err != nil {
			return err
		}
		m, err := r.message()
		found = append(found, m)
		return err
	}, query, args...)
	if err != nil {
		return nil, 0, failed("search", err)
	}
	if len(found) < limit {
		next = 0
	}
	return found, next, nil
}

package store

import (
	"context"
	"encoding/json"
)

// PutPicture stores a picture.
func (d *albums) PutPicture(ctx context.Context, p Picture, channel, user string, data, thumb []byte) error {
	key, err := d.key(ctx, d.reader(), channel)
	if err != nil {
		return failed("store a picture", err)
	}
	about, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return failed("store a picture", d.write(ctx, func(ctx context.Context, q queries) error {
		_, err := q.ExecContext(ctx, "INSERT INTO pictures (id, chan, sender, created, about, data, thumb) VALUES (?,?,?,?,?,?,?)",
			p.ID, key, user, millis(), string(about), data, thumb)
		return err
	}))
}

// Picture returns a picture without its bytes.
func (d *albums) Picture(ctx context.Context, id string) (p Picture, channel, user string, err error) {
	var about string
	err = one(ctx, d.reader(), []any{&about, &channel, &user}, "SELECT p.about, c.id, p.sender FROM pictures p JOIN channels c ON c.key = p.chan WHERE p.id = ?", id)
	if err == nil {
		err = json.Unmarshal([]byte(about), &p)
	}
	return p, channel, user, failed("read a picture", err)
}

// PictureData returns the bytes of a picture.
func (d *albums) PictureData(ctx context.Context, id string, thumb bool) ([]byte, error) {
	column := "data"
	if thumb {
		column = "thumb"
	}
	var data []byte
	err := one(ctx, d.reader(), []any{&data}, "SELECT "+column+" FROM pictures WHERE id = ?", id)
	return data, failed("read a picture", err)
}

// hide notes that a message has a picture no more. One that no other message has goes.
func hide(ctx context.Context, q queries, id string) error {
	if _, err := q.ExecContext(ctx, "UPDATE pictures SET used = used - 1 WHERE id = ?", id); err != nil {
		return err
	}
	_, err := q.ExecContext(ctx, "DELETE FROM pictures WHERE id = ? AND used <= 0", id)
	return err
}

ALTER TABLE answers ADD COLUMN holder TEXT NOT NULL DEFAULT '';  -- who is at the request
ALTER TABLE answers ADD COLUMN until INTEGER NOT NULL DEFAULT 0; -- nobody else is, before that
CREATE TABLE revoked (
	id      TEXT PRIMARY KEY,
	expires INTEGER NOT NULL -- when the token would have expired
) WITHOUT ROWID;
CREATE INDEX revoked_expires ON revoked (expires);

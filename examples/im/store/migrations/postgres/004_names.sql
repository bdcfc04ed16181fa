-- Names are looked for by their beginnings, in the order of their characters and in that of no language.
CREATE INDEX users_folded_c ON users (folded COLLATE "C");
DROP INDEX users_folded;

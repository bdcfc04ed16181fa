package store

import (
	"context"
	"database/sql"
	"strings"
	"sync"
)

// cached is queries that parses each statement once. It is for SQLite, whose driver parses them
// each time.
type cached struct {
	prepare func(ctx context.Context, query string) (*sql.Stmt, error)
	plain   queries // for statements that hold lists, and for several in one text

	mu    sync.RWMutex
	stmts map[string]*sql.Stmt
}

func newCached(plain queries, prepare func(context.Context, string) (*sql.Stmt, error)) *cached {
	return &cached{prepare: prepare, plain: plain, stmts: make(map[string]*sql.Stmt)}
}

// stmt returns the statement of a query; nil for one that is not kept.
func (c *cached) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if strings.Contains(query, "IN (?") || strings.Contains(query, ";") {
		return nil, nil
	}
	c.mu.RLock()
	s := c.stmts[query]
	c.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.stmts[query]; s != nil {
		return s, nil
	}
	s, err := c.prepare(context.WithoutCancel(ctx), query)
	if err == nil {
		c.stmts[query] = s
	}
	return s, err
}

// ExecContext runs a statement.
func (c *cached) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := c.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.plain.ExecContext(ctx, query, args...)
	}
	return s.ExecContext(ctx, args...)
}

// QueryContext runs a query.
func (c *cached) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := c.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.plain.QueryContext(ctx, query, args...)
	}
	return s.QueryContext(ctx, args...)
}

// QueryRowContext runs a query of one row. One that cannot be prepared fails when it runs as it is.
func (c *cached) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if s, err := c.stmt(ctx, query); err == nil && s != nil {
		return s.QueryRowContext(ctx, args...)
	}
	return c.plain.QueryRowContext(ctx, query, args...)
}

// close closes the statements.
func (c *cached) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.stmts {
		_ = s.Close()
	}
}

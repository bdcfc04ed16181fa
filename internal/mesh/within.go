package mesh

import (
	"context"
	"fmt"
)

// Within runs fn and stops waiting for it when ctx ends.
func Within(ctx context.Context, what string, fn func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
}

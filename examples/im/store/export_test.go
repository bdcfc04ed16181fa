package store

import "context"

// Indexed has the search find all that was stored before. On PostgreSQL it does so anyway.
func Indexed(ctx context.Context, s Store) error {
	lite, ok := s.(*sqlite)
	for more := ok; more; {
		var err error
		if more, err = lite.lag.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

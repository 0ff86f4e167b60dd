package pgstore

import "context"

// Damage flips a bit of the record of a key. It goes behind the triggers' back,
// as a disk would.
func (s *Store) Damage(ctx context.Context, id string) error {
	_, err := s.pool.Exec(ctx, qualify(s.schema, `UPDATE "latchkey".keys
		SET revision = revision + 1, record = set_byte(record, length(record) / 2, get_byte(record, length(record) / 2) # 1) WHERE id = $1`), id)
	return err
}

// Schema returns the name of the store's schema.
func (s *Store) Schema() string { return s.schema }

// Vacuum rewrites every table.
func (s *Store) Vacuum(ctx context.Context) error {
	for _, table := range []string{"keys", "audit", "feed_head", "feed", "instances", "usage_hours", "usage_secrets"} {
		if _, err := s.pool.Exec(ctx, qualify(s.schema, `VACUUM FULL "latchkey".`+table)); err != nil {
			return err
		}
	}
	return nil
}

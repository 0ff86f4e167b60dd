package latchkey

import (
	"context"

	"github.com/wontopos/latchkey/apikey"
)

// Audit returns the audit trail, newest first.
func (s *Service) Audit(ctx context.Context, q apikey.AuditQuery) ([]apikey.AuditEntry, error) {
	if err := s.engine.Enter(); err != nil {
		return nil, err
	}
	defer s.engine.Leave()
	entries, err := s.store.Audit(ctx, q)
	return entries, storeError("audit", err)
}

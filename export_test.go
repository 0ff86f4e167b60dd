package latchkey

import (
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/token"
)

// Mint makes a token of the environment "live", for a key with this id or, if it
// is empty, for none.
func Mint(id string) Token {
	f, err := token.NewFormat("sk", []apikey.Environment{{Name: "live"}})
	if err != nil {
		panic(err)
	}
	text, _ := f.Mint(0, id)
	return newToken(text)
}

var (
	FormatCursor = formatCursor
	ParseCursor  = parseCursor

	AddToUsage    = addUsage
	AddToActivity = addActivity
)

// OnceIDs are the ids that a named creation may have.
func OnceIDs(s *Service, name string) []string { return s.digest.OnceIDs(name) }

// OweAtMost bounds how many counts are kept for a store that does not take them.
func (s *Service) OweAtMost(deltas int) { s.outbox.most = deltas }

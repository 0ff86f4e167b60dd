package pgstore

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// What the operator of a server can do when it refuses.
const (
	readOnly  = "the server is read-only, because it is a replica or still recovering: connect to the primary (target_session_attrs=read-write in the DSN)"
	diskFull  = "the server's disk is full: make room on it, or enlarge it; the store then goes on by itself"
	crowded   = "the server gives this role no more connections: raise its max_connections, or the limit of the role or the database, or lower pool_max_conns in the DSN"
	goingAway = "the server is shutting down, or somebody ended the connection: the store goes on by itself once the server accepts connections"
	notUp     = "the server is starting, recovering or shutting down: the store goes on by itself once the server accepts connections"
)

// advice says what the operator can do about an error; "" if this package does not know. refusing means that the server
// can be read, but not written to.
func advice(err error) (text string, refusing bool) {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return "", false
	}
	switch e.Code {
	case "25006":
		return readOnly, true
	case "0A000": // many things are not supported; this is how a replica answers beginSQL
		if e.Routine == "call_bool_check_hook" {
			return readOnly, true
		}
	case "53100":
		return diskFull, true
	case "53300":
		return crowded, false
	case "57P01":
		return goingAway, false
	case "57P03":
		return notUp, false
	}
	return "", false
}

// advised puts the advice in front of an error, if there is any.
func advised(err error) error {
	if text, _ := advice(err); text != "" {
		return fmt.Errorf("%s: %w", text, err)
	}
	return err
}

// noteWrite records how a change or counts were written. An error that is not about the server says nothing.
func (s *Store) noteWrite(err error) {
	if text, refusing := advice(err); refusing {
		s.refusing.Store(&text)
	} else if err == nil {
		s.refusing.Store(nil)
	}
}

// Refusing reports why the server refused to store this store's last change or counts, and what to do: its disk is full,
// or it is read-only. It is nil if the server accepted them, and costs no round trip. latchkey.Health has it as Refusing.
func (s *Store) Refusing() error {
	if text := s.refusing.Load(); text != nil {
		return errors.New("pgstore: " + *text)
	}
	return nil
}

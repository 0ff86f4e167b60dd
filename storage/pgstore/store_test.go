package pgstore_test

import (
	"testing"

	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
	"github.com/wontopos/latchkey/storage/storetest"
)

func TestStore(t *testing.T) { storetest.Run(t, harness(pgtest.DSN(t))) }

//go:build !unix

package slots

import (
	"errors"
	"os"
)

// No signal makes a process stand still here.
func pause(*os.Process) error  { return errors.ErrUnsupported }
func resume(*os.Process) error { return errors.ErrUnsupported }

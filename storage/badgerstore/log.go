package badgerstore

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// bridge passes Badger's log lines to slog, its news at level Debug.
type bridge struct {
	log         *slog.Logger
	beforeTable func(took time.Duration) // called when a compaction is about to write a table, with the time that filling it took
}

func (b bridge) say(level slog.Level, f string, args []any) {
	ctx := context.Background() // Badger passes none on
	if b.log.Enabled(ctx, level) {
		b.log.Log(ctx, level, "badger: "+strings.TrimSpace(fmt.Sprintf(f, args...)))
	}
}

func (b bridge) Errorf(f string, args ...any)   { b.say(slog.LevelError, f, args) }
func (b bridge) Warningf(f string, args ...any) { b.say(slog.LevelWarn, f, args) }
func (b bridge) Infof(f string, args ...any)    { b.say(slog.LevelDebug, f, args) }

func (b bridge) Debugf(f string, args ...any) {
	b.say(slog.LevelDebug, f, args)
	if b.beforeTable != nil && strings.HasPrefix(f, "[%d] LOG Compact. Added") {
		took, _ := args[len(args)-1].(time.Duration)
		b.beforeTable(took)
	}
}

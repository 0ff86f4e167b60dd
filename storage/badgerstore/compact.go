package badgerstore

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4/table"
)

// Tables are compacted here and not by Badger's own compactors, which begin when they like: on a full disk they would
// end the process. Besides, a compaction that cannot make a file takes its table for written, and deletes what it was
// made of; and one that meets a damaged block leaves out all that follows. So before each there has to be room for all
// tables once more, files must be allowed to be made and opened, and every block is checked. Whatever fills the disk
// later meets Badger's next table: it waits for room (beforeTable).
//
// A compaction has nothing to do with any request, and up to five goroutines of Badger's work at one: without rests they
// would take every processor for seconds. So they take turns, table by table, and rest after each.

const (
	compactRoom = 16 << 20 // besides that of the tables
	tableRoom   = 12 << 20 // before each table: several are written at once
	manyTables  = 5
	tableRest   = 3           // times as long as it took to fill a table, but no longer than
	longestRest = time.Second // in case the machine slept while it did
)

// compactor runs until Close.
func (s *Store) compactor() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-s.reserve.stop:
			return
		case answer := <-s.wanted:
			s.hurried.Store(true)
			err := s.compact()
			s.hurried.Store(false)
			if err == nil {
				s.collect()
			}
			answer <- err
		case <-tick.C:
			s.reserve.missing.Store(s.missingTable())
			if s.reserve.look() == nil {
				s.writeHeld(false)
			}
		case <-s.reserve.turned:
		}
		var err error
		if s.crowded() {
			err = s.compact()
		}
		if err != nil && s.db.Levels()[0].NumTables < s.db.Opts().NumLevelZeroTablesStall*3/4 {
			s.log.Debug("badgerstore: tables are not compacted yet", "error", err)
			err = nil
		}
		s.reserve.cannotCompact(err)
	}
}

// crowded reports whether level 0 has so many tables that reading suffers: five, and more where the other levels are
// large, because all of them are written anew; or, on a disk that is nearly full, any.
func (s *Store) crowded() bool {
	levels := s.db.Levels()
	if levels[0].NumTables > 0 && s.reserve.nearlyCramped() {
		return true
	}
	size := int64(0)
	for _, l := range levels[1:] {
		size += l.Size
	}
	o := s.db.Opts()
	return levels[0].NumTables >= min(o.NumLevelZeroTablesStall/2, max(manyTables, int(size/o.MemTableSize/2)))
}

// missingTable returns the name of a table that is no longer in the directory. Only a compaction, which is made by the same
// goroutine, deletes tables.
func (s *Store) missingTable() *string {
	dir := s.db.Opts().Dir
	tables := s.db.Tables()
	names, err := files(dir, ".sst")
	if err != nil {
		return s.reserve.missing.Load()
	}
	for _, t := range tables {
		if name := table.NewFilename(t.ID, dir); !slices.Contains(names, name) {
			return &name
		}
	}
	return nil
}

// compact brings all tables to one level, or says why it must not.
func (s *Store) compact() (err error) {
	defer catchFaults()()
	defer recovered(&err)
	dir := s.db.Opts().Dir
	size := s.tableBytes()
	free, err := freeBytes(dir)
	if err != nil {
		return err
	}
	if err := mayWrite(dir); err != nil {
		return err
	}
	if needed := size + compactRoom; free < needed {
		return fmt.Errorf("the file system of %s has %d KiB free, to compact the tables takes %d: make room on it, or enlarge it; the store then goes on by itself",
			dir, free>>10, needed>>10)
	}
	if err := mayOpen(int(size>>20) + 32); err != nil {
		return err
	}
	if err := s.db.VerifyChecksum(); err != nil {
		return fmt.Errorf("a table is damaged: %s: %w", restore, err)
	}
	return s.db.Flatten(1)
}

// beforeTable delays a compaction that is about to write a table, which took so long to fill: while there is no room for it,
// and until it has rested. It is called by Badger's goroutines. After Close they wait for room for ever: the process is about
// to end, and what was not written is still in the old tables.
func (s *Store) beforeTable(took time.Duration) {
	if s.reserve == nil {
		return
	}
	s.pacing.Lock() // one at a time
	defer s.pacing.Unlock()
	s.waitForRoom()
	if o := s.db.Opts(); s.hurried.Load() || s.db.Levels()[0].NumTables >= o.NumLevelZeroTablesStall/2 {
		return
	}
	select {
	case <-time.After(min(tableRest*took, longestRest)):
	case <-s.reserve.stop:
	}
}

func (s *Store) waitForRoom() {
	for {
		free, err := freeBytes(s.reserve.dir)
		if err == nil {
			err = mayWrite(s.reserve.dir)
		}
		if err == nil && free >= tableRoom {
			return
		}
		s.reserve.cannotCompact(errors.Join(fmt.Errorf("a compaction waits for room: the file system of %s has %d KiB free", s.reserve.dir, free>>10), err))
		time.Sleep(10 * time.Millisecond)
	}
}

// cannotCompact notes why tables are not compacted. Then no more are made.
func (r *reserve) cannotCompact(err error) {
	if err == nil {
		r.stuck.Store(nil)
	} else {
		r.stuck.Store(&err)
	}
}

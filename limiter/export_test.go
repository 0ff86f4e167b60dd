package limiter

import (
	"time"
	"unsafe"
)

// Step sets the clock, which the public surface cannot. Nobody else may use w
// meanwhile.
func (w *Window) Step(d time.Duration) { w.wall += int64(d) }

// Subjects returns how many subjects are held.
func (w *Window) Subjects() (n int) {
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		n += len(s.all)
		s.mu.Unlock()
	}
	return n
}

// Size returns the bytes of one subject's state, without its name.
func (w *Window) Size(subject string) int {
	for i := range w.shards {
		if b := w.shards[i].buckets[subject]; b != nil {
			return b.bytes()
		}
	}
	return 0
}

var DecodeWindows = func(in []byte) error { _, err := decodeWindows(in); return err }

// bytes follows the size classes of the allocator: 80 for the bucket, what
// append rounds to for the rest.
func (b *bucket) bytes() int {
	return int(unsafe.Sizeof(*b)) + cap(b.rings)*int(unsafe.Sizeof(ring{})) + cap(b.cells)
}

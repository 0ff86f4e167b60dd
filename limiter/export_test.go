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
		n += len(s.buckets())
		s.mu.Unlock()
	}
	return n
}

// Size returns the bytes of one subject's state.
func (w *Window) Size(subject string) int {
	h := w.hash(subject)
	if b := w.shardOf(h).find(h, subject); b != nil {
		return b.bytes()
	}
	return 0
}

var DecodeWindows = func(in []byte) error { _, err := decodeWindows(in); return err }

// bytes follows the size classes of the allocator, to which append rounds.
func (b *bucket) bytes() int {
	n := int(unsafe.Sizeof(*b)) + cap(append([]byte(nil), b.cells...))
	if b.more != nil {
		n += int(unsafe.Sizeof(*b.more)) + cap(b.more.counts)*int(unsafe.Sizeof(count{})) + len(b.more.name)
	}
	return n
}

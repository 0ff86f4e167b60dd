package admin

import "sync"

// maxActors bounds of how many actors an outcome is kept.
const maxActors = 10_000

// outcomes keeps, for each actor, what their last change of a key came to,
// until the page to which the change leads has shown it. Losing one loses a
// sentence.
type outcomes struct {
	mu   sync.Mutex
	last map[string]outcome // by actor
}

type outcome struct{ keyID, text string }

func newOutcomes() *outcomes { return &outcomes{last: make(map[string]outcome)} }

func (o *outcomes) put(actor, keyID, text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, known := o.last[actor]; !known && len(o.last) >= maxActors {
		for other := range o.last { // any: whoever it is misses a sentence
			delete(o.last, other)
			break
		}
	}
	o.last[actor] = outcome{keyID, text}
}

// take returns what the actor's last change came to, once, if it was of this
// key.
func (o *outcomes) take(actor, keyID string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	last := o.last[actor]
	if last.keyID != keyID {
		return ""
	}
	delete(o.last, actor)
	return last.text
}

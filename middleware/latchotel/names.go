package latchotel

import (
	"strings"
	"sync"
)

// other stands for every name beyond the bound.
const other = "_OTHER"

// names bounds how many different values a label has.
type names struct {
	most int

	mu    sync.RWMutex
	known map[string]string
}

// bounded returns the name if it is known, or may become known and there is room.
func (n *names) bounded(name string, add bool) string {
	n.mu.RLock()
	same, ok := n.known[name]
	n.mu.RUnlock()
	switch {
	case ok:
		return same
	case !add:
		return other
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if same, ok = n.known[name]; ok {
		return same
	}
	if len(n.known) >= n.most {
		return other
	}
	if n.known == nil {
		n.known = make(map[string]string)
	}
	name = strings.Clone(name)
	n.known[name] = name
	return name
}

package admin

import (
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
)

// Bounds of what is remembered of forms. What is forgotten is refused, never
// taken for new.
const (
	maxForms  = 128    // of one actor
	maxActors = 10_000 // in all
)

// forms remembers which forms with a secret behind them were given to whom,
// and what came of each. So a form makes one key, however often the browser
// sends it: a reload, Back, a double click.
type forms struct {
	mu     sync.Mutex
	actors map[string][]form // oldest first
}

type form struct {
	nonce, purpose string
	state          formState
	keyID          string // once spent
}

// formState is what is known of a form that was sent.
type formState uint8

const (
	formUnknown formState = iota // never given to this actor for this purpose, or forgotten
	formFresh                    // sent for the first time
	formBusy                     // being worked on by another request
	formSpent                    // done: it has made its key
)

func newForms() *forms { return &forms{actors: make(map[string][]form)} }

// formsOf names an actor to forms.
func formsOf(a *Actor) string { return fmt.Sprintf("%d\x00%s\x00%s", a.Role, a.Owner, a.ID) }

// issue returns the nonce of a new form.
func (f *forms) issue(actor, purpose string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	given, known := f.actors[actor]
	if !known && len(f.actors) >= maxActors {
		for other := range f.actors { // any: whoever it is sends their form twice
			delete(f.actors, other)
			break
		}
	}
	if len(given) >= maxForms {
		given = slices.Delete(given, 0, 1)
	}
	nonce := rand.Text()
	f.actors[actor] = append(given, form{nonce: nonce, purpose: purpose, state: formFresh})
	return nonce
}

// begin takes a form that was sent. The caller of a fresh one ends it with
// spend or abandon; nobody else gets it meanwhile.
func (f *forms) begin(actor, nonce, purpose string) (formState, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.find(actor, nonce)
	if at == nil || at.purpose != purpose {
		return formUnknown, ""
	}
	state := at.state
	if state == formFresh {
		at.state = formBusy
	}
	return state, at.keyID
}

// spend records what a form has made.
func (f *forms) spend(actor, nonce, keyID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at := f.find(actor, nonce); at != nil {
		at.state, at.keyID = formSpent, keyID
	}
}

// abandon forgets a form that made nothing: the answer brings a new one.
func (f *forms) abandon(actor, nonce string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if given, known := f.actors[actor]; known {
		f.actors[actor] = slices.DeleteFunc(given, func(x form) bool { return x.nonce == nonce })
	}
}

func (f *forms) find(actor, nonce string) *form {
	given := f.actors[actor]
	for i := range given {
		if given[i].nonce == nonce {
			return &given[i]
		}
	}
	return nil
}

// Package tree has no code: its tests hold the tree as a whole to its rules.
// Who may import what, what documents promise of themselves, and the table of
// defences, each of which is taken out to see that a test notices.
package tree

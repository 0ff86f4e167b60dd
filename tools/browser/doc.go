// Package browser drives the settings page in Chromium: the tests of this
// module walk through the life of a key, with scripts on and off, and look for
// what a browser alone can see. It is a module of its own because of chromedp.
//
// The command below it writes the screenshots that the README shows.
package browser

// Package rapidtest holds the tests of package resume that play random histories: a client and a
// node on a wire that loses, delays and breaks, and strangers with old tokens.
package rapidtest

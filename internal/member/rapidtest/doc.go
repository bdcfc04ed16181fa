// Package rapidtest holds the tests of package member that play random histories: nodes that start,
// die, sleep and restart, calls that are lost, and masters that come and go.
package rapidtest

// Package nanotest holds what the tests of a node need: a listener in memory, a client that speaks
// the raw protocol and can break every rule of it, certificates, a log to look into, and a check
// for leaks.
//
// Everything here works inside testing/synctest bubbles, where deadlines cost no time, and outside
// of them, but for Leaks and Until, which wait on the real clock.
package nanotest

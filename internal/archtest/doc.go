// Package archtest holds no code, only tests of the project as a whole: which package may import
// which, that nodes share no mutable variables, that v0.5's names are all there, what a consumer's
// go.mod grows by, and that no file names the machine it was written on.
package archtest

// Package apitest holds no code, only a test that compiles against everything that programs
// written for nano v0.5 use.
package apitest

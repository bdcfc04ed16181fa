//go:build linux

// Command chaos runs a cluster of real processes under load, and kills, stops and cuts them: see
// package chaos.
//
//	go run ./test/chaos -for 1m
//	go run ./test/chaos -play gates
//	go run ./test/chaos -for 10m -seed 7
//	go run ./test/chaos -for 1m -only stop,isolate
package main

import "github.com/lonng/nano/test/internal/chaos"

func main() { chaos.Main(nil) }

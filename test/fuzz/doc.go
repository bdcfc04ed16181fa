// Package fuzz holds fuzz targets for whole nodes, each against a model of what a conformant node
// does: the connection of a client, and what other nodes send. Seeds are kept in testdata/fuzz;
// `make fuzz` runs the targets for longer.
package fuzz

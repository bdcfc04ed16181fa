// A module of its own, so that programs that use nano do not get rapid into their list of modules.
module github.com/lonng/nano/internal/resume/rapidtest

go 1.25.0

require (
	github.com/lonng/nano v0.0.0
	pgregory.net/rapid v1.3.0
)

replace github.com/lonng/nano => ../../..

package server

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
)

// obey answers the lines of the standard input until it ends, and then ends the process: "stats" is
// answered with the number of objects that were allocated so far.
func obey() {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Println("stats", m.Mallocs)
	}
	os.Exit(0) // what is connected ends with it
}

// Obey does what the process that started this one asks for, and ends this one with it.
func Obey() { go obey() }

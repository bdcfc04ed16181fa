//go:build linux

package process_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/internal/nanotest"
	"github.com/lonng/nano/test/internal/apptest"
)

const rlimitChild = "NANO_TEST_RLIMIT_CHILD"

// For real: a process with 40 descriptors and 100 clients that want in.
func TestProcessRecoversFromFullDescriptorTable(t *testing.T) {
	if os.Getenv(rlimitChild) != "" {
		rlimitNode(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestProcessRecoversFromFullDescriptorTable$", "-test.v")
	cmd.Env = append(os.Environ(), rlimitChild+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(nanotest.Patience, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	lines := bufio.NewScanner(out)
	told := func(key string) string {
		t.Helper()
		for lines.Scan() {
			if v, ok := strings.CutPrefix(lines.Text(), key+"="); ok {
				return v
			}
		}
		t.Fatalf("the process ended before it told %s", key)
		return ""
	}
	addr, err := net.ResolveTCPAddr("tcp", told("ADDR"))
	if err != nil {
		t.Fatal(err)
	}
	first := nanotest.Dial(t, addr)
	first.Ready()
	apptest.Pong(t, first)
	crowd := make([]net.Conn, 100)
	for i := range crowd {
		if crowd[i], err = net.Dial("tcp", addr.String()); err != nil {
			t.Fatal(err)
		}
	}
	told("EXHAUSTED")
	apptest.Pong(t, first) // who is in, stays in
	for _, nc := range crowd {
		_ = nc.Close()
	}
	last := nanotest.Dial(t, addr)
	last.Ready()
	apptest.Pong(t, last)
	apptest.Pong(t, first)
	_ = in.Close()
	if n, err := strconv.Atoi(told("LINES")); err != nil || n < 1 || n > 5 {
		t.Errorf("%d lines in the log, %v", n, err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the node's process: %v", err)
	}
}

// rlimitNode is the other process. It ends when its input does.
func rlimitNode(t *testing.T) {
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 40, Max: 40}); err != nil {
		t.Fatal(err)
	}
	n := apptest.Start(t, apptest.Handlers(nil), nano.WithEndpoint(nano.Endpoint{Addr: "127.0.0.1:0"}), nano.WithHeartbeatInterval(time.Minute))
	fmt.Printf("\nADDR=%s\n", n.Addrs()[2])
	nanotest.Until(t, "out of descriptors", func() bool { return n.Log.Has("cannot accept", "too many open files") })
	fmt.Printf("\nEXHAUSTED=1\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
	fmt.Printf("\nLINES=%d\n", len(n.Log.Lines("cannot accept")))
}

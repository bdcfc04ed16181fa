// Package child starts the running program once more, in another role, and reads what the system
// knows of that process. The programs under benchmark and test use it: nodes and clients are
// processes of their own. Linux only, as it reads /proc.
package child

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Process is a child. It ends when its input is closed.
type Process struct {
	Name  string
	Stdin io.WriteCloser
	cmd   *exec.Cmd
	lines *bufio.Reader
}

// Start starts this program with the flag -role and others. name is for errors.
func Start(name, role string, args ...string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return StartProgram(name, self, append([]string{"-role", role}, args...)...)
}

// StartProgram starts another program, which ends when its input is closed.
func StartProgram(name, program string, args ...string) (*Process, error) {
	p := &Process{Name: name, cmd: exec.Command(program, args...)} //nolint:gosec,noctx // what the caller has built; it ends with its input
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.Stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	p.lines = bufio.NewReader(out)
	return p, p.cmd.Start()
}

// Line reads the next line of the child, without its end.
func (p *Process) Line() (string, error) {
	line, err := p.lines.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

// Words reads a line of the child that begins with the word, and returns the others.
func (p *Process) Words(first string) ([]string, error) {
	line, err := p.lines.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("%s ended while %q was expected: %w", p.Name, first, err)
	}
	w := strings.Fields(line)
	if len(w) == 0 || w[0] != first {
		return nil, fmt.Errorf("%s says %q, and %q was expected", p.Name, line, first)
	}
	return w[1:], nil
}

// Count reads a line of the child that is a word and a number.
func (p *Process) Count() (word string, n int, err error) {
	line, err := p.lines.ReadString('\n')
	if err != nil {
		return "", 0, fmt.Errorf("%s ended: %w", p.Name, err)
	}
	if _, err := fmt.Sscan(line, &word, &n); err != nil {
		return "", 0, fmt.Errorf("%s says %q, and a word and a number were expected", p.Name, line)
	}
	return word, n, nil
}

// Stop closes the child's input and waits for its end.
func (p *Process) Stop() {
	_ = p.Stdin.Close()
	_ = p.cmd.Wait()
}

// Signal sends the process a signal: syscall.SIGSTOP, syscall.SIGKILL and the like.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Wait waits for the end of a process that was killed.
func (p *Process) Wait() { _ = p.cmd.Wait() }

// CPU returns the time that the process has had on processors, as the scheduler of the system has
// counted it: the figures of accounting by ticks are too coarse.
func (p *Process) CPU() time.Duration {
	var total int64
	dir := fmt.Sprintf("/proc/%d/task", p.cmd.Process.Pid)
	tasks, _ := os.ReadDir(dir)
	for _, t := range tasks {
		b, _ := os.ReadFile(dir + "/" + t.Name() + "/schedstat") //nolint:gosec // a path of the system's
		if f := strings.Fields(string(b)); len(f) > 0 {
			n, _ := strconv.ParseInt(f[0], 10, 64)
			total += n
		}
	}
	return time.Duration(total)
}

// Memory returns the process' resident memory in KiB.
func (p *Process) Memory() float64 {
	return p.kib("status", "VmRSS:")
}

// Proportional returns the process' memory in KiB with each page that it shares with others, as
// that of its text, divided by their number.
func (p *Process) Proportional() float64 { return p.kib("smaps_rollup", "Pss:") }

// kib returns a figure of a file that the system has about the process.
func (p *Process) kib(file, field string) float64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file))
	_, rest, _ := strings.Cut(string(b), field)
	f := strings.Fields(rest)
	if len(f) == 0 {
		return 0
	}
	kib, _ := strconv.ParseFloat(f[0], 64)
	return kib
}

// CPU is the sum over several.
func CPU(all []*Process) (total time.Duration) {
	for _, p := range all {
		total += p.CPU()
	}
	return total
}

// Memory is the sum over several, in KiB.
func Memory(all []*Process) (total float64) {
	for _, p := range all {
		total += p.Memory()
	}
	return total
}

package connect

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/term"
)

// prompt is what stands before what is typed.
const prompt = "nano> "

// maxHistory is how many lines of history are kept.
const maxHistory = 1000

// Interactive runs a prompt on the terminal in (which is put into raw mode and back) until quit,
// Ctrl-D, Ctrl-C, or the end of the connection, which is the error.
func (s *Session) Interactive(ctx context.Context, in *os.File, out io.Writer) error {
	fd := int(in.Fd())
	old, err := term.MakeRaw(fd)
	if err != nil {
		return fmt.Errorf("prompt: %w", err)
	}
	defer func() { _ = term.Restore(fd, old) }()
	width, height, err := term.GetSize(fd)
	if err != nil || width <= 0 || height <= 0 { // a terminal may not know its size
		width, height = 80, 24
	}
	return s.prompt(ctx, struct {
		io.Reader
		io.Writer
	}{in, out}, width, height)
}

// prompt runs the commands typed at rw, a terminal in raw mode.
func (s *Session) prompt(ctx context.Context, rw io.ReadWriter, width, height int) error {
	t := term.NewTerminal(rw, prompt)
	_ = t.SetSize(width, height) // it only fails to redraw
	h, err := openHistory(s.cfg.History)
	if err != nil {
		return err
	}
	t.History = h
	t.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' {
			return "", 0, false
		}
		line, pos, choice := s.complete(line, pos)
		if len(choice) > 1 {
			s.printf("%s\n", strings.Join(choice, "  "))
		}
		return line, pos, true
	}
	s.mu.Lock()
	before := s.out
	s.out = t
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.out = before
		s.mu.Unlock()
	}()

	ended := make(chan error, 1)
	go func() { ended <- s.typed(ctx, t) }()
	select {
	case err := <-ended:
		return err
	case <-s.c.Done():
		return s.c.Err()
	case <-ctx.Done():
		return nil
	}
}

// typed runs what is typed until that ends. What becomes of the connection is not its matter.
func (s *Session) typed(ctx context.Context, t *term.Terminal) error {
	for {
		line, err := t.ReadLine()
		if err != nil && !errors.Is(err, term.ErrPasteIndicator) {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("prompt: %w", err)
		}
		if err := s.Do(ctx, line); errors.Is(err, errQuit) {
			return nil
		} else if err != nil {
			s.printf("error: %v\n", err)
		}
	}
}

// complete completes the word before pos: a command, or a route seen. choice is what it could be,
// if not one.
func (s *Session) complete(line string, pos int) (_ string, _ int, choice []string) {
	head, tail := line[:pos], line[pos:]
	begin := strings.LastIndexByte(head, ' ') + 1
	word := head[begin:]
	var all []string
	if first := strings.Fields(head[:begin]); len(first) == 0 {
		for _, c := range commands() {
			all = append(all, c.names[0])
		}
	} else {
		for _, c := range commands() {
			if slices.Contains(c.names, first[0]) && c.routes && (len(first) == 1 || c.names[0] == "on" || c.names[0] == "off") {
				all = s.known()
			}
		}
	}
	var fit []string
	for _, w := range all {
		if strings.HasPrefix(w, word) {
			fit = append(fit, w)
		}
	}
	switch len(fit) {
	case 0:
		return line, pos, nil
	case 1:
		head = head[:begin] + fit[0] + " "
		return head + strings.TrimPrefix(tail, " "), len(head), nil
	}
	common := fit[0]
	for _, w := range fit[1:] {
		for !strings.HasPrefix(w, common) {
			common = common[:len(common)-1]
		}
	}
	if common != word {
		fit = nil
	}
	head = head[:begin] + common
	return head + tail, len(head), fit
}

// history is what was typed, in a file.
type history struct {
	file  string
	lines []string // the newest last
}

func openHistory(file string) (*history, error) {
	h := &history{file: file}
	if file == "" {
		return h, nil
	}
	f, err := os.Open(file) //nolint:gosec // the user names the file
	if errors.Is(err, os.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	defer f.Close()
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		h.keep(scanner.Text())
	}
	return h, nil
}

func (h *history) keep(line string) bool {
	if strings.TrimSpace(line) == "" || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line {
		return false
	}
	h.lines = append(h.lines, line)
	if len(h.lines) > maxHistory {
		h.lines = h.lines[len(h.lines)-maxHistory:]
	}
	return true
}

// Add keeps a line, and writes it to the file as well as that can be done.
func (h *history) Add(line string) {
	if !h.keep(line) || h.file == "" {
		return
	}
	if os.MkdirAll(filepath.Dir(h.file), 0o700) != nil {
		return
	}
	f, err := os.OpenFile(h.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = f.WriteString(line + "\n")
}

// Len returns how many lines there are.
func (h *history) Len() int { return len(h.lines) }

// At returns a line, 0 being the newest.
func (h *history) At(i int) string { return h.lines[len(h.lines)-1-i] }

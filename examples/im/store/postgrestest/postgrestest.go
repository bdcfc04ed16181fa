// Package postgrestest starts a PostgreSQL of its own for tests and trials: in a folder that is
// removed afterwards, on a Unix socket and a free port of 127.0.0.1, as another user where this one
// is root.
package postgrestest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/lonng/nano/internal/nanotest"
)

// ErrMissing is the error where no PostgreSQL is installed.
var ErrMissing = errors.New("postgrestest: PostgreSQL is not here (Debian: apt-get install postgresql)")

// Server is a running PostgreSQL.
type Server struct {
	// URL is that of the database "postgres".
	URL string

	bin, folder, port string
	release           func() // the port
	cmd               *exec.Cmd
	out               *bytes.Buffer
	made              int
}

// binaries returns the folder of the newest PostgreSQL's programs.
func binaries() (string, error) {
	if initdb, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(initdb), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		return "", ErrMissing
	}
	slices.SortFunc(found, func(a, b string) int {
		version := func(s string) int {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(s)))
			return n
		}
		return version(a) - version(b)
	})
	return found[len(found)-1], nil
}

// Start starts a server. settings are those of postgresql.conf, such as "fsync=off".
func Start(ctx context.Context, settings ...string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "im-postgres")
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, folder: folder}
	if err := s.begin(ctx, settings); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) begin(ctx context.Context, settings []string) error {
	if err := s.own(); err != nil {
		return err
	}
	data := filepath.Join(s.folder, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync") //nolint:gosec // a program of the system
	if out, err := s.as(initdb).CombinedOutput(); err != nil {
		return fmt.Errorf("postgrestest: initdb: %w: %s", err, out)
	}
	addr, release, err := nanotest.ReserveAddr()
	if err != nil {
		return err
	}
	s.release = release
	if _, s.port, err = net.SplitHostPort(addr); err != nil {
		return err
	}
	conf := "listen_addresses = '127.0.0.1'\nunix_socket_directories = '" + s.folder + "'\nport = " + s.port + "\nmax_connections = 100\n"
	conf += strings.Join(append(slices.Clone(settings), ""), "\n")
	f, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0) //nolint:gosec // the folder that it has made
	if err != nil {
		return err
	}
	_, err = f.WriteString(conf)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	s.URL = "postgres://postgres@127.0.0.1:" + s.port + "/postgres?sslmode=disable"
	return s.Restart(ctx)
}

// Restart starts the server on its data, after Kill, and waits until it answers.
func (s *Server) Restart(ctx context.Context) error {
	s.out = &bytes.Buffer{}
	s.cmd = s.as(exec.Command(filepath.Join(s.bin, "postgres"), "-D", filepath.Join(s.folder, "data"))) //nolint:gosec,noctx // a program of the system, which Stop ends
	s.cmd.Stderr = s.out
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return err
	}
	db, err := sql.Open("pgx", s.URL)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err = db.PingContext(ctx); err == nil {
			return nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("postgrestest: it does not answer: %w: %s", err, s.out)
		}
	}
}

// Database makes an empty database, and returns its URL.
func (s *Server) Database(ctx context.Context) (string, error) {
	db, err := sql.Open("pgx", s.URL)
	if err != nil {
		return "", err
	}
	defer func() { _ = db.Close() }()
	s.made++
	name := fmt.Sprintf("im%d", s.made)
	// One that orders words as a language does, as those of operators do, where this PostgreSQL can.
	_, err = db.ExecContext(ctx, "CREATE DATABASE "+name+" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'")
	if err != nil {
		_, err = db.ExecContext(ctx, "CREATE DATABASE "+name)
	}
	if err != nil {
		return "", err
	}
	return "postgres://postgres@127.0.0.1:" + s.port + "/" + name + "?sslmode=disable", nil
}

// Kill kills the server and its processes at once, as a crash would.
func (s *Server) Kill() {
	if s.cmd != nil {
		killAll(s.cmd)
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// Stop ends the server, and removes its data.
func (s *Server) Stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(os.Interrupt) // a fast shutdown
		done := make(chan struct{})
		go func() {
			_ = s.cmd.Wait()
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			killAll(s.cmd)
			<-done
		}
	}
	if s.release != nil {
		s.release()
	}
	_ = os.RemoveAll(s.folder)
}

//go:build unix

package postgrestest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// other returns the user as whom the server runs if this process is root, which PostgreSQL refuses.
func other() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, fmt.Errorf("postgrestest: there is no user as whom PostgreSQL could run: %w", ErrMissing)
}

// own gives the folder to the server's user.
func (s *Server) own() error {
	c, err := other()
	if err != nil || c == nil {
		return err
	}
	return os.Chown(s.folder, int(c.Uid), int(c.Gid))
}

// as makes a command one of the server's user, in a process group of its own.
func (s *Server) as(cmd *exec.Cmd) *exec.Cmd {
	c, _ := other() // own has asked before
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c, Setpgid: true}
	cmd.Dir = s.folder
	return cmd
}

// killAll kills a process group.
func killAll(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

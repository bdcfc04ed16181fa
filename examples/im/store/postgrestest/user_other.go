//go:build !unix

package postgrestest

import "os/exec"

func (s *Server) own() error                 { return nil }
func (s *Server) as(cmd *exec.Cmd) *exec.Cmd { return cmd }
func killAll(cmd *exec.Cmd)                  { _ = cmd.Process.Kill() }

package tree

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// service is a program that the tree keeps running.
type service struct {
	name string
	args []string
	log  string
	// gate, if set, is waited for before the first start.
	gate func(context.Context) error
}

// supervisor is process 1's work: it starts services, starts those again that
// end, and reaps every process that is left to it. Only its own loop touches its fields.
type supervisor struct {
	running map[int]service
	delay   map[string]time.Duration
	start   chan service
}

const (
	firstDelay = 500 * time.Millisecond
	lastDelay  = 10 * time.Second
)

// supervise runs the services until the context ends.
func supervise(ctx context.Context, services []service) error {
	s := supervisor{running: map[int]service{}, delay: map[string]time.Duration{}, start: make(chan service, len(services))}
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	for _, one := range services {
		go s.admit(ctx, one)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case one := <-s.start:
			if err := s.launch(one); err != nil {
				return err
			}
		case <-children:
			s.reap()
		}
	}
}

// admit hands a service to the loop once its gate is open.
func (s *supervisor) admit(ctx context.Context, one service) {
	if one.gate != nil {
		if err := one.gate(ctx); err != nil {
			log.Printf("%s waits in vain: %v", one.name, err)
			return
		}
	}
	s.start <- one
}

func (s *supervisor) launch(one service) error {
	if err := os.MkdirAll(filepath.Dir(one.log), 0o755); err != nil {
		return fmt.Errorf("making the log directory: %w", err)
	}
	output, err := os.OpenFile(one.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("opening the log of %s: %w", one.name, err)
	}
	defer func() { _ = output.Close() }()
	input, err := os.Open(os.DevNull)
	if err != nil {
		return fmt.Errorf("opening %s: %w", os.DevNull, err)
	}
	defer func() { _ = input.Close() }()
	process, err := os.StartProcess(one.args[0], one.args, &os.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []*os.File{input, output, output},
	})
	if err != nil {
		return fmt.Errorf("starting %s: %w", one.name, err)
	}
	s.running[process.Pid] = one
	return process.Release() // reaped below, with everything else
}

// reap takes every process that ended. A service among them is started again, later each time.
func (s *supervisor) reap() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if pid <= 0 || err != nil {
			return
		}
		one, ours := s.running[pid]
		if !ours {
			continue
		}
		delete(s.running, pid)
		wait := min(max(2*s.delay[one.name], firstDelay), lastDelay)
		s.delay[one.name] = wait
		log.Printf("%s ended (%s), starts again in %s; see %s", one.name, describe(status), wait, filepath.Base(one.log))
		time.AfterFunc(wait, func() { s.start <- one })
	}
}

func describe(status unix.WaitStatus) string {
	if status.Signaled() {
		return "signal " + status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

// raiseFileLimit lets the services open as many files as this machine allows.
func raiseFileLimit() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limit.Cur, Max: limit.Max}); err != nil {
		return fmt.Errorf("raising the limit of open files: %w", err)
	}
	return nil
}

// Package proc names processes in a way that outlives their number: by pid,
// start time and boot. A number alone may name another process after a crash or
// a reboot, so nothing is ever signalled by its number alone.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process identifies a process for as long as this machine's history is remembered.
// StartTime is in clock ticks since boot (field 22 of /proc/PID/stat).
type Process struct {
	PID       int    `json:"pid"`
	StartTime uint64 `json:"startTime"`
	BootID    string `json:"bootId"`
}

// Of gives the identity of the process that has this number now.
func Of(pid int) (Process, error) {
	stat, err := readStat(pid)
	if err != nil {
		return Process{}, err
	}
	boot, err := bootID()
	if err != nil {
		return Process{}, err
	}
	return Process{PID: pid, StartTime: stat.start, BootID: boot}, nil
}

// Alive says whether the process still runs. A zombie does not.
func (p Process) Alive() bool {
	if p.PID <= 0 {
		return false
	}
	boot, err := bootID()
	if err != nil || boot != p.BootID {
		return false
	}
	stat, err := readStat(p.PID)
	return err == nil && stat.start == p.StartTime && stat.state != 'Z' && stat.state != 'X'
}

// Kill sends SIGKILL to the process, if it still is that process.
func (p Process) Kill() error {
	if !p.Alive() {
		return nil
	}
	// The handle is a pidfd: it names one process even if the number is used again after the check below.
	handle, err := os.FindProcess(p.PID)
	if err != nil {
		return fmt.Errorf("finding process %d: %w", p.PID, err)
	}
	defer func() { _ = handle.Release() }()
	if !p.Alive() {
		return nil
	}
	if err := handle.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing process %d: %w", p.PID, err)
	}
	return nil
}

// KillAll kills the processes and waits until none of them runs.
func KillAll(processes []Process, timeout time.Duration) error {
	for _, p := range processes {
		if err := p.Kill(); err != nil {
			return err
		}
	}
	deadline := time.Now().Add(timeout)
	for _, p := range processes {
		for p.Alive() {
			if time.Now().After(deadline) {
				return fmt.Errorf("process %d still runs %s after it was killed", p.PID, timeout)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return nil
}

// WithArguments finds the running processes whose command line has the given
// first argument and, anywhere behind it, the given pair of arguments.
func WithArguments(first, flag, value string) ([]Process, error) {
	return find(func(pid int) bool {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return err == nil && matches(line, first, flag, value)
	})
}

func matches(line []byte, first, flag, value string) bool {
	fields := bytes.Split(bytes.TrimSuffix(line, []byte{0}), []byte{0})
	if len(fields) < 2 || string(fields[1]) != first {
		return false
	}
	for i := 2; i+1 < len(fields); i++ {
		if string(fields[i]) == flag && string(fields[i+1]) == value {
			return true
		}
	}
	return false
}

// WithEnvironment finds the running processes that were started with an
// environment variable whose value the test accepts.
func WithEnvironment(name string, accept func(value string) bool) ([]Process, error) {
	return find(func(pid int) bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			return false
		}
		for _, entry := range bytes.Split(text, []byte{0}) {
			if key, value, ok := strings.Cut(string(entry), "="); ok && key == name && accept(value) {
				return true
			}
		}
		return false
	})
}

// find lists the processes that a test picks. One that ends meanwhile is left out.
func find(pick func(pid int) bool) ([]Process, error) {
	directories, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var found []Process
	for _, directory := range directories {
		pid, err := strconv.Atoi(filepath.Base(directory))
		if err != nil || pid == os.Getpid() || !pick(pid) {
			continue
		}
		if p, err := Of(pid); err == nil && p.Alive() {
			found = append(found, p)
		}
	}
	return found, nil
}

type stat struct {
	state byte
	start uint64
}

func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, fmt.Errorf("reading the state of process %d: %w", pid, err)
	}
	return parseStat(string(text))
}

// parseStat reads fields 3 and 22 of proc(5)'s stat line; field 2 is a name that may hold spaces and brackets.
func parseStat(text string) (stat, error) {
	end := strings.LastIndexByte(text, ')')
	if end < 0 {
		return stat{}, fmt.Errorf("a process state without a name: %q", text)
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) < 20 {
		return stat{}, fmt.Errorf("a process state of %d fields", len(fields))
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("a start time that is no number: %w", err)
	}
	return stat{state: fields[0][0], start: start}, nil
}

func bootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("reading the boot id: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

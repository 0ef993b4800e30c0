package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"plenum.dev/cluster/internal/host"
	"plenum.dev/cluster/internal/proc"
	"plenum.dev/cluster/internal/state"
	"plenum.dev/cluster/internal/tree"
)

const controlPlaneName = "control-plane"

// Namespaces of a tree of programs, and of a client, which shares all but the network with the machine.
const (
	ownMachine = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC
	ownNetwork = syscall.CLONE_NEWNET
)

// spawn starts a process tree, lays its wire, and records it. Without a wire
// (nil) it stays in this network. The record is written before the tree is told to go on.
func (c *Cluster) spawn(ctx context.Context, record state.Tree, namespaces uintptr, wire *host.Wire) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	output, err := c.openLog(record)
	if err != nil {
		return err
	}
	defer func() { _ = output.Close() }()
	goOn, say, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	defer func() { _ = say.Close() }()
	command := exec.Command(self, tree.Command, string(record.Kind), record.Name, tree.StateFlag, string(c.directory))
	command.Dir, command.Env = "/", []string{"PATH=" + os.Getenv("PATH"), "HOME=/"}
	command.Stdout, command.Stderr = output, output
	command.ExtraFiles = []*os.File{goOn}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: namespaces}
	err = command.Start()
	_ = goOn.Close()
	if err != nil {
		return fmt.Errorf("starting %s %s: %w", record.Kind, record.Name, err)
	}
	go func() { _ = command.Wait() }() // its record tells how it fares; this only reaps it
	err = c.settle(ctx, record, command.Process.Pid, wire)
	if err == nil {
		_, err = say.WriteString("go")
	}
	if err != nil {
		return errors.Join(fmt.Errorf("starting %s %s: %w", record.Kind, record.Name, err), command.Process.Kill())
	}
	return nil
}

// settle records the new process, moves it out of this session and connects it.
func (c *Cluster) settle(ctx context.Context, record state.Tree, pid int, wire *host.Wire) error {
	process, err := proc.Of(pid)
	if err != nil {
		return err
	}
	record.Process = process
	if err := c.directory.SaveTree(record); err != nil {
		return err
	}
	cgroups, err := host.MountedCgroups()
	if err != nil {
		return err
	}
	if err := cgroups.Adopt(c.plan.Cgroup()+"/processes/"+string(record.Kind)+"-"+record.Name, pid); err != nil {
		return err
	}
	if wire == nil {
		return nil
	}
	return wire.Connect(ctx, pid)
}

func (c *Cluster) logPath(record state.Tree) string {
	return c.directory.Path("logs", "tree-"+string(record.Kind)+"-"+record.Name+".log")
}

func (c *Cluster) openLog(record state.Tree) (*os.File, error) {
	if err := os.MkdirAll(c.directory.Path("logs"), 0o755); err != nil {
		return nil, fmt.Errorf("making the log directory: %w", err)
	}
	if err := os.Remove(tree.ReadyFile(c.directory, record.Kind, record.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("clearing an old mark: %w", err)
	}
	output, err := os.OpenFile(c.logPath(record), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	return output, nil
}

// treeAlive is an error once the tree has died; it quotes the tree's last words.
func (c *Cluster) treeAlive(kind state.Kind, name string) error {
	record, err := c.directory.Tree(kind, name)
	if err != nil {
		return fmt.Errorf("reading the record of %s %s: %w", kind, name, err)
	}
	if record.Process.Alive() {
		return nil
	}
	words, err := os.ReadFile(c.logPath(record))
	if err != nil {
		return fmt.Errorf("%s %s died without a word", kind, name)
	}
	lines := strings.Split(strings.TrimSpace(string(words)), "\n")
	return fmt.Errorf("%s %s died: %s", kind, name, lines[len(lines)-1])
}

// awaitReadyFile waits until a tree says that its network is as it should be.
func (c *Cluster) awaitReadyFile(ctx context.Context, kind state.Kind, name string) error {
	return wait(ctx, fmt.Sprintf("%s %s", kind, name), 10*time.Second,
		func() error { return c.treeAlive(kind, name) },
		func() error {
			_, err := os.Stat(tree.ReadyFile(c.directory, kind, name))
			return err
		})
}

// background makes sure that a forwarder or the registry runs as it is wanted, until the cluster is down. One that runs otherwise is replaced.
func (c *Cluster) background(ctx context.Context, wanted state.Tree) error {
	record, err := c.directory.Tree(wanted.Kind, wanted.Name)
	if err == nil {
		running := record.Process
		record.Process = proc.Process{}
		if record == wanted && running.Alive() {
			return nil
		}
		if err := proc.KillAll([]proc.Process{running}, clearTimeout); err != nil {
			return err
		}
	}
	if err := c.directory.SaveTree(wanted); err != nil {
		return err
	}
	err = c.spawn(ctx, wanted, 0, nil)
	if err == nil {
		err = c.awaitReadyFile(ctx, wanted.Kind, wanted.Name)
	}
	if err != nil {
		return errors.Join(err, c.directory.RemoveTree(wanted.Kind, wanted.Name))
	}
	return nil
}

// Package tree is what runs inside of a process tree: the control plane, a
// node, a client, a forwarder or the registry. The first process of a tree is process 1 of
// namespaces of its own; when it dies the kernel ends everything below it, and
// that is how a tree is removed. Nothing here outlives its tree.
package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"plenum.dev/cluster/internal/host"
	"plenum.dev/cluster/internal/plan"
	"plenum.dev/cluster/internal/state"
)

// Command is the hidden sub-command under which a tree's first process runs,
// and StateFlag the flag by which leftovers of a cluster are recognised.
const (
	Command   = "tree"
	StateFlag = "--state"
)

// goSignal is the descriptor on which the parent says that the link is laid.
const goSignal = 3

// parentTimeout bounds how long a tree waits for its link.
const parentTimeout = 20 * time.Second

// Run runs the tree of a kind and name. It returns only when the tree failed.
func Run(ctx context.Context, directory state.Directory, kind state.Kind, name string) error {
	// Read before the mounts of this tree hide where it lies.
	cluster, err := directory.Load()
	if err != nil {
		return fmt.Errorf("reading the cluster's state: %w", err)
	}
	switch kind {
	case state.ControlPlane:
		return runControlPlane(ctx, directory, cluster.Plan)
	case state.Node:
		return runNode(ctx, directory, cluster.Plan, name)
	case state.Client:
		return runClient(ctx, directory, cluster.Plan, name)
	case state.Forward:
		return runForward(ctx, directory, name)
	case state.Registry:
		return runRegistry(ctx, directory, cluster.Plan, name)
	}
	return fmt.Errorf("there is no tree of the kind %q", kind)
}

// awaitLink waits until the parent has laid the link. A parent that died
// before, closes the descriptor without a word, and then the tree ends too.
func awaitLink() error {
	pipe := os.NewFile(goSignal, "go")
	if pipe == nil {
		return errors.New("this sub-command is started by `up`, not by hand")
	}
	timer := time.AfterFunc(parentTimeout, func() { _ = pipe.Close() })
	defer timer.Stop()
	word, err := io.ReadAll(pipe)
	_ = pipe.Close()
	if err != nil || string(word) != "go" {
		return errors.New("the program that started this tree ended before it had laid its link")
	}
	return nil
}

// runClient holds a client's network namespace open.
func runClient(ctx context.Context, directory state.Directory, p plan.Plan, name string) error {
	record, err := directory.Tree(state.Client, name)
	if err != nil {
		return fmt.Errorf("reading the client's record: %w", err)
	}
	if err := awaitLink(); err != nil {
		return err
	}
	wire := host.Wire{Link: p.ClientLink(record.Slot), Router: p.Router(), Far: p.ClientAddress(record.Slot)}
	if err := wire.TakeAddress(ctx); err != nil {
		return err
	}
	if err := markReady(directory, state.Client, name); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// ReadyFile is the file by which a tree says that its network is as it should be.
func ReadyFile(directory state.Directory, kind state.Kind, name string) string {
	return directory.Path("ready", string(kind)+"_"+name)
}

func markReady(directory state.Directory, kind state.Kind, name string) error {
	return state.WriteFile(ReadyFile(directory, kind, name), []byte("ready\n"), 0o644)
}

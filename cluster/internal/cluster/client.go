package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"plenum.dev/cluster/internal/host"
	"plenum.dev/cluster/internal/plan"
	"plenum.dev/cluster/internal/proc"
	"plenum.dev/cluster/internal/state"
)

// ClientStatus is a client as `client list` shows it. Link is the router's end of its link.
type ClientStatus struct {
	Name    string `json:"name"`
	Region  string `json:"region"`
	Address string `json:"address"`
	PID     int    `json:"pid"`
	Link    string `json:"link"`
	Alive   bool   `json:"alive"`
}

// AddClient makes a client: a network namespace in a region. One that runs there already is left alone.
func (c *Cluster) AddClient(ctx context.Context, name, region string) (ClientStatus, error) {
	if !plan.ValidName(name) {
		return ClientStatus{}, fmt.Errorf("the client's name %q is not usable: lower-case letters, digits and dashes, at most 32", name)
	}
	if !slices.Contains(c.plan.Regions(), region) {
		return ClientStatus{}, fmt.Errorf("there is no region %q; the regions are %s", region, strings.Join(c.plan.Regions(), ", "))
	}
	var added state.Tree
	err := c.change(func() error {
		former, err := c.directory.Tree(state.Client, name)
		if err == nil && former.Process.Alive() {
			if former.Region != region {
				return fmt.Errorf("the client %s is in %s: remove it first", name, former.Region)
			}
			added = former
			return nil
		}
		if err == nil {
			if err := c.endClient(ctx, former); err != nil {
				return err
			}
		}
		added, err = c.startClient(ctx, name, region)
		return err
	})
	if err != nil {
		return ClientStatus{}, fmt.Errorf("adding the client %s: %w", name, err)
	}
	return c.clientStatus(added), nil
}

func (c *Cluster) startClient(ctx context.Context, name, region string) (state.Tree, error) {
	slot, err := c.freeSlot()
	if err != nil {
		return state.Tree{}, err
	}
	record := state.Tree{Kind: state.Client, Name: name, Slot: slot, Region: region}
	if err := c.directory.SaveTree(record); err != nil {
		return state.Tree{}, err
	}
	wire := host.Wire{Link: c.plan.ClientLink(slot), Router: c.plan.Router(), Far: c.plan.ClientAddress(slot)}
	err = c.spawn(ctx, record, ownNetwork, &wire)
	if err == nil {
		err = c.awaitReadyFile(ctx, state.Client, name)
	}
	if err != nil {
		return state.Tree{}, errors.Join(err, c.endClient(ctx, record))
	}
	return c.directory.Tree(state.Client, name)
}

func (c *Cluster) freeSlot() (int, error) {
	clients, err := c.directory.Trees(state.Client)
	if err != nil {
		return 0, err
	}
	taken := map[int]bool{}
	for _, client := range clients {
		taken[client.Slot] = true
	}
	for slot := 1; slot <= plan.MaxClients; slot++ {
		if !taken[slot] {
			return slot, nil
		}
	}
	return 0, fmt.Errorf("the cluster has %d clients already", plan.MaxClients)
}

// RemoveClient ends a client and what runs in it. One that is not there is fine.
func (c *Cluster) RemoveClient(ctx context.Context, name string) error {
	return c.change(func() error {
		record, err := c.directory.Tree(state.Client, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the client's record: %w", err)
		}
		return c.endClient(ctx, record)
	})
}

func (c *Cluster) endClient(ctx context.Context, record state.Tree) error {
	processes, err := proc.WithEnvironment(clientMark, func(value string) bool { return value == c.clientMarkOf(record.Name) })
	if err != nil {
		return err
	}
	if current, err := c.directory.Tree(state.Client, record.Name); err == nil {
		processes = append(processes, current.Process)
	}
	if err := proc.KillAll(processes, clearTimeout); err != nil {
		return err
	}
	if err := host.RemoveChains(ctx, c.plan.ClientChain(record.Slot)); err != nil {
		return err
	}
	if err := host.RemoveLink(ctx, c.plan.ClientLink(record.Slot)); err != nil {
		return err
	}
	return c.directory.RemoveTree(state.Client, record.Name)
}

// Clients lists the clients.
func (c *Cluster) Clients() ([]ClientStatus, error) {
	records, err := c.directory.Trees(state.Client)
	if err != nil {
		return nil, err
	}
	all := []ClientStatus{}
	for _, record := range records {
		all = append(all, c.clientStatus(record))
	}
	return all, nil
}

func (c *Cluster) clientStatus(record state.Tree) ClientStatus {
	return ClientStatus{
		Name:    record.Name,
		Region:  record.Region,
		Address: c.plan.ClientAddress(record.Slot).String(),
		PID:     record.Process.PID,
		Link:    c.plan.ClientLink(record.Slot),
		Alive:   record.Process.Alive(),
	}
}

func (c *Cluster) clientMarkOf(name string) string { return c.directory.Path(name) }

// ExecInClient replaces this program by another one in the client's network. It returns only when it fails.
func (c *Cluster) ExecInClient(name string, command []string) error {
	record, err := c.directory.Tree(state.Client, name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no client %s: add it first", name)
	}
	if err != nil {
		return fmt.Errorf("reading the client's record: %w", err)
	}
	if !record.Process.Alive() {
		return fmt.Errorf("the client %s died: add it again", name)
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return fmt.Errorf("finding %s: %w", command[0], err)
	}
	// The namespace belongs to a thread; exec makes that thread the whole process.
	runtime.LockOSThread()
	namespace, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", record.Process.PID), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening the network of %s: %w", name, err)
	}
	if err := unix.Setns(namespace, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering the network of %s: %w", name, err)
	}
	environment := append(os.Environ(), clientMark+"="+c.clientMarkOf(name))
	if err := unix.Exec(path, command, environment); err != nil {
		return fmt.Errorf("running %s: %w", command[0], err)
	}
	return nil
}

// Package state is what a cluster leaves on disk while it exists: one directory
// per cluster with its identity, its keys, logs, and a record per process tree.
// It decides nothing; a directory that cannot be read is reported, not repaired.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"plenum.dev/cluster/internal/plan"
	"plenum.dev/cluster/internal/proc"
)

// Phase says how far a cluster came.
type Phase string

const (
	// Starting: an `up` is at work, or was killed while it was.
	Starting Phase = "Starting"
	// Up: an `up` finished.
	Up Phase = "Up"
)

// Cluster is the identity of a cluster, as written in cluster.json.
type Cluster struct {
	plan.Plan
	Phase Phase `json:"phase"`
}

// Directory is a cluster's state directory.
type Directory string

// Root is the directory that holds the state of all clusters of this user.
func Root() (string, error) {
	base := os.Getenv("XDG_STATE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("finding a place for the state: %w", err)
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "plenum", "clusters"), nil
}

// Of gives the directory of a cluster by its name, whether it exists or not.
func Of(name string) (Directory, error) {
	if !plan.ValidName(name) {
		return "", fmt.Errorf("the name %q is not usable: lower-case letters, digits and dashes, at most 32", name)
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	return Directory(filepath.Join(root, name)), nil
}

// Path names a file of the cluster.
func (d Directory) Path(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}

// Kubeconfig is the file with which a person or a program of this machine reaches the API server.
func (d Directory) Kubeconfig() string { return d.Path("kubeconfig") }

// Load reads the cluster's identity. fs.ErrNotExist: there is no such cluster.
func (d Directory) Load() (Cluster, error) {
	var c Cluster
	if err := readJSON(d.Path("cluster.json"), &c); err != nil {
		return Cluster{}, err
	}
	if _, err := plan.New(c.Name, c.Index); err != nil {
		return Cluster{}, fmt.Errorf("reading %s: %w", d.Path("cluster.json"), err)
	}
	return c, nil
}

// Save writes the cluster's identity.
func (d Directory) Save(c Cluster) error { return writeJSON(d.Path("cluster.json"), c) }

// Kind is what a process tree is for.
type Kind string

// The kinds of process trees.
const (
	ControlPlane Kind = "control-plane"
	Node         Kind = "node"
	Client       Kind = "client"
	Forward      Kind = "forward"
	Registry     Kind = "registry"
)

// Tree is the record of a process tree: its first process, and what clients and
// forwarders are made from. Slot and Region are set for clients; Listen and To for
// forwarders and the registry, which has a Login too.
type Tree struct {
	Kind    Kind         `json:"kind"`
	Name    string       `json:"name"`
	Process proc.Process `json:"process"`
	Slot    int          `json:"slot,omitempty"`
	Region  string       `json:"region,omitempty"`
	Listen  string       `json:"listen,omitempty"`
	To      string       `json:"to,omitempty"`
	Login   string       `json:"login,omitempty"`
}

func (d Directory) treePath(kind Kind, name string) string {
	return d.Path("trees", string(kind)+"_"+strings.ReplaceAll(name, ":", "_")+".json")
}

// SaveTree writes a tree's record.
func (d Directory) SaveTree(t Tree) error { return writeJSON(d.treePath(t.Kind, t.Name), t) }

// RemoveTree deletes a tree's record, if it has one.
func (d Directory) RemoveTree(kind Kind, name string) error {
	if err := os.Remove(d.treePath(kind, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the record of %s %s: %w", kind, name, err)
	}
	return nil
}

// Tree reads one tree's record. fs.ErrNotExist: it has none.
func (d Directory) Tree(kind Kind, name string) (Tree, error) {
	var t Tree
	err := readJSON(d.treePath(kind, name), &t)
	return t, err
}

// Trees reads the records of a kind, ordered by name. An empty kind means all.
func (d Directory) Trees(kind Kind) ([]Tree, error) {
	files, err := filepath.Glob(d.Path("trees", "*.json"))
	if err != nil {
		return nil, fmt.Errorf("listing the process trees: %w", err)
	}
	var trees []Tree
	for _, file := range files {
		var t Tree
		if err := readJSON(file, &t); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		if kind == "" || t.Kind == kind {
			trees = append(trees, t)
		}
	}
	sort.Slice(trees, func(i, j int) bool {
		return trees[i].Kind < trees[j].Kind || trees[i].Kind == trees[j].Kind && trees[i].Name < trees[j].Name
	})
	return trees, nil
}

// Indexes lists the index of every cluster of this user, by name.
// A directory whose identity was never written has none and is left out.
func Indexes() (map[string]int, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(root, "*", "cluster.json"))
	if err != nil {
		return nil, fmt.Errorf("listing the clusters: %w", err)
	}
	indexes := map[string]int{}
	for _, file := range files {
		c, err := Directory(filepath.Dir(file)).Load()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		indexes[c.Name] = c.Index
	}
	return indexes, nil
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

// writeJSON replaces a file as a whole: a reader, or a crash, never meets half of it.
func writeJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return WriteFile(path, append(text, '\n'), 0o600)
}

// WriteFile replaces a file as a whole and makes the directories above it.
func WriteFile(path string, text []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	draft, err := os.CreateTemp(filepath.Dir(path), ".draft-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = draft.Write(text)
	err = errors.Join(err, draft.Chmod(mode), draft.Close())
	if err == nil {
		err = os.Rename(draft.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(draft.Name()))
	}
	return nil
}

package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"plenum.dev/cluster/internal/plan"
)

func directory(t *testing.T, name string) Directory {
	t.Helper()
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	d, err := Of(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAClusterIsReadAsItWasWritten(t *testing.T) {
	d := directory(t, "one")
	if _, err := d.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before: %v", err)
	}
	want := Cluster{Plan: plan.Plan{Name: "one", Index: 3}, Phase: Up}
	if err := d.Save(want); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Load(); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if indexes, err := Indexes(); err != nil || len(indexes) != 1 || indexes["one"] != 3 {
		t.Errorf("indexes: %v, %v", indexes, err)
	}
}

func TestAStateThatNamesAnImpossibleClusterIsAnError(t *testing.T) {
	d := directory(t, "one")
	for _, text := range []string{"", "{", `{"name":"one","index":99}`, `{"name":"../x","index":1}`} {
		if err := WriteFile(d.Path("cluster.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Load(); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestNamesThatWouldLeaveTheDirectoryAreRefused(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "/etc"} {
		if d, err := Of(name); err == nil {
			t.Errorf("%q is %s", name, d)
		}
	}
}

func TestTreesAreListedByKindAndName(t *testing.T) {
	d := directory(t, "one")
	for _, tree := range []Tree{{Kind: Node, Name: "b"}, {Kind: Client, Name: "c", Slot: 2}, {Kind: Node, Name: "a"}} {
		if err := d.SaveTree(tree); err != nil {
			t.Fatal(err)
		}
	}
	nodes, err := d.Trees(Node)
	if err != nil || len(nodes) != 2 || nodes[0].Name != "a" || nodes[1].Name != "b" {
		t.Errorf("nodes: %+v, %v", nodes, err)
	}
	if err := d.RemoveTree(Node, "a"); err != nil {
		t.Fatal(err)
	}
	if err := d.RemoveTree(Node, "a"); err != nil {
		t.Errorf("removing it once more: %v", err)
	}
	if all, err := d.Trees(""); err != nil || len(all) != 2 || all[0].Slot != 2 {
		t.Errorf("all: %+v, %v", all, err)
	}
}

func TestAWrittenFileLeavesNoDraft(t *testing.T) {
	d := directory(t, "one")
	for _, text := range []string{"first", "second"} {
		if err := WriteFile(d.Path("x", "y"), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(d.Path("x"))
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	if text, err := os.ReadFile(d.Path("x", "y")); err != nil || string(text) != "second" {
		t.Errorf("%q, %v", text, err)
	}
	if err := WriteFile(filepath.Join("/proc", "nothing", "x"), nil, 0o600); err == nil {
		t.Error("a file that cannot be is no error")
	}
}

func TestTheSecondToLockWaitsForTheFirstEvenIfTheDirectoryGoes(t *testing.T) {
	d := directory(t, "one")
	first, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		second, err := d.Lock()
		if err == nil {
			_, err = os.Stat(string(d)) // the lock must be on a directory that is there
			second.Unlock()
		}
		got <- err
	}()
	select {
	case <-got:
		t.Fatal("two hold the lock")
	case <-time.After(50 * time.Millisecond):
	}
	if err := os.Remove(string(d)); err != nil {
		t.Fatal(err)
	}
	first.Unlock()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestAClusterThatIsNotThereCannotBeLocked(t *testing.T) {
	if _, err := directory(t, "one").LockExisting(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"plenum.dev/cluster/internal/plan"
	"plenum.dev/cluster/internal/proc"
	"plenum.dev/cluster/internal/state"
)

func testCluster(t *testing.T, name string, index int) *Cluster {
	t.Helper()
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	directory, err := state.Of(name)
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{plan: plan.Plan{Name: name, Index: index}, directory: directory, progress: NewProgress(&bytes.Buffer{})}
	if err := directory.Save(state.Cluster{Plan: c.plan, Phase: state.Up}); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAnIndexThatAnotherClusterHasIsNotTaken(t *testing.T) {
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs iproute2")
	}
	c := testCluster(t, "one", 0)
	if _, err := choose(context.Background(), "two", 0); err == nil || !strings.Contains(err.Error(), "belongs to the cluster one") {
		t.Errorf("taken: %v", err)
	}
	other, err := choose(context.Background(), "two", AnyIndex)
	if err != nil || other.Index == c.plan.Index || other.Name != "two" {
		t.Errorf("chosen: %+v, %v", other, err)
	}
}

func TestTheKubeconfigAndTheConfigurationsBearTheClustersAddresses(t *testing.T) {
	c := testCluster(t, "one", 3)
	if err := errors.Join(c.writeKeys(time.Now()), c.writeConfigs()); err != nil {
		t.Fatal(err)
	}
	for file, wants := range map[string][]string{
		"kubeconfig":                             {"https://100.67.0.1:6443"},
		"kubeconfigs/us-east-a":                  {"https://100.67.0.1:6443"},
		"nodes/us-east-a/kubelet.yaml":           {"100.67.1.13", "10.99.0.10", "/plenum-one/us-east-a"},
		"nodes/eu-west-a/cni/10-plenum.conflist": {"10.241.1.0/24"},
		"nodes/eu-west-a/kube-proxy.yaml":        {"10.241.0.0/16"},
	} {
		text, err := os.ReadFile(c.directory.Path(file))
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(text) {
			t.Errorf("%s is not readable", file)
		}
		for _, want := range wants {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %s:\n%s", file, want, text)
			}
		}
	}
	if info, err := os.Stat(c.Kubeconfig()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the administrator's kubeconfig is open to others: %v, %v", info, err)
	}
}

// A killed run can leave records of numbers that name others by now, trees
// without a record, and programs in clients whose holder is dead.
func TestLeftoverProcessesAreFoundByTheirMarksAndNoOthers(t *testing.T) {
	c := testCluster(t, "one", 3)
	start := func(environment ...string) proc.Process {
		command := exec.Command("sleep", "600")
		command.Env = append(os.Environ(), environment...)
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = command.Process.Kill(), command.Wait() })
		p, err := proc.Of(command.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	bystander := start()
	inClient := start(clientMark + "=" + c.clientMarkOf("berlin"))
	inAnothers := start(clientMark + "=" + c.directory.Path("..", "other", "berlin"))
	stale := bystander
	stale.StartTime--
	if err := c.directory.SaveTree(state.Tree{Kind: state.Node, Name: "eu-west-a", Process: stale}); err != nil {
		t.Fatal(err)
	}
	found, err := c.processes()
	if err != nil {
		t.Fatal(err)
	}
	if err := proc.KillAll(found, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if inClient.Alive() {
		t.Error("what ran in a client was not found")
	}
	if !bystander.Alive() || !inAnothers.Alive() {
		t.Error("a process that does not belong to the cluster was ended")
	}
}

func TestADeadTreeIsReportedWithItsLastWords(t *testing.T) {
	c := testCluster(t, "one", 3)
	record := state.Tree{Kind: state.Node, Name: "eu-west-a", Process: proc.Process{PID: 1, StartTime: 1, BootID: "another"}}
	if err := c.directory.SaveTree(record); err != nil {
		t.Fatal(err)
	}
	if err := state.WriteFile(c.logPath(record), []byte("first\nno disk left\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.treeAlive(state.Node, "eu-west-a"); err == nil || !strings.Contains(err.Error(), "no disk left") {
		t.Errorf("got %v", err)
	}
	if err := c.change(func() error { return nil }); !errors.Is(err, ErrNotRunning) {
		t.Errorf("a dead cluster is changed: %v", err)
	}
}

func TestWaitingEndsWithTheReasonWhenThereIsNoMoreHope(t *testing.T) {
	never := func() error { return errors.New("not yet") }
	dead := func() error { return errors.New("it died") }
	fine := func() error { return nil }
	for want, alive := range map[string]func() error{"it died": dead, "not yet": fine} {
		err := wait(context.Background(), "x", 80*time.Millisecond, alive, never)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, not %s", err, want)
		}
	}
	if err := wait(context.Background(), "x", time.Second, dead, fine); err != nil {
		t.Errorf("what works needs no life: %v", err)
	}
}

func TestClientsGetTheFirstFreeSlot(t *testing.T) {
	c := testCluster(t, "one", 3)
	for _, slot := range []int{1, 3} {
		if err := c.directory.SaveTree(state.Tree{Kind: state.Client, Name: fmt.Sprint("c", slot), Slot: slot}); err != nil {
			t.Fatal(err)
		}
	}
	if slot, err := c.freeSlot(); err != nil || slot != 2 {
		t.Errorf("slot %d, %v", slot, err)
	}
}

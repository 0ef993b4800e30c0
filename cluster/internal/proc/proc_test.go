package proc

import (
	"os/exec"
	"testing"
	"time"
)

func sleeper(t *testing.T) (*exec.Cmd, Process) {
	t.Helper()
	command := exec.Command("sleep", "600")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	p, err := Of(command.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return command, p
}

func TestARecordThatNamesAnotherProcessByNowKillsNobody(t *testing.T) {
	_, p := sleeper(t)
	for what, stale := range map[string]Process{
		"an earlier process of that number": {PID: p.PID, StartTime: p.StartTime - 1, BootID: p.BootID},
		"a process of an earlier boot":      {PID: p.PID, StartTime: p.StartTime, BootID: "another"},
	} {
		if stale.Alive() {
			t.Errorf("%s is called alive", what)
		}
		if err := KillAll([]Process{stale}, time.Second); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if !p.Alive() {
		t.Error("a process was killed by its number alone")
	}
}

func TestAKilledProcessIsDeadEvenBeforeItsParentNotices(t *testing.T) {
	_, p := sleeper(t)
	if err := KillAll([]Process{p}, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if p.Alive() {
		t.Error("a zombie is called alive")
	}
}

func TestProcessesAreFoundByTheirArgumentsOnly(t *testing.T) {
	line := []byte("/bin/x\x00tree\x00node\x00--state\x00/a/b\x00")
	for _, c := range []struct {
		first, flag, value string
		want               bool
	}{
		{"tree", "--state", "/a/b", true},
		{"tree", "--state", "/a/b/c", false},
		{"tree", "--state", "/a", false},
		{"node", "--state", "/a/b", false},
	} {
		if got := matches(line, c.first, c.flag, c.value); got != c.want {
			t.Errorf("%v: got %v", c, got)
		}
	}
	if matches(nil, "tree", "--state", "/a/b") || matches([]byte("tree"), "tree", "a", "b") {
		t.Error("a line without arguments matches")
	}
}

func TestAStateLineIsReadBehindAStrangeName(t *testing.T) {
	got, err := parseStat("7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9")
	if err != nil || got.state != 'S' || got.start != 4711 {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "7 (a", "7 (a) S 1 2", "7 (a) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 x"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestProcessesAreFoundByTheirEnvironment(t *testing.T) {
	t.Setenv("PLENUM_PROC_TEST", "yes")
	_, p := sleeper(t)
	for _, want := range []string{"yes", "no"} {
		found, err := WithEnvironment("PLENUM_PROC_TEST", func(value string) bool { return value == want })
		if err != nil {
			t.Fatal(err)
		}
		if got := len(found) == 1 && found[0] == p; got != (want == "yes") {
			t.Errorf("%s: found %v", want, found)
		}
	}
}

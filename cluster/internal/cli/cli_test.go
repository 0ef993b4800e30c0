package cli

import "testing"

func TestExitCodesTellWhatWentWrong(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"--help"}, 0},
		{[]string{"status", "--name", "nobody"}, exitNotRunning},
		{[]string{"kubeconfig", "--name", "nobody"}, exitNotRunning},
		{[]string{"client", "list", "--name", "nobody", "-o", "json"}, exitNotRunning},
		{[]string{"registry", "--name", "nobody"}, exitNotRunning},
		{[]string{"client", "firewall", "c", "--name", "nobody", "--allow", "tcp"}, exitNotRunning},
		{[]string{"client", "firewall", "c", "--name", "nobody", "--allow", "udp"}, exitUsage},
		{[]string{"client", "firewall", "c", "--name", "nobody", "--allow", "tcp443", "--except", "nowhere"}, exitUsage},
		{[]string{"no-such-command"}, exitUsage},
		{[]string{"up", "--no-such-flag"}, exitUsage},
		{[]string{"pack-image", "--tag", "docker.io/plenum/x:1"}, exitUsage},
		{[]string{"status", "--name", "../x"}, exitFailed},
		{[]string{"status", "-o", "yaml"}, exitUsage},
	} {
		if got := Main(c.args); got != c.want {
			t.Errorf("%v: exit %d, not %d", c.args, got, c.want)
		}
	}
}

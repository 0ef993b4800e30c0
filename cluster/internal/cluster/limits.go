package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"plenum.dev/cluster/internal/host"
	"plenum.dev/cluster/internal/state"
)

// inotifyNeed is what two clusters that start at once hold (35 each), and a little more; inotifyEnough is enough for all.
const (
	inotifyNeed   = 80
	inotifyEnough = 1024
)

// formerLimitPath is where the machine's own limit is kept while a higher one is in force.
func formerLimitPath() (string, error) {
	root, err := state.Root()
	return filepath.Join(root, ".inotify-limit"), err
}

// ensureInotify raises the limit of inotify instances if one more cluster does
// not fit below it: kubelets that hit it never become Ready. The caller holds the lock of all clusters.
func ensureInotify(progress *Progress) error {
	limit, err := host.InotifyLimit()
	if err != nil {
		return err
	}
	used, err := host.InotifyInUse()
	if err != nil {
		return err
	}
	if used+inotifyNeed <= limit {
		return nil
	}
	path, err := formerLimitPath()
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := state.WriteFile(path, []byte(strconv.Itoa(limit)), 0o600); err != nil {
			return err
		}
	}
	progress.Say("raising fs.inotify.max_user_instances from %d to %d while clusters run (%d are in use)", limit, inotifyEnough, used)
	if err := host.SetInotifyLimit(inotifyEnough); err != nil {
		return fmt.Errorf("a cluster wants room for %d inotify instances, and %d of %d are in use: %w", inotifyNeed, used, limit, err)
	}
	return nil
}

// restoreInotify puts the machine's own limit back after the last cluster,
// unless somebody else changed it meanwhile.
func restoreInotify() error {
	path, err := formerLimitPath()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the machine's own limit: %w", err)
	}
	root, err := state.LockRoot()
	if err != nil {
		return err
	}
	defer root.Unlock()
	others, err := state.Indexes()
	if err != nil || len(others) > 0 {
		return err
	}
	former, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("reading the machine's own limit: %w", err)
	}
	current, err := host.InotifyLimit()
	if err != nil {
		return err
	}
	if current == inotifyEnough {
		if err := host.SetInotifyLimit(former); err != nil {
			return err
		}
	}
	return os.Remove(path)
}

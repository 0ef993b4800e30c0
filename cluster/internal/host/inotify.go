package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const inotifySetting = "/proc/sys/fs/inotify/max_user_instances"

// InotifyLimit reads how many inotify instances the programs of one user may hold together.
func InotifyLimit() (int, error) {
	text, err := os.ReadFile(inotifySetting)
	if err != nil {
		return 0, fmt.Errorf("reading the limit of inotify instances: %w", err)
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("reading the limit of inotify instances: %w", err)
	}
	return limit, nil
}

// SetInotifyLimit changes that limit.
func SetInotifyLimit(limit int) error {
	if err := os.WriteFile(inotifySetting, []byte(strconv.Itoa(limit)), 0o644); err != nil {
		return fmt.Errorf("setting fs.inotify.max_user_instances to %d: %w", limit, err)
	}
	return nil
}

// InotifyInUse counts the inotify instances on this machine. One that is shared
// by several processes counts more than once, which errs on the safe side.
func InotifyInUse() (int, error) {
	descriptors, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0, fmt.Errorf("listing open files: %w", err)
	}
	count := 0
	for _, descriptor := range descriptors {
		if target, err := os.Readlink(descriptor); err == nil && strings.Contains(target, "inotify") {
			count++
		}
	}
	return count, nil
}

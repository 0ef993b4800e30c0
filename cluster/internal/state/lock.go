package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Lock is held by whoever changes a cluster. The kernel drops it when its holder dies.
type Lock struct{ file *os.File }

// Lock makes the cluster's directory if need be and waits until nobody else changes the cluster.
func (d Directory) Lock() (*Lock, error) {
	for {
		if err := os.MkdirAll(string(d), 0o755); err != nil {
			return nil, fmt.Errorf("making the state directory: %w", err)
		}
		lock, err := lockDirectory(string(d))
		if err != nil {
			return nil, err
		}
		same, err := lock.names(string(d))
		if err != nil || same {
			return lock, err
		}
		// Its former holder took the directory away: what we hold is a lock on nothing.
		lock.Unlock()
	}
}

// LockExisting is Lock for a cluster that must already be there. fs.ErrNotExist: it is not.
func (d Directory) LockExisting() (*Lock, error) {
	lock, err := lockDirectory(string(d))
	if err != nil {
		return nil, err
	}
	same, err := lock.names(string(d))
	if err != nil {
		lock.Unlock()
		return nil, err
	}
	if !same {
		lock.Unlock()
		return nil, fs.ErrNotExist
	}
	return lock, nil
}

// LockRoot waits until no other `up` of this user chooses an index.
func LockRoot() (*Lock, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("making the directory of clusters: %w", err)
	}
	return lockDirectory(root)
}

// Unlock lets the next one in.
func (l *Lock) Unlock() { _ = l.file.Close() }

func lockDirectory(path string) (*Lock, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), file.Close())
	}
	return &Lock{file: file}, nil
}

func (l *Lock) names(path string) (bool, error) {
	held, err := l.file.Stat()
	if err != nil {
		return false, fmt.Errorf("looking at %s: %w", path, err)
	}
	there, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking at %s: %w", path, err)
	}
	return os.SameFile(held, there), nil
}

package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"plenum.dev/cluster/internal/state"
)

// connectionLimit bounds what one forwarder carries at a time; further connections wait in the kernel's queue.
const connectionLimit = 256

// runForward carries TCP connections from an address of this machine to one of the cluster.
func runForward(ctx context.Context, directory state.Directory, name string) error {
	record, err := directory.Tree(state.Forward, name)
	if err != nil {
		return fmt.Errorf("reading the forwarder's record: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", record.Listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", record.Listen, err)
	}
	if err := markReady(directory, state.Forward, name); err != nil {
		return err
	}
	return forward(ctx, listener, record.To)
}

func forward(ctx context.Context, listener net.Listener, to string) error {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	slots := make(chan struct{}, connectionLimit)
	for {
		slots <- struct{}{}
		connection, err := listener.Accept()
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			log.Printf("accepting: %v", err)
			time.Sleep(100 * time.Millisecond) // out of descriptors, most likely: one bad accept ends nothing
			<-slots
			continue
		}
		go func() {
			defer func() { <-slots }()
			if err := carry(ctx, connection, to); err != nil {
				log.Printf("carrying a connection: %v", err)
			}
		}()
	}
}

// carry copies both ways until both sides are done, or either breaks.
func carry(ctx context.Context, near net.Conn, to string) error {
	defer func() { _ = near.Close() }()
	dialer := net.Dialer{Timeout: 10 * time.Second}
	far, err := dialer.DialContext(ctx, "tcp", to)
	if err != nil {
		return fmt.Errorf("reaching %s: %w", to, err)
	}
	defer func() { _ = far.Close() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pipe(far, near)
	}()
	pipe(near, far)
	<-done
	return nil
}

// pipe copies one way and passes the end of the stream on. When copying breaks, both ends are of no more use.
func pipe(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		_ = to.Close()
		_ = from.Close()
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

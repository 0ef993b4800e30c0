package tree

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func eventually(t *testing.T, what string, try func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !try(); {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestAServiceThatEndsIsStartedAgainAndOneBehindAClosedGateIsNot(t *testing.T) {
	directory := t.TempDir()
	logFile := filepath.Join(directory, "logs", "x.log")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- supervise(ctx, []service{
			{name: "x", args: []string{"/bin/sh", "-c", "echo here; exit 3"}, log: logFile},
			{name: "gated", args: []string{"/bin/sh", "-c", "echo here"}, log: filepath.Join(directory, "gated.log"),
				gate: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
		})
	}()
	eventually(t, "a second start", func() bool {
		text, err := os.ReadFile(logFile)
		return err == nil && strings.Count(string(text), "here\n") >= 2
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(directory, "gated.log")); err == nil {
		t.Error("a gate did not hold")
	}
}

func TestAServiceThatCannotBeStartedIsAnErrorThatNamesIt(t *testing.T) {
	err := supervise(context.Background(), []service{{name: "nobody", args: []string{"/does/not/exist"}, log: filepath.Join(t.TempDir(), "log")}})
	if err == nil || !strings.Contains(err.Error(), "starting nobody") {
		t.Errorf("got %v", err)
	}
}

func TestAForwarderCarriesBothWaysAndPassesTheEndOn(t *testing.T) {
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = far.Close() }()
	go func() { // answers once it has heard all
		for {
			connection, err := far.Accept()
			if err != nil {
				return
			}
			heard, _ := io.ReadAll(connection)
			fmt.Fprintf(connection, "heard %s", heard)
			_ = connection.Close()
		}
	}()
	near, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- forward(ctx, near, far.Addr().String()) }()
	for _, word := range []string{"one", "two"} {
		connection, err := net.Dial("tcp", near.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(connection, word); err != nil {
			t.Fatal(err)
		}
		if err := connection.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if answer, err := io.ReadAll(connection); err != nil || string(answer) != "heard "+word {
			t.Errorf("%q, %v", answer, err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

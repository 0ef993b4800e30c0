package tree

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"golang.org/x/sync/errgroup"

	"plenum.dev/cluster/internal/plan"
	"plenum.dev/cluster/internal/state"
)

// runRegistry serves container images over plain HTTP: on loopback, where they
// are pushed, and under the router's address, where the nodes pull them.
func runRegistry(ctx context.Context, directory state.Directory, p plan.Plan, name string) error {
	record, err := directory.Tree(state.Registry, name)
	if err != nil {
		return fmt.Errorf("reading the registry's record: %w", err)
	}
	blobs := directory.Path("blobs")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return fmt.Errorf("making a place for images: %w", err)
	}
	images := registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(blobs)), registry.Logger(log.Default()))
	handler := fromWithin(p.Outside(), signedIn(record.Login, images))
	group, ctx := errgroup.WithContext(ctx)
	for _, address := range []string{record.Listen, record.To} {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("listening on %s: %w", address, err)
		}
		group.Go(func() error { return serve(ctx, listener, handler) })
	}
	if err := markReady(directory, state.Registry, name); err != nil {
		return err
	}
	return group.Wait()
}

func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving images on %s: %w", listener.Addr(), err)
	}
	return nil
}

// fromWithin refuses whoever comes neither from this machine nor from the
// cluster: the router's address could be reached by this machine's other links.
func fromWithin(cluster netip.Prefix, next http.Handler) http.Handler {
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		peer, err := netip.ParseAddrPort(request.RemoteAddr)
		if address := peer.Addr().Unmap(); err != nil || !address.IsLoopback() && !cluster.Contains(address) {
			http.Error(answer, "images are for this machine and its cluster", http.StatusForbidden)
			return
		}
		next.ServeHTTP(answer, request)
	})
}

// signedIn asks for a login, NAME:PASSWORD. An empty one lets everybody in.
func signedIn(login string, next http.Handler) http.Handler {
	if login == "" {
		return next
	}
	name, password, _ := strings.Cut(login, ":")
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		gotName, gotPassword, _ := request.BasicAuth()
		if !same(name, gotName) || !same(password, gotPassword) {
			answer.Header().Set("WWW-Authenticate", `Basic realm="images"`)
			http.Error(answer, "log in first", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(answer, request)
	})
}

// same compares in a time that says nothing about what is compared.
func same(want, got string) bool {
	a, b := sha256.Sum256([]byte(want)), sha256.Sum256([]byte(got))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

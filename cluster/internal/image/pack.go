// Package image packs one static binary into a container image, without any
// container tool. The same input gives the same bytes.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"regexp"
	"runtime"
	"strings"
)

// Spec is what goes into an image.
type Spec struct {
	// Name with registry and tag, such as docker.io/plenum/gateway:dev.
	Name string
	// Binary is the program's text; it lands at Entrypoint.
	Binary     []byte
	Entrypoint string
	// User as in USER of a Containerfile, such as 65532.
	User string
}

var name = regexp.MustCompile(`^[a-z0-9][a-z0-9.:-]*(/[a-z0-9][a-z0-9._-]*)+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

func (s Spec) check() error {
	if !name.MatchString(s.Name) {
		return fmt.Errorf("the image name %q is not whole: it needs a registry, a path and a tag, such as docker.io/plenum/gateway:dev", s.Name)
	}
	if !path.IsAbs(s.Entrypoint) || path.Clean(s.Entrypoint) != s.Entrypoint || s.Entrypoint == "/" {
		return fmt.Errorf("the entry point %q is not an absolute path of a file", s.Entrypoint)
	}
	if len(s.Binary) < 4 || string(s.Binary[:4]) != "\x7fELF" {
		return fmt.Errorf("the binary of %s is not a Linux program", s.Name)
	}
	return nil
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

const mediaType = "application/vnd.oci.image."

// Write writes the image as an archive that containerd, docker, podman and
// skopeo all load: an OCI layout (OCI image spec 1.1) with docker's manifest.json beside it.
func (s Spec) Write(to io.Writer) error {
	if err := s.check(); err != nil {
		return err
	}
	layer, err := s.layer()
	if err != nil {
		return err
	}
	config, err := s.config(layer)
	if err != nil {
		return err
	}
	layerAt, configAt := describe("layer.v1.tar", layer), describe("config.v1+json", config)
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": mediaType + "manifest.v1+json",
		"config": configAt, "layers": []descriptor{layerAt},
	})
	if err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	manifestAt := describe("manifest.v1+json", manifest)
	manifestAt.Platform = &platform{Architecture: runtime.GOARCH, OS: "linux"}
	manifestAt.Annotations = map[string]string{
		"io.containerd.image.name":          s.Name,
		"org.opencontainers.image.ref.name": s.Name,
	}
	index, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": mediaType + "index.v1+json", "manifests": []descriptor{manifestAt},
	})
	if err != nil {
		return fmt.Errorf("writing the index: %w", err)
	}
	docker, err := json.Marshal([]map[string]any{{
		"Config": configAt.blob(), "RepoTags": []string{s.Name}, "Layers": []string{layerAt.blob()},
	}})
	if err != nil {
		return fmt.Errorf("writing docker's manifest: %w", err)
	}
	return writeTar(to, []file{
		{"oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{"index.json", 0o644, index},
		{"manifest.json", 0o644, docker},
		{manifestAt.blob(), 0o644, manifest},
		{configAt.blob(), 0o644, config},
		{layerAt.blob(), 0o644, layer},
	})
}

// layer is a tar with the binary alone, not compressed: packing and unpacking stay in milliseconds.
func (s Spec) layer() ([]byte, error) {
	var b bytes.Buffer
	if err := writeTar(&b, []file{{strings.TrimPrefix(s.Entrypoint, "/"), 0o555, s.Binary}}); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (s Spec) config(layer []byte) ([]byte, error) {
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"User": s.User, "Entrypoint": []string{s.Entrypoint}, "WorkingDir": "/"},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
	if err != nil {
		return nil, fmt.Errorf("writing the image's configuration: %w", err)
	}
	return config, nil
}

type file struct {
	name string
	mode int64
	text []byte
}

func writeTar(to io.Writer, files []file) error {
	archive := tar.NewWriter(to)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.text)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("writing %s into the archive: %w", f.name, err)
		}
		if _, err := archive.Write(f.text); err != nil {
			return fmt.Errorf("writing %s into the archive: %w", f.name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("ending the archive: %w", err)
	}
	return nil
}

func describe(kind string, text []byte) descriptor {
	return descriptor{MediaType: mediaType + kind, Digest: digest(text), Size: len(text)}
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (d descriptor) blob() string { return "blobs/" + strings.ReplaceAll(d.Digest, ":", "/") }

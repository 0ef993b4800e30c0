package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

func good() Spec {
	return Spec{Name: "docker.io/plenum/x:1", Binary: []byte("\x7fELF and more"), Entrypoint: "/bin/x", User: "65532"}
}

func unpack(t *testing.T, text []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	archive := tar.NewReader(bytes.NewReader(text))
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = content
	}
}

func parse(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
}

func TestEveryDigestOfAnImageNamesAFileThatHasIt(t *testing.T) {
	var archive bytes.Buffer
	if err := good().Write(&archive); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, archive.Bytes())
	blob := func(d descriptor) []byte {
		text, there := files[d.blob()]
		if !there || digest(text) != d.Digest || len(text) != d.Size {
			t.Fatalf("%s does not have its digest", d.blob())
		}
		return text
	}
	var index struct{ Manifests []descriptor }
	parse(t, files["index.json"], &index)
	if len(index.Manifests) != 1 || index.Manifests[0].Annotations["io.containerd.image.name"] != "docker.io/plenum/x:1" {
		t.Fatalf("index: %s", files["index.json"])
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	parse(t, blob(index.Manifests[0]), &manifest)
	var config struct {
		Config struct {
			User       string
			Entrypoint []string
		}
		Rootfs struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	parse(t, blob(manifest.Config), &config)
	if config.Config.User != "65532" || config.Config.Entrypoint[0] != "/bin/x" || config.Rootfs.DiffIDs[0] != manifest.Layers[0].Digest {
		t.Errorf("config: %+v", config)
	}
	layer := unpack(t, blob(manifest.Layers[0]))
	if len(layer) != 1 || !bytes.Equal(layer["bin/x"], good().Binary) {
		t.Errorf("the layer holds %v", layer)
	}
	var docker []struct{ RepoTags, Layers []string }
	parse(t, files["manifest.json"], &docker)
	if len(docker) != 1 || docker[0].RepoTags[0] != "docker.io/plenum/x:1" || files[docker[0].Layers[0]] == nil {
		t.Errorf("docker's manifest: %s", files["manifest.json"])
	}
}

func TestTheSameBinaryGivesTheSameBytes(t *testing.T) {
	var first, second bytes.Buffer
	if err := good().Write(&first); err != nil {
		t.Fatal(err)
	}
	if err := good().Write(&second); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two archives of one binary differ")
	}
}

func TestAnImageThatCouldNotRunIsRefusedWithAReason(t *testing.T) {
	for reason, change := range map[string]func(*Spec){
		"image name":  func(s *Spec) { s.Name = "plenum" },
		"a tag":       func(s *Spec) { s.Name = "docker.io/plenum/x" },
		"entry point": func(s *Spec) { s.Entrypoint = "x" },
		"of a file":   func(s *Spec) { s.Entrypoint = "/../x" },
		"not a Linux": func(s *Spec) { s.Binary = []byte("#!/bin/sh") },
	} {
		spec := good()
		change(&spec)
		if err := spec.Write(io.Discard); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

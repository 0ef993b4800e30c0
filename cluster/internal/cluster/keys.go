package cluster

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"plenum.dev/cluster/internal/pki"
	"plenum.dev/cluster/internal/plan"
	"plenum.dev/cluster/internal/state"
)

// login is somebody who talks to the API server: the certificate's file name, and who it says they are.
type login struct {
	file string
	leaf pki.Leaf
}

func logins(p plan.Plan) []login {
	all := []login{
		{"admin", pki.Leaf{Name: "admin", Groups: []string{"system:masters"}}},
		{"controller-manager", pki.Leaf{Name: "system:kube-controller-manager"}},
		{"scheduler", pki.Leaf{Name: "system:kube-scheduler"}},
		{"kube-proxy", pki.Leaf{Name: "system:kube-proxy"}},
		{"coredns", pki.Leaf{Name: "system:coredns"}},
	}
	for _, node := range p.Nodes() {
		all = append(all, login{node.Name, pki.Leaf{
			Name:      "system:node:" + node.Name,
			Groups:    []string{"system:nodes"},
			DNS:       []string{node.Name},
			Addresses: []netip.Addr{p.NodeAddress(node)},
		}})
	}
	return all
}

// writeKeys makes the cluster's CAs, certificates and kubeconfigs.
func (c *Cluster) writeKeys(now time.Time) error {
	authority, err := pki.NewAuthority("plenum-cluster-"+c.plan.Name, now)
	if err != nil {
		return err
	}
	if err := c.writePair("ca", authority.Pair); err != nil {
		return err
	}
	if err := c.writeServerKeys(authority, now); err != nil {
		return err
	}
	for _, one := range logins(c.plan) {
		pair, err := authority.Issue(one.leaf)
		if err != nil {
			return err
		}
		if err := c.writePair(one.file, pair); err != nil {
			return err
		}
		path := c.directory.Path("kubeconfigs", one.file)
		if one.file == "admin" {
			path = c.directory.Kubeconfig()
		}
		if err := c.writeKubeconfig(path, one.file, authority.Certificate, pair); err != nil {
			return err
		}
	}
	return nil
}

// writeServerKeys makes what the API server serves with, talks to kubelets and
// aggregated APIs with, and signs service account tokens with.
func (c *Cluster) writeServerKeys(authority *pki.Authority, now time.Time) error {
	front, err := pki.NewAuthority("plenum-cluster-front-proxy", now)
	if err != nil {
		return err
	}
	if err := c.writePair("front-proxy-ca", front.Pair); err != nil {
		return err
	}
	for _, one := range []struct {
		by   *pki.Authority
		file string
		leaf pki.Leaf
	}{
		{front, "front-proxy-client", pki.Leaf{Name: "front-proxy-client"}},
		{authority, "kubelet-client", pki.Leaf{Name: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"}}},
		{authority, "apiserver", pki.Leaf{
			Name: "kube-apiserver",
			DNS: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
				"kubernetes.default.svc.cluster.local"},
			Addresses: []netip.Addr{c.plan.ControlPlane(), c.plan.APIService(), netip.MustParseAddr("127.0.0.1")},
		}},
	} {
		pair, err := one.by.Issue(one.leaf)
		if err != nil {
			return err
		}
		if err := c.writePair(one.file, pair); err != nil {
			return err
		}
	}
	private, public, err := pki.SigningKey()
	if err != nil {
		return err
	}
	if err := state.WriteFile(c.directory.Path("pki", "service-accounts.pub"), public, 0o644); err != nil {
		return err
	}
	return state.WriteFile(c.directory.Path("pki", "service-accounts.key"), private, 0o600)
}

func (c *Cluster) writePair(name string, pair pki.Pair) error {
	if err := state.WriteFile(c.directory.Path("pki", name+".crt"), pair.Certificate, 0o644); err != nil {
		return err
	}
	return state.WriteFile(c.directory.Path("pki", name+".key"), pair.Key, 0o600)
}

// writeKubeconfig holds the certificates themselves, so that the file works wherever it is copied to. JSON is YAML.
func (c *Cluster) writeKubeconfig(path, user string, authority []byte, pair pki.Pair) error {
	name, encode := "plenum-"+c.plan.Name, base64.StdEncoding.EncodeToString
	text, err := json.MarshalIndent(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": name,
		"clusters": []any{map[string]any{"name": name, "cluster": map[string]any{
			"server":                     "https://" + netip.AddrPortFrom(c.plan.ControlPlane(), 6443).String(),
			"certificate-authority-data": encode(authority),
		}}},
		"users": []any{map[string]any{"name": user, "user": map[string]any{
			"client-certificate-data": encode(pair.Certificate),
			"client-key-data":         encode(pair.Key),
		}}},
		"contexts": []any{map[string]any{"name": name, "context": map[string]any{"cluster": name, "user": user}}},
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the kubeconfig of %s: %w", user, err)
	}
	return state.WriteFile(path, append(text, '\n'), 0o600)
}

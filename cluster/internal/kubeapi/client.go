// Package kubeapi asks the API server the few things that starting a cluster
// needs. It speaks plain JSON, so that this program stays small; whoever wants
// more uses the kubeconfig.
package kubeapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"plenum.dev/cluster/internal/pki"
)

// answerLimit bounds what is read of an answer.
const answerLimit = 8 << 20

// Client talks to one API server.
type Client struct {
	base string
	http *http.Client
}

// New makes a client. Without a pair (its zero value) it is anonymous, which is enough for Ready.
func New(address netip.Addr, authority []byte, pair pki.Pair) (*Client, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, errors.New("the cluster's CA certificate is not readable")
	}
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if len(pair.Certificate) > 0 {
		certificate, err := tls.X509KeyPair(pair.Certificate, pair.Key)
		if err != nil {
			return nil, fmt.Errorf("reading the administrator's certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	// No proxy: these addresses exist on this machine only.
	transport := &http.Transport{TLSClientConfig: config, TLSHandshakeTimeout: 2 * time.Second}
	return &Client{
		base: fmt.Sprintf("https://%s", netip.AddrPortFrom(address, 6443)),
		http: &http.Client{Transport: transport, Timeout: 5 * time.Second},
	}, nil
}

// StatusError is an answer other than 2xx.
type StatusError struct {
	Code    int
	Message string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the API server answered %d: %s", e.Code, e.Message)
}

// Ready asks whether the API server is ready to serve.
func (c *Client) Ready(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, "/readyz", nil, nil)
}

// ReadyNodes names the nodes, and whether each is Ready.
func (c *Client) ReadyNodes(ctx context.Context) (map[string]bool, error) {
	var list struct {
		Items []struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
			Status struct {
				Conditions []struct {
					Type   string `json:"type"`
					Status string `json:"status"`
				} `json:"conditions"`
			} `json:"status"`
		} `json:"items"`
	}
	if err := c.do(ctx, http.MethodGet, "/api/v1/nodes", nil, &list); err != nil {
		return nil, err
	}
	ready := map[string]bool{}
	for _, node := range list.Items {
		ready[node.Metadata.Name] = false
		for _, condition := range node.Status.Conditions {
			if condition.Type == "Ready" && condition.Status == "True" {
				ready[node.Metadata.Name] = true
			}
		}
	}
	return ready, nil
}

// KubeletHealthy asks a node's kubelet, through the API server, whether it works.
func (c *Client) KubeletHealthy(ctx context.Context, node string) error {
	return c.do(ctx, http.MethodGet, "/api/v1/nodes/"+node+"/proxy/healthz", nil, nil)
}

// Exists asks whether the object at a path is there.
func (c *Client) Exists(ctx context.Context, path string) (bool, error) {
	err := c.do(ctx, http.MethodGet, path, nil, nil)
	var status *StatusError
	if errors.As(err, &status) && status.Code == http.StatusNotFound {
		return false, nil
	}
	return err == nil, err
}

// Apply creates or updates the object at a path by server-side apply.
func (c *Client) Apply(ctx context.Context, path string, object any) error {
	text, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := c.do(ctx, http.MethodPatch, path+"?fieldManager=plenum-cluster&force=true", text, nil); err != nil {
		return fmt.Errorf("applying %s: %w", path, err)
	}
	return nil
}

func (c *Client) do(ctx context.Context, method, path string, body []byte, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking for %s: %w", path, err)
	}
	if method == http.MethodPatch {
		request.Header.Set("Content-Type", "application/apply-patch+yaml") // JSON is YAML
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, answerLimit))
	if err != nil {
		return fmt.Errorf("reading the answer to %s: %w", path, err)
	}
	if answer.StatusCode >= 300 {
		return &StatusError{Code: answer.StatusCode, Message: strings.TrimSpace(string(text))}
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("reading the answer to %s: %w", path, err)
	}
	return nil
}

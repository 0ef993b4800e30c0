package pki

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"testing"
	"time"
)

func TestALeafIsTrustedUnderItsNamesByItsOwnAuthorityOnly(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	ours, err := NewAuthority("ours", now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewAuthority("other", now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ours.Issue(Leaf{Name: "system:node:a", Groups: []string{"system:nodes"}, DNS: []string{"a"},
		Addresses: []netip.Addr{netip.MustParseAddr("100.64.1.11")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(pair.Certificate, pair.Key); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(pair.Certificate)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if leaf.Subject.CommonName != "system:node:a" || leaf.Subject.Organization[0] != "system:nodes" {
		t.Errorf("subject %v", leaf.Subject)
	}
	verify := func(authority *Authority, name string, at time.Time) error {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(authority.Certificate)
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: at,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
		return err
	}
	for _, name := range []string{"a", "100.64.1.11"} {
		if err := verify(ours, name, now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if verify(ours, "b", now) == nil || verify(other, "a", now) == nil || verify(ours, "a", now.Add(2*lifetime)) == nil {
		t.Error("a wrong name, authority or time was accepted")
	}
}

func TestTheKeyOfServiceAccountsHasBothHalves(t *testing.T) {
	private, public, err := SigningKey()
	if err != nil {
		t.Fatal(err)
	}
	for kind, text := range map[string][]byte{"PRIVATE KEY": private, "PUBLIC KEY": public} {
		if block, _ := pem.Decode(text); block == nil || block.Type != kind {
			t.Errorf("%s: %q", kind, text)
		}
	}
}

package host

import (
	"net/netip"
	"strings"
	"testing"
)

func TestAClientsFirewallLetsOutWhatItsNameSaysAndDropsTheRest(t *testing.T) {
	firewall := ClientFirewall{Owner: "plenum-x", Chain: "PLENUM-C2-7", Link: "pl2-c7", Allow: AllowTCP443,
		Except: []netip.AddrPort{netip.MustParseAddrPort("100.66.1.11:30080")}}
	want := `*filter
:PLENUM-C2-7 - [0:0]
-A PLENUM-C2-7 -p udp --dport 53 -j RETURN
-A PLENUM-C2-7 -p tcp --dport 443 -j RETURN
-A PLENUM-C2-7 -d 100.66.1.11 -p tcp --dport 30080 -j RETURN
-A PLENUM-C2-7 -j DROP
-I FORWARD -i pl2-c7 -m comment --comment plenum-x -j PLENUM-C2-7
COMMIT
`
	if got := firewall.Rules(); got != want {
		t.Errorf("the rules are\n%s\nnot\n%s", got, want)
	}
	firewall.Allow, firewall.Except = AllowTCP, nil
	if got := firewall.Rules(); !strings.Contains(got, "-A PLENUM-C2-7 -p tcp -j RETURN\n-A PLENUM-C2-7 -j DROP") {
		t.Errorf("all TCP is let out by\n%s", got)
	}
	firewall.Allow, firewall.Clients = AllowServers, netip.MustParsePrefix("100.66.2.0/24")
	if got := firewall.Rules(); !strings.Contains(got, "-A PLENUM-C2-7 ! -d 100.66.2.0/24 -j RETURN\n-A PLENUM-C2-7 -j DROP") {
		t.Errorf("servers are let out by\n%s", got)
	}
}

func TestTheChainOfAClientsFirewallIsFoundByItsOwnerAndUndone(t *testing.T) {
	listing := "-P FORWARD ACCEPT\n-N PLENUM-C2-7\n-N PLENUM-F2\n" +
		"-A FORWARD -i pl2-c7 -m comment --comment plenum-x -j PLENUM-C2-7\n" +
		"-A FORWARD -i pl2-+ -m comment --comment plenum-x -j PLENUM-F2\n-A PLENUM-C2-7 -j DROP\n"
	owned := ownedChains(listing, "plenum-x")
	if len(owned) != 2 || owned[0] != "PLENUM-C2-7" {
		t.Errorf("the owner's chains are %v", owned)
	}
	want := "*filter\n-D FORWARD -i pl2-c7 -m comment --comment plenum-x -j PLENUM-C2-7\n-F PLENUM-C2-7\n-X PLENUM-C2-7\nCOMMIT\n"
	if got := undoChains(listing, []string{"PLENUM-C2-7"}); got != want {
		t.Errorf("undone by\n%s\nnot\n%s", got, want)
	}
}

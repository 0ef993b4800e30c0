package main

import (
	"fmt"
	"mime"
	"strings"

	"github.com/pion/webrtc/v4"
)

// learning is how a client learns of relays.
type learning string

const (
	byPost learning = "post"
	byLink learning = "link"
)

// way is how media goes.
type way string

const (
	direct way = "direct"
	byUDP  way = "udp"
	byTCP  way = "tcp"
	byTLS  way = "tls"
)

// server is an ICE server as the gateway tells of it.
type server struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username"`
	Credential string   `json:"credential"`
}

// serversOf reads `Link` headers (RFC 9725 section 4.6). Links of other
// relations are passed over.
func serversOf(links []string) ([]server, error) {
	var found []server
	for _, link := range links {
		target, rest, closed := strings.Cut(strings.TrimPrefix(link, "<"), ">")
		if !closed || !strings.HasPrefix(link, "<") {
			return nil, fmt.Errorf("the link %q names nothing in angle brackets", target)
		}
		// The parameters of a link are written as those of a media type.
		_, parameters, err := mime.ParseMediaType("link/link" + rest)
		if err != nil {
			return nil, fmt.Errorf("reading the link to %s: %w", target, err)
		}
		if parameters["rel"] == "ice-server" {
			found = append(found, server{[]string{target}, parameters["username"], parameters["credential"]})
		}
	}
	return found, nil
}

// carries says whether a client that goes this way asks the relay at target.
func (w way) carries(target string) bool {
	switch w {
	case byUDP:
		return strings.HasPrefix(target, "turn:") && strings.HasSuffix(target, "?transport=udp")
	case byTCP:
		return strings.HasPrefix(target, "turn:") && strings.HasSuffix(target, "?transport=tcp")
	case byTLS:
		return strings.HasPrefix(target, "turns:")
	default:
		return false
	}
}

// configuration makes this way the only one.
func (w way) configuration(servers []server) (webrtc.Configuration, error) {
	if w == direct {
		return webrtc.Configuration{}, nil
	}
	found := webrtc.Configuration{ICETransportPolicy: webrtc.ICETransportPolicyRelay}
	for _, server := range servers {
		for _, target := range server.URLs {
			if w.carries(target) {
				found.ICEServers = append(found.ICEServers, webrtc.ICEServer{
					URLs: []string{target}, Username: server.Username, Credential: server.Credential,
				})
			}
		}
	}
	if len(found.ICEServers) == 0 {
		return found, fmt.Errorf("no relay is reached by %s: %d servers were named", w, len(servers))
	}
	return found, nil
}

package main

import (
	"path"

	"github.com/pion/webrtc/v4"
)

// report is a line of the output.
type report struct {
	// Session is its id at the media node.
	Session string `json:"session"`
	State   string `json:"state"`
	Audio   flow   `json:"audio"`
	Video   flow   `json:"video"`
	// Pair is the selected candidate pair; there is none before there is a path.
	Pair *pair `json:"pair"`
}

// flow counts one kind of media, so far.
type flow struct {
	// Packets that were received.
	Packets uint64 `json:"packets"`
	// Frames that were sent, or received whole.
	Frames uint64 `json:"frames"`
	// Made are those received ones that are as this program makes them.
	Made uint64 `json:"made"`
}

// pair is a candidate pair; bytes are those of media and DTLS.
type pair struct {
	LocalType     string `json:"localType"`
	LocalAddress  string `json:"localAddress"`
	LocalPort     int32  `json:"localPort"`
	RelayProtocol string `json:"relayProtocol"`
	BytesSent     uint64 `json:"bytesSent"`
	BytesReceived uint64 `json:"bytesReceived"`
}

func (s *session) report() report {
	return report{
		Session: path.Base(s.resource),
		State:   s.peer.ConnectionState().String(),
		Audio:   s.voice.flow(),
		Video:   s.picture.flow(),
		Pair:    s.pair(),
	}
}

func (c *counts) flow() flow {
	return flow{Packets: c.packets.Load(), Frames: c.frames.Load(), Made: c.made.Load()}
}

func (s *session) pair() *pair {
	// All media is bundled: there is one transport, which Pion hands out as that of its data channels.
	transport := s.peer.SCTP().Transport()
	selected, found := transport.ICETransport().GetSelectedCandidatePairStats()
	if !found {
		return nil
	}
	local, known := s.peer.GetStats()[selected.LocalCandidateID].(webrtc.ICECandidateStats)
	if !known {
		return nil
	}
	return &pair{
		LocalType:     local.CandidateType.String(),
		LocalAddress:  local.IP,
		LocalPort:     local.Port,
		RelayProtocol: local.RelayProtocol,
		BytesSent:     selected.BytesSent,
		BytesReceived: selected.BytesReceived,
	}
}

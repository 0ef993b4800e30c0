package main

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

// form is what the frames of one kind of media look like: a head that passes
// for the codec's, a number, and bytes that follow from the number. So whoever
// receives a frame can tell whether it is as it was sent.
type form struct {
	mime   string
	head   []byte
	length int
	every  time.Duration
}

var (
	// voice frames have Opus's first byte: CELT, full band, stereo, one frame of 20 ms (RFC 6716 section 3.1).
	voice = form{webrtc.MimeTypeOpus, []byte{0xfc}, 160, 20 * time.Millisecond}
	// picture frames begin as key frames of VP8, 320 x 240 (RFC 6386 section 9.1), and take several packets.
	picture = form{webrtc.MimeTypeVP8, []byte{0x10, 0x0c, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0}, 3_000, 50 * time.Millisecond}
)

// frame makes the frame with this number.
func (f form) frame(number uint64) []byte {
	frame := make([]byte, f.length)
	rest := frame[copy(frame, f.head):]
	binary.BigEndian.PutUint64(rest, number)
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], number)
	// It reads as much as it is asked for, and never fails.
	_, _ = rand.NewChaCha8(seed).Read(rest[8:])
	return frame
}

// made says whether frame makes this frame.
func (f form) made(frame []byte) bool {
	if len(frame) != f.length {
		return false
	}
	return bytes.Equal(frame, f.frame(binary.BigEndian.Uint64(frame[len(f.head):])))
}

// assembly puts the packets of one track together to frames.
type assembly struct {
	frame []byte
	next  uint16
	whole bool
}

// add takes the next packet. When it completes a frame of which nothing is
// missing, that is returned, and good until the next call.
func (a *assembly) add(packet *rtp.Packet, mime string) ([]byte, bool) {
	piece, begins := packet.Payload, true
	if mime == webrtc.MimeTypeVP8 {
		var descriptor codecs.VP8Packet
		rest, err := descriptor.Unmarshal(packet.Payload)
		if err != nil {
			a.whole = false
			return nil, false
		}
		piece, begins = rest, descriptor.S == 1 && descriptor.PID == 0
	}
	if begins {
		a.frame, a.whole = a.frame[:0], true
	} else if packet.SequenceNumber != a.next {
		a.whole = false
	}
	a.frame, a.next = append(a.frame, piece...), packet.SequenceNumber+1
	ends := packet.Marker || mime != webrtc.MimeTypeVP8
	return a.frame, ends && a.whole
}

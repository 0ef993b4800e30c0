package main

import (
	"slices"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

func TestAFrameIsKnownAgainAndAChangedOneIsNot(t *testing.T) {
	for _, form := range []form{voice, picture} {
		frame := form.frame(7)
		if !form.made(frame) || slices.Equal(frame, form.frame(8)) {
			t.Errorf("%s: a frame is not known again", form.mime)
		}
		for _, place := range []int{0, len(form.head), len(frame) - 1} {
			changed := slices.Clone(frame)
			changed[place] ^= 1
			if form.made(changed) {
				t.Errorf("%s: byte %d changed, and nobody noticed", form.mime, place)
			}
		}
		if form.made(frame[:len(frame)-1]) || form.made(nil) {
			t.Errorf("%s: a short frame passes", form.mime)
		}
	}
}

func TestAPictureIsPutTogetherUnlessAPieceIsMissing(t *testing.T) {
	pieces := (&codecs.VP8Payloader{EnablePictureID: true}).Payload(1_000, picture.frame(3))
	for missing := -1; missing < len(pieces); missing++ {
		var found []byte
		var whole bool
		var assembly assembly
		for at, piece := range pieces {
			if at == missing {
				continue
			}
			header := rtp.Header{SequenceNumber: uint16(65_534 + at), Marker: at == len(pieces)-1}
			found, whole = assembly.add(&rtp.Packet{Header: header, Payload: piece}, webrtc.MimeTypeVP8)
		}
		if good := missing < 0; whole != good || good && !picture.made(found) {
			t.Errorf("without piece %d of %d: whole is %t", missing, len(pieces), whole)
		}
	}
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
)

// between is the time between two reports.
const between = 200 * time.Millisecond

// role is what a client does in its room.
type role string

const (
	publish role = "publish"
	watch   role = "watch"
)

// counts are what was sent or received of one kind of media.
type counts struct {
	packets, frames, made atomic.Uint64
}

// session is a peer connection and its resource at the gateway.
type session struct {
	door     door
	resource string
	peer     *webrtc.PeerConnection
	voice    counts
	picture  counts
	failed   context.Context
	fail     context.CancelFunc
	silent   atomic.Bool
}

// open gathers candidates, makes an offer, and takes the answer.
func open(ctx context.Context, wish wish) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var servers []server
	if wish.way != direct {
		var err error
		if servers, err = wish.door.servers(ctx, wish.learn); err != nil {
			return nil, fmt.Errorf("learning of relays: %w", err)
		}
	}
	configuration, err := wish.way.configuration(servers)
	if err != nil {
		return nil, err
	}
	var settings webrtc.SettingEngine
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	peer, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(configuration)
	if err != nil {
		return nil, fmt.Errorf("making a peer connection: %w", err)
	}
	session := &session{door: wish.door, peer: peer}
	session.failed, session.fail = context.WithCancel(context.Background())
	if err := session.negotiate(ctx, wish.role); err != nil {
		return nil, errors.Join(err, session.end())
	}
	return session, nil
}

func (s *session) negotiate(ctx context.Context, role role) error {
	s.peer.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateFailed {
			s.fail()
		}
	})
	prepare := s.send
	if role == watch {
		prepare = s.receive
	}
	if err := prepare(); err != nil {
		return fmt.Errorf("preparing media: %w", err)
	}
	offer, err := s.peer.CreateOffer(nil)
	if err != nil {
		return fmt.Errorf("making an offer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(s.peer)
	if err := s.peer.SetLocalDescription(offer); err != nil {
		return fmt.Errorf("taking the own offer: %w", err)
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return fmt.Errorf("gathering candidates: %w", ctx.Err())
	}
	answer, resource, err := s.door.offer(ctx, s.peer.LocalDescription().SDP)
	if err != nil {
		return fmt.Errorf("opening a session: %w", err)
	}
	s.resource = resource
	description := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}
	if err := s.peer.SetRemoteDescription(description); err != nil {
		return fmt.Errorf("taking the answer: %w", err)
	}
	return nil
}

// send makes the tracks of a publisher.
func (s *session) send() error {
	for _, one := range []struct {
		form   form
		counts *counts
	}{{voice, &s.voice}, {picture, &s.picture}} {
		track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: one.form.mime}, one.form.mime, "foreign")
		if err != nil {
			return fmt.Errorf("making a track: %w", err)
		}
		direction := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}
		transceiver, err := s.peer.AddTransceiverFromTrack(track, direction)
		if err != nil {
			return fmt.Errorf("adding a track: %w", err)
		}
		go drain(transceiver.Sender())
		go s.play(track, one.form, one.counts)
	}
	return nil
}

// drain reads reports about what was sent: Pion answers requests for
// retransmission while they are read.
func drain(sender *webrtc.RTPSender) {
	for {
		if _, _, err := sender.ReadRTCP(); err != nil {
			return
		}
	}
}

// play writes frames to a track, in time, once there is a path, until the
// session ends or falls silent.
func (s *session) play(track *webrtc.TrackLocalStaticSample, form form, counts *counts) {
	clock := time.NewTicker(form.every)
	defer clock.Stop()
	for range clock.C {
		switch s.peer.ConnectionState() {
		case webrtc.PeerConnectionStateConnected:
		case webrtc.PeerConnectionStateClosed:
			return
		default:
			continue
		}
		if s.silent.Load() {
			continue
		}
		number := counts.frames.Load()
		if err := track.WriteSample(media.Sample{Data: form.frame(number), Duration: form.every}); err != nil {
			return
		}
		counts.frames.Add(1)
	}
}

// receive asks for one audio and one video track.
func (s *session) receive() error {
	direction := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := s.peer.AddTransceiverFromKind(kind, direction); err != nil {
			return fmt.Errorf("asking for %s: %w", kind, err)
		}
	}
	s.peer.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		form, counts := voice, &s.voice
		if track.Kind() == webrtc.RTPCodecTypeVideo {
			form, counts = picture, &s.picture
		}
		var assembly assembly
		for {
			packet, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			counts.packets.Add(1)
			if frame, whole := assembly.add(packet, form.mime); whole {
				counts.frames.Add(1)
				if form.made(frame) {
					counts.made.Add(1)
				}
			}
		}
	})
	return nil
}

// last reports until the session is to end.
func (s *session) last(ctx context.Context, wishes io.Reader, reports io.Writer) error {
	over := make(chan struct{})
	go func() {
		defer close(over)
		for lines := bufio.NewScanner(wishes); lines.Scan(); {
			s.silent.Store(true)
		}
	}()
	clock := time.NewTicker(between)
	defer clock.Stop()
	encoder := json.NewEncoder(reports)
	for {
		if err := encoder.Encode(s.report()); err != nil {
			return fmt.Errorf("reporting: %w", err)
		}
		select {
		case <-clock.C:
		case <-s.failed.Done():
			return errors.New("the connection failed")
		case <-over:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// end ends the session at the gateway, and the peer connection with its
// allocations.
func (s *session) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var refused error
	if s.resource != "" {
		refused = s.door.end(ctx, s.resource)
	}
	return errors.Join(refused, s.peer.GracefulClose())
}

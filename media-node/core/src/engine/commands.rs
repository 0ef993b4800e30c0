//! What the owner asks for: opening, changing and ending sessions.

use super::Engine;
use crate::config::{RoomKey, RoomLimits, SessionKey};
use crate::event::{CloseReason, Event};
use crate::forward;
use crate::media::publication::{AUDIO, Publication, VIDEO, bandwidth};
use crate::media::rate::Rate;
use crate::media::sent_track::{SentTrack, SentTrackSpec};
use crate::media::track::Track;
use crate::rtp::extension::MidExtension;
use crate::sdp::answer::{candidates, restart_fragment};
use crate::sdp::{AnswerSpec, Codec, Fragment, IceCredentials, MediaKind, Offer, Plan, Role, SectionAnswer, Transport};
use crate::session::{
    Answer, CHECKS_PER_TICK, Media, Patched, RESENDS_PER_TICK, Session, SessionKind, SessionSpec, Subscription, TICK,
};
use crate::session_error::SessionError;
use crate::sink::PacketSink;
use crate::transport::{TransportError, TransportSpec};
use plenum_protocol::control::IfMatch;
use plenum_protocol::flow::LegBytes;
use plenum_sansio::Random;
use std::time::Instant;

/// Random characters of a username fragment behind the engine's tag.
const UFRAG_RANDOM: usize = 12;
/// Characters of a password: more than the 128 bits that RFC 8445 wants.
const PWD_LEN: usize = 32;

/// Not zero.
fn ssrc(random: &mut Random) -> u32 {
    random.u32().max(1)
}

fn transport_error(error: &TransportError) -> SessionError {
    SessionError::Transport(error.to_string())
}

impl Engine {
    /// Opens a session: answers the offer and waits for the client's checks.
    ///
    /// # Errors
    /// [`SessionError`]; nothing is left behind.
    pub fn open_session(&mut self, now: Instant, room: RoomKey, spec: SessionSpec<'_>) -> Result<Answer, SessionError> {
        let RoomLimits { max_bitrate_kbps: max_kbps, relay_only, .. } = self.admit(room, spec)?;
        let offer = Offer::parse(spec.offer)?;
        let (role, publication) = self.role(room, spec.kind)?;
        let plan = Plan::new(&offer, role)?;
        let local = self.new_credentials()?;
        let transport = TransportSpec {
            certificate: &self.config.certificate,
            local: &local,
            remote: &offer.ice,
            remote_fingerprint: &offer.fingerprint,
        };
        let transport = self.factory.create(now, transport).map_err(|error| transport_error(&error))?;
        let slot = self.sessions.vacant_key();
        let media = match publication {
            None => Media::Publish(self.publish(now, slot, &offer, &plan, max_kbps)),
            Some(publication) => Media::Subscribe(Box::new(self.subscription(publication, &offer, &plan))),
        };
        if let Some(publication) = publication.and_then(|slot| self.publications.get_mut(slot)) {
            publication.members.push(slot);
        }
        let sdp = self.answer(&offer, &plan, &media, &local, max_kbps);
        let answer =
            Answer { sdp, etag: local.ufrag.clone(), audio: plan.audio.is_some(), video: plan.video.is_some() };
        self.demux.add_user(&local.ufrag, slot);
        self.keys.insert(spec.id, slot);
        if let Some(room) = self.rooms.get_mut(&room) {
            room.sessions.push(slot);
        }
        self.sessions.insert(Session {
            key: spec.id,
            room,
            kind: spec.kind,
            media,
            mids: plan.mids(&offer),
            local,
            remote: offer.ice,
            transport,
            sources: Vec::new(),
            nominated: None,
            relay: None,
            relay_only,
            evicted: false,
            told: None,
            secure: None,
            connected: false,
            opened: now,
            consent: now,
            round_trip: None,
            feedback_ssrc: ssrc(&mut self.random),
            checks_left: CHECKS_PER_TICK,
            received: Rate::default(),
            sent: Rate::default(),
            packets: 0,
            bytes: LegBytes::default(),
            next_tick: now + TICK,
        });
        self.arm(slot, now);
        Ok(answer)
    }

    /// Checks that a session may be opened. Returns the room's bounds.
    fn admit(&self, room: RoomKey, spec: SessionSpec<'_>) -> Result<RoomLimits, SessionError> {
        let room = self.rooms.get(&room).ok_or(SessionError::NoRoom)?;
        if self.keys.contains_key(&spec.id) {
            return Err(SessionError::SessionExists);
        }
        let room_full = room.sessions.len() >= room.limits.max_sessions as usize;
        if room_full || self.sessions.len() >= self.config.limits.max_sessions {
            return Err(SessionError::Full);
        }
        if self.outside.is_empty() || self.port == 0 {
            return Err(SessionError::NotConfigured);
        }
        Ok(room.limits)
    }

    fn role(&self, room: RoomKey, kind: SessionKind) -> Result<(Role, Option<usize>), SessionError> {
        let SessionKind::Subscribe { publication } = kind else { return Ok((Role::Publish, None)) };
        let publisher = self.keys.get(&publication).and_then(|slot| self.sessions.get(*slot));
        let publisher = publisher.filter(|session| session.room == room).ok_or(SessionError::NoPublication)?;
        let Media::Publish(slot) = publisher.media else { return Err(SessionError::NoPublication) };
        let (audio, video) = self.tracks(publisher);
        Ok((Role::Subscribe { audio, video }, Some(slot)))
    }

    fn new_credentials(&mut self) -> Result<IceCredentials, SessionError> {
        let tag: String = self.config.ufrag_tag.iter().map(|byte| char::from(*byte)).collect();
        let ufrag = tag + &self.random.text(UFRAG_RANDOM);
        Ok(IceCredentials::new(&ufrag, &self.random.text(PWD_LEN))?)
    }

    fn publish(&mut self, now: Instant, session: usize, offer: &Offer, plan: &Plan, max_kbps: u32) -> usize {
        let track = |kind, place: Option<(usize, Codec)>| {
            let (at, codec) = place?;
            Some(Track::new(kind, offer.sections.get(at)?.mid.clone(), codec, max_kbps))
        };
        let tracks = [track(MediaKind::Audio, plan.audio), track(MediaKind::Video, plan.video)];
        let mid_extension = plan.places().find_map(|(at, _)| offer.sections.get(at)?.mid_extension);
        self.publications.insert(Publication {
            session,
            tracks,
            members: Vec::new(),
            subscribers: Vec::new(),
            keyframe: Default::default(),
            bandwidth: bandwidth(max_kbps, now),
            mid_extension,
            dirty: false,
        })
    }

    fn subscription(&mut self, publication: usize, offer: &Offer, plan: &Plan) -> Subscription {
        // Never the same SSRC twice under one key: with GCM that would repeat nonces.
        let audio_ssrc = ssrc(&mut self.random);
        let video_ssrc = audio_ssrc ^ ssrc(&mut self.random);
        let mut sent = |ssrc: u32, place: Option<(usize, Codec)>| {
            let (at, codec) = place?;
            let section = offer.sections.get(at)?;
            let extension = section.mid_extension.map(|id| MidExtension::new(id, section.mid.as_bytes()));
            Some(SentTrack::new(SentTrackSpec {
                ssrc,
                payload_type: codec.payload_type,
                extension: extension.unwrap_or(MidExtension::NONE),
                random: self.random.u32(),
            }))
        };
        let tracks = [sent(audio_ssrc, plan.audio), sent(video_ssrc, plan.video)];
        Subscription { publication, tracks, resends_left: RESENDS_PER_TICK }
    }

    fn answer(&mut self, offer: &Offer, plan: &Plan, media: &Media, local: &IceCredentials, max_kbps: u32) -> String {
        let mut sections = vec![SectionAnswer::Rejected; offer.sections.len()];
        for (kind, place) in [(AUDIO, plan.audio), (VIDEO, plan.video)] {
            let Some((at, codec)) = place else { continue };
            let answer = match media {
                Media::Publish(_) => {
                    let bounded = kind == VIDEO && max_kbps > 0;
                    SectionAnswer::Receive { codec, max_kbps: bounded.then_some(max_kbps) }
                }
                Media::Subscribe(subscription) => {
                    let sent = subscription.tracks.get(kind).and_then(Option::as_ref);
                    SectionAnswer::Send { codec, ssrc: sent.map_or(0, |track| track.ssrc) }
                }
            };
            if let Some(section) = sections.get_mut(at) {
                *section = answer;
            }
        }
        let fingerprint = self.factory.fingerprint(&self.config.certificate);
        let candidates = candidates(&self.outside, self.port);
        let transport = Transport { ice: local, fingerprint: &fingerprint, candidates: &candidates };
        let session = u64::from(self.random.u32());
        AnswerSpec { offer, sections: &sections, transport, session }.write()
    }

    /// Takes a trickle fragment: candidates, or an ICE restart when its credentials are new.
    ///
    /// # Errors
    /// [`SessionError`]; the session goes on as before.
    pub fn patch_session(
        &mut self,
        now: Instant,
        session: SessionKey,
        if_match: Option<&IfMatch>,
        fragment: &str,
    ) -> Result<Patched, SessionError> {
        let slot = *self.keys.get(&session).ok_or(SessionError::NoSession)?;
        let current = self.sessions.get(slot).ok_or(SessionError::NoSession)?;
        match if_match {
            None => return Err(SessionError::PreconditionRequired),
            Some(IfMatch::Etag(etag)) if etag != current.etag() => return Err(SessionError::PreconditionFailed),
            Some(_) => {}
        }
        let fragment = Fragment::parse(fragment)?;
        match fragment.ice {
            Some(remote) if remote != current.remote => self.restart(now, slot, remote),
            _ => Ok(Patched::Trickled),
        }
    }

    /// New credentials on both sides. Media goes on over the old pair until the client nominates a new one.
    fn restart(&mut self, now: Instant, slot: usize, remote: IceCredentials) -> Result<Patched, SessionError> {
        let local = self.new_credentials()?;
        let candidates = candidates(&self.outside, self.port);
        let session = self.sessions.get_mut(slot).ok_or(SessionError::NoSession)?;
        session.transport.restart(now, &local, &remote).map_err(|error| transport_error(&error))?;
        self.demux.remove_user(&session.local.ufrag);
        self.demux.add_user(&local.ufrag, slot);
        for source in session.sources.drain(..).filter(|source| Some(*source) != session.nominated) {
            self.demux.forget_address(source, slot);
        }
        session.sources.extend(session.nominated);
        session.local = local;
        session.remote = remote;
        let mids: Vec<&str> = session.mids.iter().map(String::as_str).collect();
        let fragment = restart_fragment(&mids, &session.local, &candidates);
        Ok(Patched::Restarted { fragment, etag: session.etag().to_owned() })
    }

    /// Ends a session; says goodbye to a connected peer. No event follows for it, but subscribers of a publisher are
    /// closed with [`CloseReason::PublicationEnded`]. `false`: there is no such session.
    pub fn close_session(&mut self, now: Instant, session: SessionKey, out: &mut dyn PacketSink) -> bool {
        let Some(slot) = self.keys.get(&session).copied() else { return false };
        self.end(slot, now, None, out);
        true
    }

    /// Ends a room and its sessions, without events.
    pub fn remove_room(&mut self, now: Instant, room: RoomKey, out: &mut dyn PacketSink) {
        let Some(removed) = self.rooms.remove(&room) else { return };
        let publishes = |slot: &usize| self.sessions.get(*slot).is_some_and(|it| matches!(it.media, Media::Publish(_)));
        let (publishers, subscribers): (Vec<usize>, Vec<usize>) = removed.sessions.into_iter().partition(publishes);
        // Subscribers first: none of them is then told that its publication ended.
        for slot in subscribers.into_iter().chain(publishers) {
            self.end(slot, now, None, out);
        }
    }

    /// Removes a session and, when it publishes, its subscribers. With a reason the owner is told.
    pub(super) fn end(&mut self, slot: usize, now: Instant, reason: Option<CloseReason>, out: &mut dyn PacketSink) {
        let Some(mut session) = self.sessions.try_remove(slot) else { return };
        session.transport.close(now);
        while let Some(transmit) = session.transport.poll_transmit() {
            forward::send_raw(transmit.to, &transmit.bytes, &mut self.counters, out);
        }
        self.demux.remove_user(&session.local.ufrag);
        for address in session.sources.iter().chain(&session.nominated) {
            self.demux.forget_address(*address, slot);
        }
        self.keys.remove(&session.key);
        self.timers.remove(slot);
        if let Some(room) = self.rooms.get_mut(&session.room) {
            room.sessions.retain(|other| *other != slot);
        }
        if let Some(reason) = reason {
            self.counters.sessions_lost += 1;
            tracing::debug!(worker = self.config.worker, session = session.key.0, ?reason, "session lost");
            self.events.push_back(Event::SessionClosed { session: session.key, reason });
        }
        match session.media {
            Media::Publish(publication) => {
                let Some(publication) = self.publications.try_remove(publication) else { return };
                for member in publication.members {
                    self.end(member, now, Some(CloseReason::PublicationEnded), out);
                }
            }
            Media::Subscribe(subscription) => {
                if let Some(publication) = self.publications.get_mut(subscription.publication) {
                    publication.members.retain(|other| *other != slot);
                    publication.subscribers.retain(|other| *other != slot);
                }
            }
        }
    }
}

//! What a client does above its transport: SRTP, sending media, hearing reports.

use super::Stack;
use super::offer::{AUDIO_PT, MID_ID, VIDEO_PT};
use plenum_media_core::SessionKey;
use plenum_media_core::rtcp::{Compound, Packet, ReportBlock, SenderInfo, Writer};
use plenum_media_core::rtp::RtpHeader;
use plenum_media_core::srtp::{Opener, Profile, Sealer, split_keying_material};
use std::net::SocketAddr;
use std::time::Instant;

/// A received and decrypted media packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaPacket {
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    pub marker: bool,
    pub payload_type: u8,
    pub mid: Option<Vec<u8>>,
    pub payload: Vec<u8>,
}

/// A received and decrypted RTCP packet, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Reports(Vec<ReportBlock>),
    SenderReport(u32, SenderInfo),
    Nack(Vec<u16>),
    Pli(u32),
    MaxBitrate(u64),
}

/// One client, publisher or subscriber.
pub struct Client {
    pub key: SessionKey,
    pub address: SocketAddr,
    /// Where it sends media from and still hears, while its checks go on from `address`.
    pub old_address: Option<SocketAddr>,
    pub stack: Box<dyn Stack>,
    pub profile: Option<Profile>,
    secure: Option<(Sealer, Opener)>,
    pub media: Vec<MediaPacket>,
    pub heard: Vec<(Instant, Heard)>,
    /// Decrypted compounds as they came.
    pub compounds: Vec<Vec<u8>>,
    pub outbox: Vec<Vec<u8>>,
    /// Answer upstream NACKs.
    pub answers_nacks: bool,
    sent: Vec<(u64, Vec<u8>)>,
}

pub const AUDIO_SSRC: u32 = 0xa0a0;
pub const VIDEO_SSRC: u32 = 0xb0b0;

impl Client {
    pub fn new(key: SessionKey, address: SocketAddr, stack: Box<dyn Stack>) -> Self {
        Self {
            key,
            address,
            old_address: None,
            stack,
            profile: None,
            secure: None,
            media: Vec::new(),
            heard: Vec::new(),
            compounds: Vec::new(),
            outbox: Vec::new(),
            answers_nacks: true,
            sent: Vec::new(),
        }
    }

    pub fn hears(&self, address: SocketAddr) -> bool {
        self.address == address || self.old_address == Some(address)
    }

    pub fn is_secure(&self) -> bool {
        self.secure.is_some()
    }

    pub fn handle(&mut self, now: Instant, datagram: &mut [u8]) {
        match datagram[0] {
            128..=191 if (192..=223).contains(&datagram[1]) => self.handle_rtcp(now, datagram),
            128..=191 => self.handle_rtp(datagram),
            _ => self.stack.handle(now, datagram),
        }
        self.take_keys();
    }

    pub fn take_keys(&mut self) {
        if let Some((profile, material)) = self.stack.keys() {
            let (client, server) = split_keying_material(profile, &material).unwrap();
            self.profile = Some(profile);
            self.secure = Some((Sealer::new(profile, client).unwrap(), Opener::new(profile, server).unwrap()));
        }
    }

    fn handle_rtp(&mut self, datagram: &mut [u8]) {
        let Some((_, opener)) = &mut self.secure else { return };
        let header = RtpHeader::parse(datagram).expect("the node sends well-formed RTP");
        let (_, len) = match opener.rtp(datagram, &header) {
            Ok(opened) => opened,
            Err(plenum_media_core::srtp::OpenError::Replayed) => return,
            Err(error) => panic!("the node sends authentic RTP: {error}"),
        };
        self.media.push(MediaPacket {
            ssrc: header.ssrc,
            sequence: header.sequence,
            timestamp: header.timestamp,
            marker: header.marker,
            payload_type: header.payload_type,
            mid: header.extension(datagram, MID_ID).map(<[u8]>::to_vec),
            payload: datagram[header.len..len].to_vec(),
        });
    }

    fn handle_rtcp(&mut self, now: Instant, datagram: &mut [u8]) {
        let Some((_, opener)) = &mut self.secure else { return };
        let len = opener.rtcp(datagram).expect("the node sends authentic RTCP");
        let compound = datagram[..len].to_vec();
        for packet in Compound::new(&compound) {
            let heard = match packet.expect("the node sends well-formed RTCP") {
                Packet::ReceiverReport { reports } => Heard::Reports(reports.iter().collect()),
                Packet::SenderReport { ssrc, info, .. } => Heard::SenderReport(ssrc, info),
                Packet::Nack { lost, .. } => Heard::Nack(lost.iter().collect()),
                Packet::PictureLoss { media_ssrc } => Heard::Pli(media_ssrc),
                Packet::MaxBitrate(rate) => Heard::MaxBitrate(rate),
                _ => continue,
            };
            if let (Heard::Nack(lost), true) = (&heard, self.answers_nacks) {
                let again: Vec<u64> = lost.iter().filter_map(|sequence| self.index_of(*sequence)).collect();
                again.into_iter().for_each(|index| self.send_again(index));
            }
            self.heard.push((now, heard));
        }
        self.compounds.push(compound);
    }

    fn index_of(&self, sequence: u16) -> Option<u64> {
        self.sent.iter().rev().find(|(index, _)| *index as u16 == sequence).map(|(index, _)| *index)
    }

    /// Seals and queues an RTP packet; `index` is its extended sequence number.
    pub fn send_rtp(&mut self, video: bool, index: u64, timestamp: u32, payload: &[u8]) {
        let (ssrc, payload_type, mid) = if video { (VIDEO_SSRC, VIDEO_PT, b'1') } else { (AUDIO_SSRC, AUDIO_PT, b'0') };
        let mut packet = vec![0x90, payload_type];
        packet.extend((index as u16).to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend([0xbe, 0xde, 0, 1, MID_ID << 4, mid, 0, 0]);
        packet.extend(payload);
        if video {
            self.sent.push((index, packet.clone()));
        }
        self.seal(packet, 20, index);
    }

    pub fn send_again(&mut self, index: u64) {
        let packet = self.sent.iter().find(|(sent, _)| *sent == index).unwrap().1.clone();
        self.seal(packet, 20, index);
    }

    pub fn seal(&mut self, mut packet: Vec<u8>, header_len: usize, index: u64) {
        let (sealer, _) = self.secure.as_ref().expect("connected");
        let len = packet.len();
        packet.resize(len + 20, 0);
        let len = sealer.rtp(&mut packet, header_len, len, index).unwrap();
        packet.truncate(len);
        self.outbox.push(packet);
    }

    /// Seals and queues the compound that `build` writes.
    pub fn send_rtcp(&mut self, build: impl FnOnce(&mut Writer<'_>)) {
        let mut buffer = vec![0; 1_400];
        let mut writer = Writer::new(&mut buffer[..1_300]);
        build(&mut writer);
        let len = writer.len();
        self.send_rtcp_bytes(buffer, len);
    }

    /// Seals and queues `len` bytes of `buffer`, which has room for protection.
    pub fn send_rtcp_bytes(&mut self, mut buffer: Vec<u8>, len: usize) {
        let (sealer, _) = self.secure.as_mut().expect("connected");
        let len = sealer.rtcp(&mut buffer, len).unwrap();
        buffer.truncate(len);
        self.outbox.push(buffer);
    }

    /// Payloads of the video packets that came, in order of arrival.
    pub fn video_payloads(&self) -> Vec<Vec<u8>> {
        self.media
            .iter()
            .filter(|packet| packet.payload_type == VIDEO_PT)
            .map(|packet| packet.payload.clone())
            .collect()
    }

    pub fn plis(&self) -> usize {
        self.heard.iter().filter(|(_, heard)| matches!(heard, Heard::Pli(_))).count()
    }

    /// Sequence numbers that are missing between the lowest and highest of the video packets that came.
    pub fn missing_video(&self) -> Vec<u16> {
        let mut sequences: Vec<u16> =
            self.media.iter().filter(|packet| packet.payload_type == VIDEO_PT).map(|packet| packet.sequence).collect();
        sequences.sort_unstable();
        let (Some(first), Some(last)) = (sequences.first(), sequences.last()) else { return Vec::new() };
        (*first..=*last).filter(|sequence| sequences.binary_search(sequence).is_err()).collect()
    }
}

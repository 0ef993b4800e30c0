//! Writes answers: ICE-lite, one bundle, passive DTLS, every candidate inside, since the node never trickles.

use super::{Codec, IceCredentials, MediaKind, Offer, Section};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// Name of the one media stream towards a subscriber, and CNAME of all sources of the node.
pub const STREAM: &str = "plenum";

/// What the node's side of the transport is.
#[derive(Debug, Clone, Copy)]
pub struct Transport<'a> {
    /// The node's ICE credentials.
    pub ice: &'a IceCredentials,
    /// SHA-256 of the node's certificate.
    pub fingerprint: &'a str,
    /// Where clients reach this worker.
    pub candidates: &'a [SocketAddr],
}

/// What becomes of one section of the offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionAnswer {
    /// Not served: port 0.
    Rejected,
    /// The client sends, the node receives.
    Receive {
        /// The codec.
        codec: Codec,
        /// Bound for `b=AS` and `b=TIAS`, kbit/s; `None` says nothing.
        max_kbps: Option<u32>,
    },
    /// The node sends.
    Send {
        /// The codec.
        codec: Codec,
        /// The node's source.
        ssrc: u32,
    },
}

/// Everything that an answer is made of.
#[derive(Debug, Clone, Copy)]
pub struct AnswerSpec<'a> {
    /// The offer.
    pub offer: &'a Offer,
    /// One per section of the offer, in order.
    pub sections: &'a [SectionAnswer],
    /// The node's side.
    pub transport: Transport<'a>,
    /// Number for the `o=` line.
    pub session: u64,
}

impl AnswerSpec<'_> {
    /// The SDP text.
    #[must_use]
    pub fn write(&self) -> String {
        let mut sdp = String::with_capacity(2048);
        // Writing to a String cannot fail.
        let _infallible = self.write_to(&mut sdp);
        sdp
    }

    fn write_to(&self, sdp: &mut String) -> std::fmt::Result {
        write!(
            sdp,
            "v=0\r\no=- {} 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-lite\r\n",
            self.session & (u64::MAX >> 1)
        )?;
        write_bundle(sdp, &self.accepted())?;
        write!(sdp, "a=msid-semantic: WMS {STREAM}\r\n")?;
        for (section, answer) in self.offer.sections.iter().zip(self.sections) {
            match answer {
                SectionAnswer::Rejected => write_rejected(sdp, section)?,
                SectionAnswer::Receive { codec, .. } | SectionAnswer::Send { codec, .. } => {
                    self.write_accepted(sdp, section, *answer, *codec)?;
                }
            }
        }
        Ok(())
    }

    fn accepted(&self) -> Vec<&str> {
        let pairs = self.offer.sections.iter().zip(self.sections);
        pairs
            .filter(|(_, answer)| **answer != SectionAnswer::Rejected)
            .map(|(section, _)| section.mid.as_str())
            .collect()
    }

    fn write_accepted(
        &self,
        sdp: &mut String,
        section: &Section,
        answer: SectionAnswer,
        codec: Codec,
    ) -> std::fmt::Result {
        let (payload_type, mid) = (codec.payload_type, &section.mid);
        write!(sdp, "m={} 9 {} {payload_type}\r\nc=IN IP4 0.0.0.0\r\n", section.media, section.protocol)?;
        if let SectionAnswer::Receive { max_kbps: Some(kbps), .. } = answer {
            write!(sdp, "b=AS:{kbps}\r\nb=TIAS:{}\r\n", u64::from(kbps) * 1000)?;
        }
        write!(
            sdp,
            "a=mid:{mid}\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n",
            self.transport.ice.ufrag, self.transport.ice.pwd
        )?;
        write!(sdp, "a=ice-options:trickle\r\na=fingerprint:sha-256 {}\r\n", self.transport.fingerprint)?;
        write!(sdp, "a=setup:passive\r\na=rtcp-mux\r\n")?;
        if let Some(id) = section.mid_extension {
            write!(sdp, "a=extmap:{id} urn:ietf:params:rtp-hdrext:sdes:mid\r\n")?;
        }
        write_codec(sdp, section.kind, codec, matches!(answer, SectionAnswer::Receive { .. }))?;
        match answer {
            SectionAnswer::Send { ssrc, .. } => {
                let track = section.kind.track();
                write!(sdp, "a=sendonly\r\na=msid:{STREAM} {track}\r\na=ssrc:{ssrc} cname:{STREAM}\r\n")?;
                write!(sdp, "a=ssrc:{ssrc} msid:{STREAM} {track}\r\n")?;
            }
            _ => sdp.push_str("a=recvonly\r\n"),
        }
        write_candidates(sdp, self.transport.candidates)
    }
}

impl MediaKind {
    fn track(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Other => "other",
        }
    }
}

/// The fragment that answers an ICE restart (RFC 9725, section 4.3.3): bundle, credentials, candidates.
#[must_use]
pub fn restart_fragment(mids: &[&str], ice: &IceCredentials, candidates: &[SocketAddr]) -> String {
    let mut text = String::with_capacity(512);
    let mut write = || -> std::fmt::Result {
        text.push_str("a=ice-lite\r\na=ice-options:trickle\r\n");
        write_bundle(&mut text, mids)?;
        write!(text, "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{}\r\n", mids.first().copied().unwrap_or("0"))?;
        write!(text, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", ice.ufrag, ice.pwd)?;
        write_candidates(&mut text, candidates)
    };
    // Writing to a String cannot fail.
    let _infallible = write();
    text
}

fn write_bundle(sdp: &mut String, mids: &[&str]) -> std::fmt::Result {
    write!(sdp, "a=group:BUNDLE {}\r\n", mids.join(" "))
}

fn write_rejected(sdp: &mut String, section: &Section) -> std::fmt::Result {
    let Section { media, protocol, formats, mid, .. } = section;
    write!(sdp, "m={media} 0 {protocol} {formats}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=inactive\r\n")
}

fn write_codec(sdp: &mut String, kind: MediaKind, codec: Codec, receive: bool) -> std::fmt::Result {
    let pt = codec.payload_type;
    if kind == MediaKind::Audio {
        return write!(sdp, "a=rtpmap:{pt} opus/48000/2\r\na=fmtp:{pt} minptime=10;useinbandfec=1\r\n");
    }
    write!(sdp, "a=rtpmap:{pt} VP8/90000\r\n")?;
    // REMB towards a publisher only: a subscriber's estimate cannot be honoured while there is one layer.
    let feedback = [
        (codec.nack, "nack"),
        (codec.picture_loss, "nack pli"),
        (codec.full_intra, "ccm fir"),
        (codec.max_bitrate && receive, "goog-remb"),
    ];
    for (_, name) in feedback.iter().filter(|(offered, _)| *offered) {
        write!(sdp, "a=rtcp-fb:{pt} {name}\r\n")?;
    }
    Ok(())
}

fn write_candidates(sdp: &mut String, candidates: &[SocketAddr]) -> std::fmt::Result {
    for (number, candidate) in (1u32..).zip(candidates) {
        // RFC 8445, section 5.1.2.1: host preference 126, falling local preference, component 1.
        let priority = (126 << 24) + ((65_536 - number.min(65_535)) << 8) + 255;
        let (ip, port) = (candidate.ip(), candidate.port());
        write!(sdp, "a=candidate:{number} 1 udp {priority} {ip} {port} typ host\r\n")?;
    }
    sdp.push_str("a=end-of-candidates\r\n");
    Ok(())
}

/// The outside addresses with the worker's port.
#[must_use]
pub fn candidates(outside: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    outside.iter().map(|ip| SocketAddr::new(*ip, port)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::offer::tests::CHROMIUM;
    use super::*;

    fn answer(sections: &[SectionAnswer]) -> String {
        let offer = Offer::parse(CHROMIUM).unwrap();
        let ice = IceCredentials::new("tag0xyz", "abcdefghijklmnopqrstuvwx").unwrap();
        let candidates = ["192.0.2.7:5000".parse().unwrap(), "[2001:db8::7]:5000".parse().unwrap()];
        let transport = Transport { ice: &ice, fingerprint: "AA:BB", candidates: &candidates };
        AnswerSpec { offer: &offer, sections, transport, session: 7 }.write()
    }

    fn codec(payload_type: u8) -> Codec {
        Codec { payload_type, nack: true, picture_loss: true, full_intra: true, max_bitrate: true }
    }

    #[test]
    fn a_rejected_section_has_port_zero_and_is_not_in_the_bundle() {
        let sdp = answer(&[SectionAnswer::Rejected, SectionAnswer::Receive { codec: codec(96), max_kbps: Some(900) }]);
        assert!(sdp.contains("m=audio 0 UDP/TLS/RTP/SAVPF 111 63\r\n"));
        assert!(sdp.contains("a=group:BUNDLE 1\r\n"));
        assert!(sdp.contains("b=AS:900\r\nb=TIAS:900000\r\n"));
        assert!(sdp.contains("a=rtcp-fb:96 goog-remb\r\n") && sdp.contains("a=recvonly\r\n"));
    }

    #[test]
    fn a_subscriber_is_told_sources_and_every_candidate() {
        let send = |payload_type, ssrc| SectionAnswer::Send { codec: codec(payload_type), ssrc };
        let sdp = answer(&[send(111, 5), send(96, 6)]);
        assert!(sdp.contains("a=ssrc:5 cname:plenum\r\n") && sdp.contains("a=msid:plenum video\r\n"));
        assert!(sdp.contains("a=candidate:1 1 udp 2130706431 192.0.2.7 5000 typ host\r\n"));
        assert!(sdp.contains(" 2001:db8::7 5000 typ host\r\na=end-of-candidates\r\n"));
        assert!(!sdp.contains("goog-remb"));
        assert_eq!(sdp.matches("a=setup:passive").count(), 2);
    }

    #[test]
    fn the_parser_of_offers_reads_what_is_written() {
        let sdp = answer(&[SectionAnswer::Rejected, SectionAnswer::Send { codec: codec(96), ssrc: 6 }]);
        let sdp = sdp.replace("AA:BB", &vec!["AB"; 32].join(":"));
        let read = Offer::parse(&sdp).unwrap();
        assert!(read.sections[0].stopped && !read.sections[1].stopped);
    }

    #[test]
    fn the_restart_fragment_carries_the_new_credentials() {
        let ice = IceCredentials::new("newu", "abcdefghijklmnopqrstuvwx").unwrap();
        let text = restart_fragment(&["0", "1"], &ice, &["192.0.2.7:5000".parse().unwrap()]);
        assert_eq!(super::super::Fragment::parse(&text).unwrap().ice, Some(ice));
        assert!(text.starts_with("a=ice-lite\r\n") && text.contains("a=group:BUNDLE 0 1\r\n"));
    }
}

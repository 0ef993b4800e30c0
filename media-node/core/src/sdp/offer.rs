//! What an offer says, reduced to what the node acts on.

use super::{IceCredentials, SdpError};
use crate::rtp::extension::MAX_MID;
use plenum_protocol::control::MAX_SDP;
use rtc_sdp::{MediaDescription, SessionDescription};
use std::io::Cursor;

/// Most m= sections of an offer.
pub const MAX_SECTIONS: usize = 32;
const MID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// A parsed offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The client's ICE credentials.
    pub ice: IceCredentials,
    /// SHA-256 of the client's certificate, upper-case hex with colons.
    pub fingerprint: String,
    /// The m= sections in order.
    pub sections: Vec<Section>,
}

/// Kind of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// `m=audio`.
    Audio,
    /// `m=video`.
    Video,
    /// Anything else, data channels among it: always rejected.
    Other,
}

/// Which way a section's media goes, seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// The client sends.
    SendOnly,
    /// The client receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

/// The one codec of a section that the node forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec {
    /// Payload type of the offer.
    pub payload_type: u8,
    /// `rtcp-fb nack`.
    pub nack: bool,
    /// `rtcp-fb nack pli`.
    pub picture_loss: bool,
    /// `rtcp-fb ccm fir`.
    pub full_intra: bool,
    /// `rtcp-fb goog-remb`.
    pub max_bitrate: bool,
}

/// One m= section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Kind.
    pub kind: MediaKind,
    /// The media name of the m= line, to answer with.
    pub media: String,
    /// The protocol of the m= line, to answer with.
    pub protocol: String,
    /// The formats of the m= line, to answer a rejection with.
    pub formats: String,
    /// Port 0: the client itself rejected or stopped it.
    pub stopped: bool,
    /// Identification.
    pub mid: String,
    /// Direction.
    pub direction: Direction,
    /// Opus in audio, VP8 in video.
    pub codec: Option<Codec>,
    /// Header extension id of the MID, when offered.
    pub mid_extension: Option<u8>,
    /// `a=rtcp-mux`.
    pub rtcp_mux: bool,
    /// In the (first) BUNDLE group.
    pub bundled: bool,
    setup: Option<String>,
}

impl Offer {
    /// Parses an offer.
    ///
    /// # Errors
    /// [`SdpError`] with a text that says what to change.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > MAX_SDP {
            return Err(SdpError::TooLarge);
        }
        if text.lines().filter(|line| line.starts_with("m=")).count() > MAX_SECTIONS {
            return Err(SdpError::TooManySections);
        }
        let description = SessionDescription::unmarshal(&mut Cursor::new(text.as_bytes()))
            .map_err(|error| SdpError::Malformed(error.to_string().chars().take(200).collect()))?;
        let bundle = bundle_group(&description);
        let mut sections = Vec::with_capacity(description.media_descriptions.len());
        for media in &description.media_descriptions {
            sections.push(section(&description, media, &bundle)?);
        }
        if sections.is_empty() {
            return Err(SdpError::NothingToServe("it has no media sections"));
        }
        let mids: std::collections::BTreeSet<&str> = sections.iter().map(|section| section.mid.as_str()).collect();
        if mids.len() != sections.len() {
            return Err(SdpError::Mid);
        }
        let ufrag = attribute_anywhere(&description, "ice-ufrag").ok_or(SdpError::IceCredentials)?;
        let pwd = attribute_anywhere(&description, "ice-pwd").ok_or(SdpError::IceCredentials)?;
        Ok(Self { ice: IceCredentials::new(&ufrag, &pwd)?, fingerprint: fingerprint(&description)?, sections })
    }
}

impl Section {
    /// Checks what a section that is to be served needs beyond its codec.
    ///
    /// # Errors
    /// [`SdpError`].
    pub fn check_transport(&self) -> Result<(), SdpError> {
        if !matches!(self.protocol.as_str(), "UDP/TLS/RTP/SAVPF" | "UDP/TLS/RTP/SAVP") {
            return Err(SdpError::Protocol { mid: self.mid.clone() });
        }
        if !self.rtcp_mux {
            return Err(SdpError::RtcpMux { mid: self.mid.clone() });
        }
        match self.setup.as_deref() {
            Some("actpass" | "active") => Ok(()),
            _ => Err(SdpError::Setup),
        }
    }
}

fn section(description: &SessionDescription, media: &MediaDescription, bundle: &[String]) -> Result<Section, SdpError> {
    let name = &media.media_name;
    let kind = match name.media.as_str() {
        "audio" => MediaKind::Audio,
        "video" => MediaKind::Video,
        _ => MediaKind::Other,
    };
    let mid = value(media, "mid").unwrap_or_default().to_owned();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if mid.is_empty() || mid.len() > MAX_MID || !mid.bytes().all(allowed) {
        return Err(SdpError::Mid);
    }
    let setup = value(media, "setup").or_else(|| session_value(description, "setup"));
    Ok(Section {
        kind,
        media: name.media.clone(),
        protocol: name.protos.join("/"),
        formats: name.formats.join(" "),
        stopped: name.port.value == 0 && !bundle_only(media),
        direction: direction(description, media),
        codec: codec(media, kind),
        mid_extension: values(media, "extmap").find_map(mid_extension),
        rtcp_mux: media.has_attribute("rtcp-mux"),
        bundled: bundle.contains(&mid),
        setup: setup.map(str::to_owned),
        mid,
    })
}

/// With `a=bundle-only` port 0 does not mean rejected (RFC 9143, section 6).
fn bundle_only(media: &MediaDescription) -> bool {
    media.has_attribute("bundle-only")
}

fn value<'a>(media: &'a MediaDescription, key: &str) -> Option<&'a str> {
    media.attribute(key).flatten().map(str::trim)
}

fn values<'a>(media: &'a MediaDescription, key: &'a str) -> impl Iterator<Item = &'a str> {
    media
        .attributes
        .iter()
        .filter(move |attribute| attribute.key == key)
        .filter_map(|attribute| attribute.value.as_deref())
}

fn session_value<'a>(description: &'a SessionDescription, key: &str) -> Option<&'a str> {
    description.attribute(key).map(|value| value.trim())
}

/// From the first section that is not stopped, else from the session level: in a bundle they are all the same.
fn attribute_anywhere(description: &SessionDescription, key: &str) -> Option<String> {
    let sections = description.media_descriptions.iter();
    let found = sections.filter_map(|media| value(media, key)).next().or_else(|| session_value(description, key));
    found.map(str::to_owned)
}

fn bundle_group(description: &SessionDescription) -> Vec<String> {
    let groups = description.attributes.iter().filter(|attribute| attribute.key == "group");
    let mut bundles = groups.filter_map(|attribute| attribute.value.as_deref()?.trim().strip_prefix("BUNDLE"));
    bundles.next().map(|mids| mids.split_whitespace().map(str::to_owned).collect()).unwrap_or_default()
}

fn direction(description: &SessionDescription, media: &MediaDescription) -> Direction {
    let has = |key: &str| media.has_attribute(key);
    let session = |key: &str| description.has_attribute(key);
    let named = [
        ("sendrecv", Direction::SendRecv),
        ("sendonly", Direction::SendOnly),
        ("recvonly", Direction::RecvOnly),
        ("inactive", Direction::Inactive),
    ];
    let own = named.iter().find(|(key, _)| has(key));
    own.or_else(|| named.iter().find(|(key, _)| session(key))).map_or(Direction::SendRecv, |(_, direction)| *direction)
}

fn codec(media: &MediaDescription, kind: MediaKind) -> Option<Codec> {
    let wanted: &[&str] = match kind {
        MediaKind::Audio => &["opus/48000/2"],
        MediaKind::Video => &["vp8/90000"],
        MediaKind::Other => return None,
    };
    // The client's order of preference is that of the m= line.
    let payload_type = media.media_name.formats.iter().find_map(|format| {
        let payload_type = format.parse::<u8>().ok().filter(|number| *number < 128)?;
        let is_wanted = |map: &str| {
            let (number, name) = map.trim().split_once(' ').unwrap_or_default();
            number == format && wanted.contains(&name.trim().to_ascii_lowercase().as_str())
        };
        values(media, "rtpmap").any(is_wanted).then_some(payload_type)
    })?;
    let number = payload_type.to_string();
    let feedback = |wanted: &str| {
        values(media, "rtcp-fb").any(|line| {
            let (format, what) = line.trim().split_once(' ').unwrap_or_default();
            (format == number || format == "*") && what.trim() == wanted
        })
    };
    Some(Codec {
        payload_type,
        nack: feedback("nack"),
        picture_loss: feedback("nack pli"),
        full_intra: feedback("ccm fir"),
        max_bitrate: feedback("goog-remb"),
    })
}

fn mid_extension(extmap: &str) -> Option<u8> {
    let mut words = extmap.split_whitespace();
    let id = words.next()?.split('/').next()?.parse::<u8>().ok()?;
    (words.next()? == MID_URI && id != 0 && id != 15).then_some(id)
}

fn fingerprint(description: &SessionDescription) -> Result<String, SdpError> {
    let media = description.media_descriptions.iter().flat_map(|media| values(media, "fingerprint"));
    let session = description.attributes.iter().filter(|attribute| attribute.key == "fingerprint");
    let mut all = media.chain(session.filter_map(|attribute| attribute.value.as_deref()));
    let found = all.find_map(|line| {
        let (hash, value) = line.trim().split_once(' ')?;
        hash.eq_ignore_ascii_case("sha-256").then(|| value.trim().to_ascii_uppercase())
    });
    let is_hash = |text: &str| {
        text.split(':').count() == 32
            && text.split(':').all(|byte| byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    found.filter(|text| is_hash(text)).ok_or(SdpError::Fingerprint)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in super::super) const CHROMIUM: &str = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
a=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n\
m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
a=ice-pwd:0123456789012345678901\r\na=ice-options:trickle\r\na=fingerprint:sha-256 \
00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:ff\r\n\
a=setup:actpass\r\na=mid:0\r\na=extmap:14 urn:ietf:params:rtp-hdrext:toffset\r\n\
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=sendonly\r\na=msid:- 1\r\na=rtcp-mux\r\na=rtcp-rsize\r\n\
a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
a=rtpmap:63 red/48000/2\r\na=ssrc:1 cname:x\r\n\
m=video 9 UDP/TLS/RTP/SAVPF 102 96 97\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
a=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 \
00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
a=setup:actpass\r\na=mid:1\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=sendonly\r\na=rtcp-mux\r\n\
a=rtpmap:102 H264/90000\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 goog-remb\r\na=rtcp-fb:96 ccm fir\r\n\
a=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n";

    #[test]
    fn an_offer_of_chromium_is_understood() {
        let offer = Offer::parse(CHROMIUM).unwrap();
        assert_eq!(offer.ice.ufrag, "abcd");
        assert!(offer.fingerprint.ends_with(":EE:FF"));
        let [audio, video] = &offer.sections[..] else { panic!() };
        assert_eq!(
            (audio.kind, audio.direction, audio.mid_extension),
            (MediaKind::Audio, Direction::SendOnly, Some(4))
        );
        assert_eq!(audio.codec.unwrap().payload_type, 111);
        let codec = video.codec.unwrap();
        assert_eq!(codec.payload_type, 96);
        assert!(codec.nack && codec.picture_loss && codec.full_intra && codec.max_bitrate);
        assert!(video.bundled && video.check_transport().is_ok());
    }

    #[test]
    fn what_is_missing_is_named() {
        let without = |line: &str| Offer::parse(&CHROMIUM.replace(line, "")).map(|_| ());
        assert_eq!(without("a=ice-pwd:0123456789012345678901\r\n"), Err(SdpError::IceCredentials));
        assert_eq!(without("a=mid:1\r\n"), Err(SdpError::Mid));
        assert_eq!(Offer::parse(&CHROMIUM.replace("a=mid:1", "a=mid:0")).map(|_| ()), Err(SdpError::Mid));
        assert_eq!(Offer::parse(&CHROMIUM.replace("sha-256", "sha-1")).map(|_| ()), Err(SdpError::Fingerprint));
        assert!(matches!(Offer::parse("hello"), Err(SdpError::Malformed(_))));
        let passive = Offer::parse(&CHROMIUM.replace("actpass", "passive")).unwrap();
        assert_eq!(passive.sections[0].check_transport(), Err(SdpError::Setup));
        let unmuxed = Offer::parse(&CHROMIUM.replace("a=rtcp-mux\r\n", "")).unwrap();
        assert_eq!(unmuxed.sections[0].check_transport(), Err(SdpError::RtcpMux { mid: "0".into() }));
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(Offer::parse(&"x".repeat(MAX_SDP + 1)), Err(SdpError::TooLarge));
        let many = format!("{CHROMIUM}{}", "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n".repeat(40));
        assert_eq!(Offer::parse(&many), Err(SdpError::TooManySections));
    }

    proptest! {
        #[test]
        fn a_mutated_offer_never_panics(at in 0usize..2_000, len in 0usize..40, insert in ".{0,20}") {
            let mut text = CHROMIUM.to_owned();
            let at = at.min(text.len());
            text.replace_range(at..(at + len).min(text.len()), &insert);
            std::hint::black_box(Offer::parse(&text).is_ok());
        }
    }
}

//! Decides what becomes of each section of an offer. Pure; the same rules for WHIP and WHEP.

use super::SdpError;
use super::offer::{Codec, Direction, MediaKind, Offer, Section};

/// Which way media goes in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The client sends (WHIP): one audio and one video section are taken.
    Publish,
    /// The client receives (WHEP) a publication that has these tracks.
    Subscribe {
        /// It has audio.
        audio: bool,
        /// It has video.
        video: bool,
    },
}

/// What a session makes of an offer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Index of the audio section and its codec.
    pub audio: Option<(usize, Codec)>,
    /// Index of the video section and its codec.
    pub video: Option<(usize, Codec)>,
}

impl Plan {
    /// Plans a session.
    ///
    /// # Errors
    /// [`SdpError`]: what the offer asks for cannot be served, and why.
    pub fn new(offer: &Offer, role: Role) -> Result<Self, SdpError> {
        let wanted = |kind| match (role, kind) {
            (Role::Subscribe { audio, .. }, MediaKind::Audio) => audio,
            (Role::Subscribe { video, .. }, MediaKind::Video) => video,
            (Role::Publish, MediaKind::Audio | MediaKind::Video) => true,
            (_, MediaKind::Other) => false,
        };
        let mut plan = Self::default();
        for (at, section) in offer.sections.iter().enumerate() {
            let place = match section.kind {
                MediaKind::Audio => &mut plan.audio,
                MediaKind::Video => &mut plan.video,
                MediaKind::Other => continue,
            };
            let usable = !section.stopped && fits(section.direction, role) && wanted(section.kind);
            if usable && place.is_none() {
                *place = Some((at, served_codec(section)?));
            }
        }
        plan.check(offer, role)?;
        Ok(plan)
    }

    /// The accepted sections.
    pub fn places(&self) -> impl Iterator<Item = (usize, Codec)> {
        self.audio.into_iter().chain(self.video)
    }

    /// Mids of the accepted sections, in the order of the offer.
    #[must_use]
    pub fn mids(&self, offer: &Offer) -> Vec<String> {
        let mut places: Vec<usize> = self.places().map(|(at, _)| at).collect();
        places.sort_unstable();
        places.into_iter().filter_map(|at| Some(offer.sections.get(at)?.mid.clone())).collect()
    }

    fn check(&self, offer: &Offer, role: Role) -> Result<(), SdpError> {
        match (self.audio, self.video) {
            (None, None) => Err(SdpError::NothingToServe(match role {
                Role::Publish => "a publisher offers a sendonly or sendrecv audio or video section",
                Role::Subscribe { .. } => {
                    "a subscriber offers a recvonly or sendrecv section of a kind that the publication has"
                }
            })),
            (Some((_, audio)), Some((_, video))) if audio.payload_type == video.payload_type => {
                Err(SdpError::PayloadTypes)
            }
            (Some((audio, _)), Some((video, _))) => {
                let bundled = |at: usize| offer.sections.get(at).is_some_and(|section| section.bundled);
                if bundled(audio) && bundled(video) { Ok(()) } else { Err(SdpError::Bundle) }
            }
            _ => Ok(()),
        }
    }
}

fn fits(direction: Direction, role: Role) -> bool {
    match role {
        Role::Publish => matches!(direction, Direction::SendOnly | Direction::SendRecv),
        Role::Subscribe { .. } => matches!(direction, Direction::RecvOnly | Direction::SendRecv),
    }
}

fn served_codec(section: &Section) -> Result<Codec, SdpError> {
    section.check_transport()?;
    section.codec.ok_or_else(|| match section.kind {
        MediaKind::Audio => SdpError::NoOpus { mid: section.mid.clone() },
        _ => SdpError::NoVp8 { mid: section.mid.clone() },
    })
}

#[cfg(test)]
mod tests {
    use super::super::offer::tests::CHROMIUM;
    use super::*;

    fn plan(sdp: &str, role: Role) -> Result<Plan, SdpError> {
        Plan::new(&Offer::parse(sdp).unwrap(), role)
    }

    const BOTH: Role = Role::Subscribe { audio: true, video: true };

    #[test]
    fn a_publisher_gets_one_section_of_each_kind() {
        let extra = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=sendonly\r\na=rtpmap:96 VP8/90000\r\n\
                     m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:3\r\n";
        let plan = plan(&format!("{CHROMIUM}{extra}"), Role::Publish).unwrap();
        assert_eq!((plan.audio.unwrap().0, plan.video.unwrap().0), (0, 1));
    }

    #[test]
    fn a_subscriber_gets_what_the_publication_has() {
        let receive = CHROMIUM.replace("a=sendonly", "a=recvonly");
        let plan_of = |audio, video| plan(&receive, Role::Subscribe { audio, video });
        let only_audio = plan_of(true, false).unwrap();
        assert!(only_audio.audio.is_some() && only_audio.video.is_none());
        assert!(matches!(plan_of(false, false), Err(SdpError::NothingToServe(_))));
        assert!(matches!(plan(CHROMIUM, BOTH), Err(SdpError::NothingToServe(_))));
    }

    #[test]
    fn a_section_that_is_meant_to_be_served_but_cannot_be_is_an_error() {
        let h264 = CHROMIUM.replace("VP8/90000", "H265/90000");
        assert_eq!(plan(&h264, Role::Publish), Err(SdpError::NoVp8 { mid: "1".into() }));
        let pcm = CHROMIUM.replace("opus/48000/2", "PCMU/8000");
        assert_eq!(plan(&pcm, Role::Publish), Err(SdpError::NoOpus { mid: "0".into() }));
        let apart = CHROMIUM.replace("BUNDLE 0 1", "BUNDLE 0");
        assert_eq!(plan(&apart, Role::Publish), Err(SdpError::Bundle));
    }
}

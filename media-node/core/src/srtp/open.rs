//! The receiving direction: index estimate, replay protection, authentication, decryption.

use super::cipher::{Cipher, GCM_TAG, Purpose, SHA1_TAG};
use super::{KeyError, Master, Profile, ReplayWindow};
use crate::rtp::RtpHeader;
use plenum_sansio::wire::{array_at, put, u32_at};

/// Most sources per direction of a session, for RTP and RTCP each.
const MAX_SSRCS: usize = 16;

/// Why a packet is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short for its profile.
    #[error("the packet is too short")]
    Malformed,
    /// The tag does not match.
    #[error("the packet is not authentic")]
    Unauthenticated,
    /// Seen before, or older than the window.
    #[error("the packet is a replay")]
    Replayed,
    /// An authentic packet of one source too many.
    #[error("the session has too many sources")]
    TooManySsrcs,
}

struct Source {
    ssrc: u32,
    window: ReplayWindow,
}

/// Removes the protection of one peer's packets. State is only kept for sources that sent an authentic packet.
pub struct Opener {
    rtp: Cipher,
    rtcp: Cipher,
    rtp_sources: Vec<Source>,
    rtcp_sources: Vec<Source>,
}

impl Opener {
    /// Derives the session keys.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn new(profile: Profile, master: Master<'_>) -> Result<Self, KeyError> {
        Ok(Self {
            rtp: Cipher::new(profile, master, Purpose::Rtp)?,
            rtcp: Cipher::new(profile, master, Purpose::Rtcp)?,
            rtp_sources: Vec::with_capacity(MAX_SSRCS),
            rtcp_sources: Vec::with_capacity(MAX_SSRCS),
        })
    }

    /// Decrypts the payload of an SRTP packet in place. Returns the packet's index (roll-over counter and sequence
    /// number) and the length of header and payload together.
    ///
    /// # Errors
    /// [`OpenError`]: count and drop.
    pub fn rtp(&mut self, packet: &mut [u8], header: &RtpHeader) -> Result<(u64, usize), OpenError> {
        let highest = highest(&self.rtp_sources, header.ssrc);
        let index = estimate_index(highest, header.sequence).ok_or(OpenError::Replayed)?;
        check_fresh(&self.rtp_sources, header.ssrc, index)?;
        let len = match &self.rtp {
            Cipher::Gcm(gcm) => {
                let (aad, body) = packet.split_at_mut_checked(header.len).ok_or(OpenError::Malformed)?;
                if body.len() < GCM_TAG {
                    return Err(OpenError::Malformed);
                }
                header.len + gcm.open(header.ssrc, index, aad, body).ok_or(OpenError::Unauthenticated)?
            }
            Cipher::CmSha1(cm) => {
                let end = packet.len().checked_sub(SHA1_TAG).filter(|end| *end >= header.len);
                let (body, tag) = packet.split_at_mut(end.ok_or(OpenError::Malformed)?);
                let roc = u32::try_from(index >> 16 & 0xffff_ffff).map_err(|_| OpenError::Malformed)?;
                if !cm.verify([body, &roc.to_be_bytes()], tag) {
                    return Err(OpenError::Unauthenticated);
                }
                let payload = body.get_mut(header.len..).ok_or(OpenError::Malformed)?;
                cm.crypt(header.ssrc, index, payload).ok_or(OpenError::Unauthenticated)?;
                body.len()
            }
        };
        accept(&mut self.rtp_sources, header.ssrc, index)?;
        Ok((index, len))
    }

    /// Decrypts an SRTCP packet in place; the plaintext is the first `len` bytes, `len` being returned.
    ///
    /// # Errors
    /// [`OpenError`]: count and drop.
    pub fn rtcp(&mut self, packet: &mut [u8]) -> Result<usize, OpenError> {
        let ssrc = u32_at(packet, 4).ok_or(OpenError::Malformed)?;
        match &self.rtcp {
            Cipher::Gcm(gcm) => {
                let end = packet.len().checked_sub(4).filter(|end| *end >= 8 + GCM_TAG);
                let (front, word) = packet.split_at_mut(end.ok_or(OpenError::Malformed)?);
                let index = encrypted_index(word)?;
                check_fresh(&self.rtcp_sources, ssrc, index)?;
                let (header, body) = front.split_at_mut(8);
                let mut aad = [0; 12];
                put(&mut aad, 0, header).ok_or(OpenError::Malformed)?;
                put(&mut aad, 8, word).ok_or(OpenError::Malformed)?;
                let len = 8 + gcm.open(ssrc, index, &aad, body).ok_or(OpenError::Unauthenticated)?;
                accept(&mut self.rtcp_sources, ssrc, index)?;
                Ok(len)
            }
            Cipher::CmSha1(cm) => {
                let end = packet.len().checked_sub(SHA1_TAG + 4).filter(|end| *end >= 8);
                let (front, trailer) = packet.split_at_mut(end.ok_or(OpenError::Malformed)?);
                let (word, tag) = trailer.split_at_mut(4);
                let index = encrypted_index(word)?;
                check_fresh(&self.rtcp_sources, ssrc, index)?;
                if !cm.verify([front, word], tag) {
                    return Err(OpenError::Unauthenticated);
                }
                let body = front.get_mut(8..).ok_or(OpenError::Malformed)?;
                cm.crypt(ssrc, index, body).ok_or(OpenError::Unauthenticated)?;
                accept(&mut self.rtcp_sources, ssrc, index)?;
                Ok(front.len())
            }
        }
    }
}

/// SRTCP packets must be encrypted: both profiles demand it here.
fn encrypted_index(word: &[u8]) -> Result<u64, OpenError> {
    let word = u32::from_be_bytes(array_at(word, 0).ok_or(OpenError::Malformed)?);
    if word >> 31 == 0 {
        return Err(OpenError::Unauthenticated);
    }
    Ok(u64::from(word & 0x7fff_ffff))
}

/// RFC 3711, appendix A: the index nearest to the highest one seen. `None` when it would lie before the first.
fn estimate_index(highest: Option<u64>, sequence: u16) -> Option<u64> {
    let Some(highest) = highest else { return Some(u64::from(sequence)) };
    let roc = highest >> 16;
    let last = i32::from(highest as u16);
    let distance = i32::from(sequence) - last;
    let roc = if distance < -0x8000 {
        roc + 1
    } else if distance > 0x8000 {
        roc.checked_sub(1)?
    } else {
        roc
    };
    Some(roc << 16 | u64::from(sequence))
}

fn find(sources: &[Source], ssrc: u32) -> Option<&Source> {
    sources.iter().find(|source| source.ssrc == ssrc)
}

fn highest(sources: &[Source], ssrc: u32) -> Option<u64> {
    find(sources, ssrc)?.window.highest()
}

fn check_fresh(sources: &[Source], ssrc: u32, index: u64) -> Result<(), OpenError> {
    match find(sources, ssrc) {
        Some(source) if !source.window.is_fresh(index) => Err(OpenError::Replayed),
        _ => Ok(()),
    }
}

fn accept(sources: &mut Vec<Source>, ssrc: u32, index: u64) -> Result<(), OpenError> {
    if let Some(source) = sources.iter_mut().find(|source| source.ssrc == ssrc) {
        source.window.accept(index);
        return Ok(());
    }
    if sources.len() >= MAX_SSRCS {
        return Err(OpenError::TooManySsrcs);
    }
    let mut window = ReplayWindow::default();
    window.accept(index);
    sources.push(Source { ssrc, window });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Sealer, split_keying_material};
    use super::*;
    use proptest::prelude::*;

    fn pair(profile: Profile) -> (Sealer, Opener) {
        let material: Vec<u8> = (0..profile.keying_material_len()).map(|i| i as u8).collect();
        let (client, _) = split_keying_material(profile, &material).unwrap();
        (Sealer::new(profile, client).unwrap(), Opener::new(profile, client).unwrap())
    }

    fn rtp_packet(sequence: u16, ssrc: u32, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x80, 96];
        packet.extend(sequence.to_be_bytes());
        packet.extend([0, 0, 0, 1]);
        packet.extend(ssrc.to_be_bytes());
        packet.extend(payload);
        packet
    }

    fn sealed(sealer: &Sealer, index: u64, payload: &[u8]) -> Vec<u8> {
        let mut packet = rtp_packet(index as u16, 7, payload);
        let len = packet.len();
        packet.resize(len + 20, 0);
        let len = sealer.rtp(&mut packet, 12, len, index).unwrap();
        packet.truncate(len);
        packet
    }

    const BOTH: [Profile; 2] = [Profile::AeadAes128Gcm, Profile::Aes128CmSha1];

    #[test]
    fn a_sealed_packet_opens_once_and_across_the_roll_over() {
        for profile in BOTH {
            let (sealer, mut opener) = pair(profile);
            for index in [65_534u64, 65_535, 65_536, 65_537] {
                let mut packet = sealed(&sealer, index, b"payload");
                let header = RtpHeader::parse(&packet).unwrap();
                assert_eq!(opener.rtp(&mut packet, &header), Ok((index, 19)), "{profile:?} {index}");
                assert_eq!(&packet[12..19], b"payload");
                let mut again = sealed(&sealer, index, b"payload");
                assert_eq!(opener.rtp(&mut again, &header), Err(OpenError::Replayed));
            }
            let mut late = sealed(&sealer, 65_000, b"late");
            let header = RtpHeader::parse(&late).unwrap();
            assert_eq!(opener.rtp(&mut late, &header), Ok((65_000, 16)));
        }
    }

    #[test]
    fn a_flipped_bit_is_refused_and_leaves_no_state() {
        for profile in BOTH {
            let (sealer, mut opener) = pair(profile);
            let packet = sealed(&sealer, 9, b"payload");
            for at in 2..packet.len() {
                let mut bad = packet.clone();
                bad[at] ^= 1;
                let header = RtpHeader::parse(&bad).unwrap();
                assert_eq!(opener.rtp(&mut bad, &header), Err(OpenError::Unauthenticated), "{profile:?} byte {at}");
            }
            assert!(opener.rtp_sources.is_empty());
        }
    }

    #[test]
    fn rtcp_opens_once_and_unencrypted_rtcp_is_refused() {
        for profile in BOTH {
            let (mut sealer, mut opener) = pair(profile);
            let mut packet = vec![0x80, 201, 0, 1, 0, 0, 0, 9];
            packet.extend([0x81, 206, 0, 2, 0, 0, 0, 9, 0, 0, 0, 8]);
            let plain = packet.clone();
            packet.resize(60, 0);
            let len = sealer.rtcp(&mut packet, plain.len()).unwrap();
            packet.truncate(len);
            let mut replay = packet.clone();
            assert_eq!(opener.rtcp(&mut packet), Ok(plain.len()));
            assert_eq!(&packet[..plain.len()], &plain[..]);
            assert_eq!(opener.rtcp(&mut replay), Err(OpenError::Replayed));
            let mut bare = plain.clone();
            bare.extend([0; 20]);
            assert!(opener.rtcp(&mut bare).is_err());
        }
    }

    #[test]
    fn sources_are_bounded() {
        let (sealer, mut opener) = pair(Profile::AeadAes128Gcm);
        for ssrc in 0..20u32 {
            let mut packet = rtp_packet(1, ssrc, b"x");
            packet.resize(40, 0);
            let len = sealer.rtp(&mut packet, 12, 13, 1).unwrap();
            packet.truncate(len);
            let header = RtpHeader::parse(&packet).unwrap();
            assert_eq!(opener.rtp(&mut packet, &header).is_ok(), ssrc < 16);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_open(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), gcm in any::<bool>()) {
            let (_, mut opener) = pair(if gcm { Profile::AeadAes128Gcm } else { Profile::Aes128CmSha1 });
            prop_assert!(opener.rtcp(&mut bytes.clone()).is_err());
            if let Some(header) = RtpHeader::parse(&bytes) {
                prop_assert!(opener.rtp(&mut bytes, &header).is_err());
            }
        }
    }
}

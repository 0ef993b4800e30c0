//! The sending direction.

use super::cipher::{Cipher, Purpose};
use super::{KeyError, Master, Profile};
use plenum_sansio::wire::{put, u32_at};

/// Highest SRTCP index (31 bits).
const MAX_RTCP_INDEX: u32 = 0x7fff_ffff;
/// Set in the SRTCP index word when the packet is encrypted.
const ENCRYPTED: u32 = 0x8000_0000;

/// Protects packets with one set of session keys.
pub struct Sealer {
    profile: Profile,
    rtp: Cipher,
    rtcp: Cipher,
    rtcp_index: u32,
}

impl Sealer {
    /// Derives the session keys.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn new(profile: Profile, master: Master<'_>) -> Result<Self, KeyError> {
        let rtp = Cipher::new(profile, master, Purpose::Rtp)?;
        let rtcp = Cipher::new(profile, master, Purpose::Rtcp)?;
        Ok(Self { profile, rtp, rtcp, rtcp_index: 0 })
    }

    /// What [`Sealer::rtp`] adds, in bytes.
    #[must_use]
    pub fn rtp_overhead(&self) -> usize {
        self.profile.rtp_overhead()
    }

    /// Seals an RTP packet in place: `buffer` holds header and payload, `len` bytes in all, and room behind them.
    /// `index` is roll-over counter and sequence number (48 bits). The same `(ssrc, index)` must only ever be used
    /// with the same plaintext. Returns the new length, `None` when it does not fit.
    pub fn rtp(&self, buffer: &mut [u8], header_len: usize, len: usize, index: u64) -> Option<usize> {
        let (packet, room) = buffer.split_at_mut_checked(len)?;
        let ssrc = u32_at(packet, 8)?;
        match &self.rtp {
            Cipher::Gcm(gcm) => {
                let (header, body) = packet.split_at_mut_checked(header_len)?;
                let tag = gcm.seal(ssrc, index, header, body)?;
                put(room, 0, &tag)?;
                Some(len + tag.len())
            }
            Cipher::CmSha1(cm) => {
                cm.crypt(ssrc, index, packet.get_mut(header_len..)?)?;
                let roc = u32::try_from(index >> 16 & 0xffff_ffff).ok()?;
                let tag = cm.tag([packet, &roc.to_be_bytes()]);
                put(room, 0, &tag)?;
                Some(len + tag.len())
            }
        }
    }

    /// Seals an RTCP compound in place, under the next index. Returns the new length, `None` when it does not fit
    /// or the indices are used up.
    pub fn rtcp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        if self.rtcp_index >= MAX_RTCP_INDEX {
            return None;
        }
        self.rtcp_index += 1;
        let index = u64::from(self.rtcp_index);
        let word = (self.rtcp_index | ENCRYPTED).to_be_bytes();
        let (packet, room) = buffer.split_at_mut_checked(len)?;
        let ssrc = u32_at(packet, 4)?;
        match &self.rtcp {
            Cipher::Gcm(gcm) => {
                let (header, body) = packet.split_at_mut_checked(8)?;
                let mut aad = [0; 12];
                put(&mut aad, 0, header)?;
                put(&mut aad, 8, &word)?;
                let tag = gcm.seal(ssrc, index, &aad, body)?;
                put(room, 0, &tag)?;
                put(room, tag.len(), &word)?;
                Some(len + tag.len() + word.len())
            }
            Cipher::CmSha1(cm) => {
                cm.crypt(ssrc, index, packet.get_mut(8..)?)?;
                let tag = cm.tag([packet, &word]);
                put(room, 0, &word)?;
                put(room, word.len(), &tag)?;
                Some(len + tag.len() + word.len())
            }
        }
    }
}

//! SRTP and SRTCP (RFC 3711, RFC 7714), in place and without allocation per packet.
//!
//! [`Opener`] is the receiving direction, [`Sealer`] the sending one. Neither knows what the packets mean.

mod cipher;
mod key_derivation;
mod open;
mod replay;
mod seal;

pub use open::{OpenError, Opener};
pub use replay::ReplayWindow;
pub use seal::Sealer;

/// Most bytes that sealing adds to an RTP or RTCP packet.
pub const MAX_OVERHEAD: usize = 20;

/// The protection profiles that this node speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// `AEAD_AES_128_GCM`: preferred, five times cheaper.
    AeadAes128Gcm,
    /// `AES128_CM_HMAC_SHA1_80`: every client has it.
    Aes128CmSha1,
}

impl Profile {
    /// Length of the master key in bytes.
    #[must_use]
    pub fn key_len(self) -> usize {
        16
    }

    /// Length of the master salt in bytes.
    #[must_use]
    pub fn salt_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm => 12,
            Self::Aes128CmSha1 => 14,
        }
    }

    /// Length of the keying material that DTLS exports (RFC 5764, section 4.2), in bytes.
    #[must_use]
    pub fn keying_material_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }

    /// What sealing adds to an RTP packet, in bytes.
    #[must_use]
    pub fn rtp_overhead(self) -> usize {
        match self {
            Self::AeadAes128Gcm => 16,
            Self::Aes128CmSha1 => 10,
        }
    }
}

/// A key could not be made from the keying material.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the SRTP keying material does not fit its profile")]
pub struct KeyError;

/// Master key and salt of one direction.
#[derive(Clone, Copy)]
pub struct Master<'a> {
    /// Master key.
    pub key: &'a [u8],
    /// Master salt.
    pub salt: &'a [u8],
}

/// Splits exported keying material into the client's and the server's master (RFC 5764, section 4.2).
///
/// # Errors
/// [`KeyError`] when the length is not that of the profile.
pub fn split_keying_material(profile: Profile, material: &[u8]) -> Result<(Master<'_>, Master<'_>), KeyError> {
    if material.len() != profile.keying_material_len() {
        return Err(KeyError);
    }
    let mut rest = material;
    let mut next = |len| plenum_sansio::wire::take(&mut rest, len).ok_or(KeyError);
    let client_key = next(profile.key_len())?;
    let server_key = next(profile.key_len())?;
    let client_salt = next(profile.salt_len())?;
    let server_salt = next(profile.salt_len())?;
    Ok((Master { key: client_key, salt: client_salt }, Master { key: server_key, salt: server_salt }))
}

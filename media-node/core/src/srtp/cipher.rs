//! The two ciphers with their session keys. Packet layout is the business of `open` and `seal`.

use super::key_derivation::{Label, derive};
use super::{KeyError, Master, Profile};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;

/// Length of the GCM tag.
pub(super) const GCM_TAG: usize = 16;
/// Length of the truncated HMAC-SHA1 tag.
pub(super) const SHA1_TAG: usize = 10;

/// Session keys of one direction, for RTP or for RTCP.
pub(super) enum Cipher {
    Gcm(Gcm),
    CmSha1(Box<CmSha1>),
}

/// Which session keys to derive.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Rtp,
    Rtcp,
}

impl Cipher {
    pub(super) fn new(profile: Profile, master: Master<'_>, purpose: Purpose) -> Result<Self, KeyError> {
        let (key, auth, salt) = match purpose {
            Purpose::Rtp => (Label::RtpKey, Label::RtpAuth, Label::RtpSalt),
            Purpose::Rtcp => (Label::RtcpKey, Label::RtcpAuth, Label::RtcpSalt),
        };
        let key: [u8; 16] = derive(master, key)?;
        match profile {
            Profile::AeadAes128Gcm => {
                let key = UnboundKey::new(&AES_128_GCM, &key).map_err(|_| KeyError)?;
                Ok(Self::Gcm(Gcm { key: LessSafeKey::new(key), salt: derive(master, salt)? }))
            }
            Profile::Aes128CmSha1 => {
                let key = UnboundCipherKey::new(&AES_128, &key).map_err(|_| KeyError)?;
                let auth: [u8; 20] = derive(master, auth)?;
                Ok(Self::CmSha1(Box::new(CmSha1 {
                    key: EncryptingKey::ctr(key).map_err(|_| KeyError)?,
                    auth: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &auth),
                    salt: derive(master, salt)?,
                })))
            }
        }
    }
}

/// AES-128-GCM (RFC 7714).
pub(super) struct Gcm {
    key: LessSafeKey,
    salt: [u8; 12],
}

impl Gcm {
    /// RFC 7714, sections 8.1 and 9.1: `index` is ROC and sequence number, or the SRTCP index.
    fn nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let [_, _, i0, i1, i2, i3, i4, i5] = index.to_be_bytes();
        let [s0, s1, s2, s3] = ssrc.to_be_bytes();
        let mut nonce = [0, 0, s0, s1, s2, s3, i0, i1, i2, i3, i4, i5];
        for (byte, salt) in nonce.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        Nonce::assume_unique_for_key(nonce)
    }

    /// Encrypts `body` in place and returns the tag.
    pub(super) fn seal(&self, ssrc: u32, index: u64, aad: &[u8], body: &mut [u8]) -> Option<[u8; GCM_TAG]> {
        let tag = self.key.seal_in_place_separate_tag(self.nonce(ssrc, index), Aad::from(aad), body).ok()?;
        tag.as_ref().try_into().ok()
    }

    /// Decrypts `body` (ciphertext and tag) in place; the plaintext is its front.
    pub(super) fn open(&self, ssrc: u32, index: u64, aad: &[u8], body: &mut [u8]) -> Option<usize> {
        let plain = self.key.open_in_place(self.nonce(ssrc, index), Aad::from(aad), body).ok()?;
        Some(plain.len())
    }
}

/// AES-128 in counter mode with HMAC-SHA1 (RFC 3711).
pub(super) struct CmSha1 {
    key: EncryptingKey,
    auth: hmac::Key,
    salt: [u8; 14],
}

impl CmSha1 {
    /// Encrypts or decrypts `body` in place (RFC 3711, section 4.1.1).
    pub(super) fn crypt(&self, ssrc: u32, index: u64, body: &mut [u8]) -> Option<()> {
        let block = u128::from(ssrc) << 64 | u128::from(index) << 16;
        let mut iv = block.to_be_bytes();
        for (byte, salt) in iv.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        self.key.less_safe_encrypt(body, EncryptionContext::Iv128(FixedLength::from(iv))).ok()?;
        Some(())
    }

    /// The tag over `parts` in a row.
    pub(super) fn tag(&self, parts: [&[u8]; 2]) -> [u8; SHA1_TAG] {
        let mut context = hmac::Context::with_key(&self.auth);
        for part in parts {
            context.update(part);
        }
        let mut tag = [0; SHA1_TAG];
        for (to, from) in tag.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        tag
    }

    /// Compares in constant time.
    pub(super) fn verify(&self, parts: [&[u8]; 2], tag: &[u8]) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.tag(parts), tag).is_ok()
    }
}

//! Session keys from a master key and salt: the AES-CM PRF of RFC 3711, section 4.3.

use super::{KeyError, Master};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

/// What a derived key is for (RFC 3711, section 4.3.1 and 4.3.2).
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Label {
    RtpKey = 0,
    RtpAuth = 1,
    RtpSalt = 2,
    RtcpKey = 3,
    RtcpAuth = 4,
    RtcpSalt = 5,
}

/// Derives `N` bytes. A 12-byte salt (RFC 7714) is padded with zeros on the right.
pub(super) fn derive<const N: usize>(master: Master<'_>, label: Label) -> Result<[u8; N], KeyError> {
    let mut iv = [0u8; 16];
    plenum_sansio::wire::put(&mut iv, 0, master.salt).ok_or(KeyError)?;
    iv[7] ^= label as u8;
    let key = UnboundCipherKey::new(&AES_128, master.key).map_err(|_| KeyError)?;
    let key = EncryptingKey::ctr(key).map_err(|_| KeyError)?;
    let mut out = [0u8; N];
    key.less_safe_encrypt(&mut out, EncryptionContext::Iv128(FixedLength::from(iv))).map_err(|_| KeyError)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        let mut out = [0; N];
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap();
        }
        out
    }

    #[test]
    fn the_test_vectors_of_rfc_3711_appendix_b3_hold() {
        let key: [u8; 16] = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
        let salt: [u8; 14] = hex("0EC675AD498AFEEBB6960B3AABE6");
        let master = Master { key: &key, salt: &salt };
        assert_eq!(derive::<16>(master, Label::RtpKey).unwrap(), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(derive::<14>(master, Label::RtpSalt).unwrap(), hex("30CBBC08863D8C85D49DB34A9AE1"));
        let auth: [u8; 20] = hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4");
        assert_eq!(derive::<20>(master, Label::RtpAuth).unwrap(), auth);
    }
}

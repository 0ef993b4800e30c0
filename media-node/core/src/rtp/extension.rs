//! Header extension elements in one-byte and two-byte form (RFC 8285).

use plenum_sansio::wire::take;

/// Profile of the one-byte form.
pub const ONE_BYTE: u16 = 0xbede;
/// Profile of the two-byte form; the low four bits are free.
pub const TWO_BYTE: u16 = 0x1000;
/// Longest MID that is taken, in bytes: fits both forms.
pub const MAX_MID: usize = 16;

/// The element `id` among `elements` of an extension with `profile`.
#[must_use]
pub fn find(profile: u16, elements: &[u8], id: u8) -> Option<&[u8]> {
    let one_byte = profile == ONE_BYTE;
    if !one_byte && profile & 0xfff0 != TWO_BYTE {
        return None;
    }
    let mut rest = elements;
    while let Some(&[first]) = take(&mut rest, 1) {
        if first == 0 {
            continue;
        }
        let (element, len) = if one_byte {
            (first >> 4, usize::from(first & 0x0f) + 1)
        } else {
            (first, usize::from(*take(&mut rest, 1)?.first()?))
        };
        if one_byte && element == 15 {
            return None;
        }
        let value = take(&mut rest, len)?;
        if element == id {
            return Some(value);
        }
    }
    None
}

/// A header extension that holds the MID and nothing else: the same bytes in every packet of a track, so that a
/// resend is bit-exact and packets of one size stay one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MidExtension {
    bytes: [u8; 24],
    len: usize,
}

impl MidExtension {
    /// No extension at all.
    pub const NONE: Self = Self { bytes: [0; 24], len: 0 };

    /// The extension for `mid` under the negotiated `id`, or none when either is out of range.
    #[must_use]
    pub fn new(id: u8, mid: &[u8]) -> Self {
        if id == 0 || mid.is_empty() || mid.len() > MAX_MID {
            return Self::NONE;
        }
        let one_byte = id < 15;
        let profile = if one_byte { ONE_BYTE } else { TWO_BYTE };
        let size = u8::try_from(mid.len()).unwrap_or(0);
        let head: &[u8] = if one_byte { &[id << 4 | (size - 1)] } else { &[id, size] };
        let words = (head.len() + mid.len()).div_ceil(4);
        let [high, low] = profile.to_be_bytes();
        let all = [high, low, 0, u8::try_from(words).unwrap_or(0)].into_iter();
        let mut bytes = [0; 24];
        for (to, from) in bytes.iter_mut().zip(all.chain(head.iter().copied()).chain(mid.iter().copied())) {
            *to = from;
        }
        Self { bytes, len: 4 + 4 * words }
    }

    /// The bytes that follow the fixed header.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// What to OR into the first header byte.
    #[must_use]
    pub fn header_bit(&self) -> u8 {
        if self.len == 0 { 0 } else { 0x10 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mid_is_found_again_in_both_forms() {
        for (id, mid) in [(1u8, "0"), (14, "audio"), (15, "v"), (200, "abcdefghijklmnop")] {
            let extension = MidExtension::new(id, mid.as_bytes());
            let bytes = extension.as_bytes();
            assert_eq!(bytes.len() % 4, 0);
            let profile = u16::from_be_bytes([bytes[0], bytes[1]]);
            assert_eq!(usize::from(bytes[3]) * 4 + 4, bytes.len());
            assert_eq!(find(profile, &bytes[4..], id), Some(mid.as_bytes()), "id {id}");
        }
    }

    #[test]
    fn an_unusable_id_or_mid_means_no_extension() {
        assert_eq!(MidExtension::new(0, b"0"), MidExtension::NONE);
        assert_eq!(MidExtension::new(1, b""), MidExtension::NONE);
        assert_eq!(MidExtension::new(1, &[b'x'; 17]), MidExtension::NONE);
        assert_eq!(MidExtension::NONE.header_bit(), 0);
    }

    #[test]
    fn an_element_that_runs_over_the_end_is_not_found() {
        assert_eq!(find(ONE_BYTE, &[0x1f, 1, 2], 1), None);
        assert_eq!(find(TWO_BYTE, &[1, 9, 0], 1), None);
        assert_eq!(find(0x1234, &[0x10, 1], 1), None);
    }
}

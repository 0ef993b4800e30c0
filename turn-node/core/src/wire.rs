//! Bounded big-endian reads and writes: every access is checked, a short buffer is `None`.

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_be_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_be_bytes)
}

pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Copies `source` to `target[at..]`; `None` when it does not fit.
pub(crate) fn put(target: &mut [u8], at: usize, source: &[u8]) -> Option<()> {
    target.get_mut(at..at.checked_add(source.len())?)?.copy_from_slice(source);
    Some(())
}

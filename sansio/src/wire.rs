//! Bounded big-endian reads and writes: every access is checked, a short buffer is `None`.

/// The byte at `at`.
#[inline]
pub fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

/// Two bytes.
#[inline]
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_be_bytes)
}

/// Three bytes, as lengths in DTLS are written.
#[inline]
pub fn u24_at(bytes: &[u8], at: usize) -> Option<usize> {
    let [high, middle, low] = array_at::<3>(bytes, at)?;
    Some(usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low))
}

/// Four bytes.
#[inline]
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_be_bytes)
}

/// Eight bytes.
#[inline]
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_be_bytes)
}

/// `N` bytes.
#[inline]
pub fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Splits `len` bytes off the front of `rest`.
#[inline]
pub fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(head)
}

/// Copies `source` to `target[at..]`; `None` when it does not fit.
#[inline]
pub fn put(target: &mut [u8], at: usize, source: &[u8]) -> Option<()> {
    target.get_mut(at..at.checked_add(source.len())?)?.copy_from_slice(source);
    Some(())
}

//! Owns questions that are put to every byte of a text: of what class it is, and whether all are of one.
//! Refuses to know what the bytes mean.
//! Invariant: the answer is that of looking at the bytes one by one.

/// Bytes that are looked at together.
const CHUNK: usize = 16;

/// Whether all bytes pass. They are looked at in chunks and without an early end, which is what the compiler
/// turns into vector code; the last chunk is the text's last bytes, some of them for the second time.
#[inline]
pub fn every_byte(text: &[u8], test: impl Fn(u8) -> bool) -> bool {
    let (chunks, _) = text.as_chunks::<CHUNK>();
    let Some(last) = text.last_chunk::<CHUNK>() else {
        return every_of_few(text, test);
    };
    let mut failed = [0; CHUNK];
    for chunk in chunks.iter().chain([last]) {
        for (failed, byte) in failed.iter_mut().zip(chunk) {
            *failed |= u8::from(!test(*byte));
        }
    }
    failed.iter().fold(0, |any, failed| any | failed) == 0
}

/// The same for less than a chunk: its first and last half or quarter, which meet or overlap.
#[inline]
fn every_of_few(text: &[u8], test: impl Fn(u8) -> bool) -> bool {
    const HALF: usize = CHUNK / 2;
    const QUARTER: usize = CHUNK / 4;
    if let (Some(first), Some(last)) = (text.first_chunk::<HALF>(), text.last_chunk::<HALF>()) {
        both(first, last, test)
    } else if let (Some(first), Some(last)) =
        (text.first_chunk::<QUARTER>(), text.last_chunk::<QUARTER>())
    {
        both(first, last, test)
    } else {
        text.iter().all(|byte| test(*byte))
    }
}

#[inline]
fn both<const N: usize>(first: &[u8; N], last: &[u8; N], test: impl Fn(u8) -> bool) -> bool {
    let bytes = first.iter().zip(last);
    bytes.fold(true, |all, (a, b)| all & test(*a) & test(*b))
}

/// A set of bytes; whether one is in it is looked up, for texts that are read byte by byte.
pub(crate) struct Class([bool; 256]);

impl Class {
    /// These bytes.
    pub(crate) const fn of(members: &[u8]) -> Self {
        Self([false; 256]).and(members)
    }

    /// ASCII letters and digits, and these bytes.
    pub(crate) const fn alphanumeric_or(members: &[u8]) -> Self {
        Self::of(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz").and(members)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "256 places for 256 bytes, and checked when compiled"
    )]
    const fn and(mut self, mut members: &[u8]) -> Self {
        while let [member, rest @ ..] = members {
            self.0[*member as usize] = true;
            members = rest;
        }
        self
    }

    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)) == Some(&true)
    }
}

#[cfg(test)]
mod tests {
    use super::every_byte;

    #[test]
    fn one_byte_at_any_place_is_enough() {
        for length in 0..70 {
            let mut text = vec![b'a'; length];
            assert!(every_byte(&text, |byte| byte == b'a'));
            for at in 0..length {
                text[at] = b'b';
                assert!(!every_byte(&text, |byte| byte == b'a'), "{at} of {length}");
                text[at] = b'a';
            }
        }
    }
}

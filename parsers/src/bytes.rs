//! Owns questions that are put to every byte of a text: of what class it is, and whether all are of one.
//! Refuses to know what the bytes mean.
//! Invariant: the answer is that of looking at the bytes one by one.

/// Bytes that are looked at together.
const CHUNK: usize = 16;

/// Whether all bytes pass. They are looked at in chunks and without an early end, which is what the compiler
/// turns into vector code; the last chunk is the text's last bytes, some of them for the second time.
#[inline]
pub fn every_byte(text: &[u8], test: impl Fn(u8) -> bool) -> bool {
    let (chunks, rest) = text.as_chunks::<CHUNK>();
    let Some(last) = text.last_chunk::<CHUNK>() else {
        return rest.iter().fold(true, |all, byte| all & test(*byte));
    };
    let mut failed = [0; CHUNK];
    for chunk in chunks.iter().chain([last]) {
        for (failed, byte) in failed.iter_mut().zip(chunk) {
            *failed |= u8::from(!test(*byte));
        }
    }
    failed.iter().fold(0, |any, failed| any | failed) == 0
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

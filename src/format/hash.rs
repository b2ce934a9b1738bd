//! SHA-256: how parts, shards and pictures are recognised.

use sha2::{Digest, Sha256};

/// Bytes of each of the places that [`sample_sha256`] reads.
const SAMPLE: usize = 4096;

/// Returns the SHA-256 of `parts`, one after another.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize().into()
}

/// Returns the SHA-256 of the length of `bytes` and of 4096 bytes at their beginning, middle and end: it tells the weights
/// of two models apart, in no time.
pub fn sample_sha256(bytes: &[u8]) -> [u8; 32] {
    let at = |place: usize| &bytes[place.min(bytes.len().saturating_sub(SAMPLE))..][..SAMPLE.min(bytes.len())];
    sha256(&[&(bytes.len() as u64).to_le_bytes(), at(0), at(bytes.len() / 2), at(bytes.len())])
}

/// Returns the SHA-256 of `bytes` as 64 lower-case hex digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector "abc" of FIPS 180-2.
    #[test]
    fn sha256_is_sha256() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex(b"abc"), expected);
        assert_eq!(sha256(&[b"a", b"", b"bc"]).map(|byte| format!("{byte:02x}")).concat(), expected);
    }

    #[test]
    fn a_sample_reads_beginning_middle_and_end() {
        for length in [0, 1, SAMPLE, SAMPLE + 1, 10 * SAMPLE] {
            let bytes = vec![7; length];
            let hash = sample_sha256(&bytes);
            assert_ne!(hash, sample_sha256(&[&bytes[..], &[7]].concat()), "another length");
            for at in [0, length / 2, length.saturating_sub(1)].into_iter().filter(|at| *at < length) {
                let mut changed = bytes.clone();
                changed[at] = 8;
                assert_ne!(hash, sample_sha256(&changed), "{at} of {length}");
            }
        }
    }
}

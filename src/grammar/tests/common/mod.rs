//! What the tests of this package share: vocabularies, and random answers under a constraint.

#![allow(dead_code, missing_docs)] // Each test file uses a part.

use llava_grammar::{Constraint, Vocabulary, pack};

/// A generator of random numbers: SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Returns tokens like those of a byte-level vocabulary: each byte, then words, numbers and punctuation with and without
/// a space before them, without duplicates; the last one ends an answer.
pub fn tokens(count: usize) -> Vec<Vec<u8>> {
    const SYLLABLES: [&str; 24] = [
        "a", "an", "ber", "ca", "de", "e", "fi", "go", "he", "in", "ja", "ko", "li", "ma", "na", "or", "pe", "ra",
        "sto", "ti", "u", "ver", "wo", "yé",
    ];
    const MARKS: [&str; 24] = [
        "\":", "\",", " \"", "{\"", "\"}", "},", "[{", "}]", ": ", ", ", "\\\"", "\\n", "\n  ", "\n    ", "true",
        "false", "null", "---", "://", "ß", "日本", "🙂", "  ", "00",
    ];
    let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    tokens.extend(MARKS.iter().map(|mark| mark.as_bytes().to_vec()));
    let mut known: std::collections::HashSet<Vec<u8>> = tokens.iter().cloned().collect();
    let mut random = Random(1);
    while tokens.len() < count - 1 {
        let mut word = String::new();
        if random.below(2) == 0 {
            word.push(' ');
        }
        match random.below(8) {
            0 => word.push_str(&random.below(10_000).to_string()),
            _ => (0..1 + random.below(4)).for_each(|_| word.push_str(SYLLABLES[random.below(24)])),
        }
        if known.insert(word.clone().into_bytes()) {
            tokens.push(word.into_bytes());
        }
    }
    tokens.push(Vec::new());
    tokens
}

/// Returns the vocabulary of [`tokens`].
pub fn vocabulary(tokens: &[Vec<u8>]) -> Vocabulary {
    Vocabulary::parse(&pack(tokens, &[tokens.len() as u32 - 1], false).unwrap()).unwrap()
}

/// Returns the tokens that a mask allows.
pub fn allowed(words: &[u32]) -> Vec<u32> {
    let bits = |(index, word): (usize, &u32)| {
        let word = *word;
        (0..32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| index as u32 * 32 + bit)
    };
    words.iter().enumerate().flat_map(bits).collect()
}

/// A random answer: its text, and whether the constraint ended it within `limit` tokens.
pub fn random_answer(
    vocabulary: &Vocabulary,
    tokens: &[Vec<u8>],
    constraint: &mut Constraint,
    random: &mut Random,
    limit: usize,
) -> (Vec<u8>, bool) {
    let mut words = vec![0; vocabulary.words()];
    let mut text = Vec::new();
    for step in 0..limit {
        constraint.mask(&mut words).unwrap();
        let allowed = allowed(&words);
        assert!(!allowed.is_empty(), "no token is allowed after {}", String::from_utf8_lossy(&text));
        // What closes a string or a bracket, more often the longer the answer is: else few answers would end.
        let closing: Vec<u32> = allowed.iter().copied().filter(|id| closes(&tokens[*id as usize])).collect();
        let close = !closing.is_empty() && random.below(100) < 15 + 2 * step;
        let from = if close { &closing } else { &allowed };
        let id = from[random.below(from.len())];
        text.extend(&tokens[id as usize]);
        if constraint.accept(id).unwrap() {
            return (text, true);
        }
    }
    (text, false)
}

fn closes(token: &[u8]) -> bool {
    token.is_empty() || matches!(token, b"\"" | b"}" | b"]" | b"\"}" | b"}]")
}

//! A SentencePiece vocabulary of letter combinations. It is free of third-party content, and texts have about as many
//! tokens as in LLaMA's.

/// Returns texts, scores and types of `count` tokens: three control tokens, 256 bytes, then pieces. Each piece is one
/// character or the concatenation of two other pieces.
pub fn vocabulary(count: usize) -> (Vec<String>, Vec<f32>, Vec<i32>) {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).into();
    tokens.extend((0..256).map(|b| format!("<0x{b:02X}>")));
    let special = tokens.len();
    tokens.extend(pieces().take(count.saturating_sub(special)));
    tokens.truncate(count);
    // As in LLaMA's vocabulary, earlier pieces have higher scores.
    let score = |i: usize| if i < special { 0.0 } else { -((i - special) as f32) };
    let kind = |i: usize| match i {
        0 => 2,
        1 | 2 => 3,
        _ if i < special => 6,
        _ => 1,
    };
    let scores = (0..tokens.len()).map(score).collect();
    let types = (0..tokens.len()).map(kind).collect();
    (tokens, scores, types)
}

/// Letters by frequency in English, so that short vocabularies contain the frequent pairs.
const LETTERS: &str = "etaoinshrdlucmfwypvbgkjqxz";

/// Returns the pieces: characters, then letter pairs, triples and quadruples.
fn pieces() -> impl Iterator<Item = String> {
    let letters = || LETTERS.chars();
    let pairs = move || letters().flat_map(move |a| letters().map(move |b| format!("{a}{b}")));
    let triples = move || pairs().flat_map(move |ab| letters().map(move |c| format!("{ab}{c}")));
    let ascii = (33..127u8).map(|b| char::from(b).to_string());
    ["▁".to_string()]
        .into_iter()
        .chain(ascii)
        .chain(["▁▁", "▁▁▁▁"].map(String::from))
        .chain(letters().chain('A'..='Z').map(|a| format!("▁{a}")))
        .chain(pairs())
        .chain(pairs().map(|ab| format!("▁{ab}")))
        .chain(triples().map(|abc| format!("▁{abc}")))
        .chain(triples())
        .chain(triples().flat_map(move |abc| letters().map(move |d| format!("{abc}{d}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_size_is_full_and_every_piece_is_made_of_two() {
        for count in [300, 1024, 32000, 49280] {
            let (tokens, scores, types) = vocabulary(count);
            assert_eq!((tokens.len(), scores.len(), types.len()), (count, count, count));
            let set: HashSet<&str> = tokens.iter().map(String::as_str).collect();
            assert_eq!(set.len(), count, "each once");
            let made = |t: &String| {
                t.chars().count() == 1
                    || t.char_indices().skip(1).any(|(at, _)| set.contains(&t[..at]) && set.contains(&t[at..]))
            };
            assert!(tokens[259..].iter().all(made));
        }
    }
}

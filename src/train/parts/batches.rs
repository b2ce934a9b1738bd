//! Sequences and pixel values → one batch of the imported model.

use super::sequences::Sequence;
use crate::prompt::PromptItem;

/// Sequences of one forward pass, padded at their ends to one length.
#[derive(Debug, Clone, Default)]
pub struct SequenceBatch {
    /// `[B · L]` token ids; 0 where a picture or padding stands.
    pub ids: Vec<i32>,
    /// `L`, rows per sequence.
    pub length: usize,
    /// Rows that the sequences have without padding, all together.
    pub real: usize,
    /// `I`, pictures.
    pub images: usize,
    /// `[I · P, 3 · p · p]` pixel values by patch.
    pub patches: Vec<f32>,
    /// `[B · L]` for each row its embed: an index into the text embeds `[B · L]` followed by the image embeds `[I · R]`.
    pub places: Vec<i32>,
    /// Rows whose next token is predicted.
    pub rows: Vec<i32>,
    /// The next token of each of `rows`.
    pub targets: Vec<i32>,
    /// For each sequence, the range of each of its answers in `rows`.
    pub answers: Vec<Vec<std::ops::Range<usize>>>,
}

/// A sequence with the patches of its picture, empty without one.
pub type Sample = (Sequence, Vec<f32>);

/// Joins samples, a picture of which has `image_rows` rows.
pub fn batch(samples: &[Sample], image_rows: usize) -> SequenceBatch {
    let length_of = |sequence: &Sequence| sequence.items.len() - sequence.pictures() + sequence.pictures() * image_rows;
    let length = samples.iter().map(|(sequence, _)| length_of(sequence)).max().unwrap_or(1).max(1);
    let mut out = SequenceBatch { length, ..SequenceBatch::default() };
    out.ids = vec![0; samples.len() * length];
    out.places = (0..out.ids.len() as i32).collect();
    for (index, (sequence, patches)) in samples.iter().enumerate() {
        let start = index * length;
        let (mut at, mut row_of) = (start, Vec::with_capacity(sequence.items.len()));
        for item in &sequence.items {
            row_of.push(at);
            match item {
                PromptItem::Token(id) => {
                    out.ids[at] = *id as i32;
                    at += 1;
                }
                PromptItem::Image(_) => {
                    for row in 0..image_rows {
                        out.places[at] = (samples.len() * length + out.images * image_rows + row) as i32;
                        at += 1;
                    }
                    out.images += 1;
                }
            }
        }
        out.real += at - start;
        out.patches.extend_from_slice(patches);
        let mut ranges = Vec::new();
        for answer in &sequence.answers {
            let first = out.rows.len();
            for position in answer.clone().filter(|&position| position > 0) {
                if let PromptItem::Token(id) = sequence.items[position] {
                    // The row before a token predicts it; before the first text token that is the picture's last row.
                    out.rows.push(row_of[position] as i32 - 1);
                    out.targets.push(id as i32);
                }
            }
            ranges.push(first..out.rows.len());
        }
        out.answers.push(ranges);
    }
    out
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "lists of ranges, some of one")]
mod tests {
    use super::*;

    #[test]
    fn pictures_take_their_rows_and_answers_follow_them() {
        let token = PromptItem::Token;
        let with = Sequence { items: vec![token(1), PromptItem::Image(0), token(7), token(8)], answers: vec![2..4] };
        let text = Sequence { items: vec![token(1), token(5), token(6)], answers: vec![2..3] };
        let b = batch(&[(text, vec![]), (with, vec![0.5; 4])], 3);
        assert_eq!((b.length, b.images, b.real), (6, 1, 9));
        assert_eq!(b.ids, [1, 5, 6, 0, 0, 0, 1, 0, 0, 0, 7, 8]);
        assert_eq!(b.places, [0, 1, 2, 3, 4, 5, 6, 12, 13, 14, 10, 11]);
        assert_eq!((b.rows.clone(), b.targets.clone()), (vec![1, 9, 10], vec![6, 7, 8]));
        assert_eq!(b.answers, [vec![0..1], vec![1..3]]);
    }
}

//! The prefix cache: the tokens and image rows that the rows of the KV cache stand for.
//!
//! A conversation is a path through a tree of prefixes (system text, image, turn after turn); the cache holds one path.
//! A new prompt keeps the longest prefix that it shares with that path, and only the rest is prefilled: a second
//! question, a regenerated answer or an edited turn costs the rows that changed. Paths of other conversations are kept
//! beside the cache (`parked.rs`).

use super::ImageId;

/// One row of the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// A token.
    Token(u32),
    /// A picture, and the row of its embeds, counted through its tiles.
    Image(ImageId, u32),
    /// The embed that ends a row of patches.
    Newline,
}

/// The rows that the KV cache holds, in order.
#[derive(Debug, Default)]
pub struct PrefixCache {
    rows: Vec<Row>,
    /// Whether the device has the logits of the last row.
    ends_in_logits: bool,
}

impl PrefixCache {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Returns the number of leading rows of `prompt` that are cached.
    pub fn shared(&self, prompt: &[Row]) -> usize {
        self.rows.iter().zip(prompt).take_while(|(a, b)| a == b).count()
    }

    /// Returns whether the device has the logits after `prompt`, so that the next token can be sampled immediately.
    pub fn ends_in_logits_of(&self, prompt: &[Row]) -> bool {
        self.ends_in_logits && self.rows == prompt
    }

    /// Removes all rows from `len` on, and the logits. Must come before any computation that overwrites these rows.
    pub fn truncate(&mut self, len: usize) {
        self.rows.truncate(len);
        self.forget_logits();
    }

    /// Records that the logits on the device may be overwritten.
    pub fn forget_logits(&mut self) {
        self.ends_in_logits = false;
    }

    /// Appends rows that were computed, and whether the logits of the last are on the device.
    pub fn extend(&mut self, rows: impl IntoIterator<Item = Row>, logits: bool) {
        self.rows.extend(rows);
        self.ends_in_logits = logits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_the_longest_common_prefix() {
        let image = ImageId(7);
        let rows = [Row::Token(1), Row::Image(image, 0), Row::Image(image, 1), Row::Token(5), Row::Token(6)];
        let mut cache = PrefixCache::default();
        assert_eq!(cache.shared(&rows), 0);
        cache.extend(rows, false);
        assert_eq!(cache.shared(&rows), 5, "the same prompt");
        assert_eq!(cache.shared(&[&rows[..3], &[Row::Token(9), Row::Token(6)]].concat()), 3, "another question");
        assert_eq!(cache.shared(&[Row::Token(1), Row::Image(ImageId(8), 0), Row::Token(5)]), 1, "another picture");
        cache.truncate(2);
        assert_eq!(cache.shared(&rows), 2);
        assert_eq!(cache.shared(&[]), 0);
    }

    #[test]
    fn logits_are_those_of_exactly_these_rows() {
        let rows = [Row::Token(1), Row::Token(5), Row::Token(6)];
        let mut cache = PrefixCache::default();
        cache.extend(rows, false);
        assert!(!cache.ends_in_logits_of(&rows));
        cache.truncate(2);
        cache.extend([Row::Token(6)], true);
        assert!(cache.ends_in_logits_of(&rows));
        assert!(!cache.ends_in_logits_of(&rows[..2]) && !cache.ends_in_logits_of(&[&rows[..], &rows[..1]].concat()));
        cache.truncate(3);
        assert_eq!((cache.ends_in_logits_of(&rows), cache.len()), (false, 3), "the logits are gone, the rows stay");
    }
}

//! What the rows of the KV cache stand for, so that nothing that is there is read again.
//!
//! A conversation is a path through a tree of prefixes (system text, image, turn after turn); the cache holds one
//! path. A new prompt keeps the longest prefix it shares with that path and reads only the rest: a second
//! question, a regenerated answer or an edited turn costs what changed.

use super::ImageId;

/// One row of the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// A token.
    Token(u32),
    /// Row `1` of the embeds of picture `0`.
    Image(ImageId, u32),
}

/// The rows that the KV cache holds, in order.
#[derive(Debug, Default)]
pub struct PrefixCache {
    rows: Vec<Row>,
    /// Whether the device has the logits of the last of them.
    ends_in_logits: bool,
}

impl PrefixCache {
    /// Rows held.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many leading rows of `prompt` are held already.
    pub fn shared(&self, prompt: &[Row]) -> usize {
        self.rows.iter().zip(prompt).take_while(|(a, b)| a == b).count()
    }

    /// Whether the device has the logits after `prompt`: the next token can be chosen at once.
    pub fn ends_in_logits_of(&self, prompt: &[Row]) -> bool {
        self.ends_in_logits && self.rows == prompt
    }

    /// Forgets all rows from `len` on, and the logits: to be called before anything is computed that may overwrite them.
    pub fn truncate(&mut self, len: usize) {
        self.rows.truncate(len);
        self.forget_logits();
    }

    /// Forgets the logits: somebody else may overwrite them.
    pub fn forget_logits(&mut self) {
        self.ends_in_logits = false;
    }

    /// Notes rows that were read after those held, and whether the logits of the last were computed.
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
        assert_eq!((cache.ends_in_logits_of(&rows), cache.len()), (false, 3), "about to be overwritten");
    }
}

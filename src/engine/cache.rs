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

    /// Forgets all rows from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.rows.truncate(len);
    }

    /// Notes rows that were read after those held.
    pub fn extend(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.rows.extend(rows);
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
        cache.extend(rows);
        assert_eq!(cache.shared(&rows), 5, "the same prompt");
        assert_eq!(cache.shared(&[&rows[..3], &[Row::Token(9), Row::Token(6)]].concat()), 3, "another question");
        assert_eq!(cache.shared(&[Row::Token(1), Row::Image(ImageId(8), 0), Row::Token(5)]), 1, "another picture");
        cache.truncate(2);
        assert_eq!(cache.shared(&rows), 2);
        assert_eq!(cache.shared(&[]), 0);
    }
}

//! The six passes of a model, as fields of one type.

/// One value for each pass that a model records: the pass itself, its prepared id, the call that measures it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Passes<T> {
    /// Vision tower and connector: pixel values → image embeds.
    pub encode: T,
    /// The decoder over the rows of a prompt.
    pub prefill: T,
    /// The decoder over one row.
    pub step: T,
    /// The logits of one row.
    pub head: T,
    /// The choice of a token from the logits.
    pub sample: T,
    /// Penalties, biases and mask, and the choice of a token from the logits that they give.
    pub process: T,
}

impl<T> Passes<T> {
    /// Applies `f` to each value, in the order of the fields.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> Passes<U> {
        Passes {
            encode: f(self.encode),
            prefill: f(self.prefill),
            step: f(self.step),
            head: f(self.head),
            sample: f(self.sample),
            process: f(self.process),
        }
    }

    /// Borrows each value.
    pub fn as_ref(&self) -> Passes<&T> {
        let Self { encode, prefill, step, head, sample, process } = self;
        Passes { encode, prefill, step, head, sample, process }
    }

    /// Pairs each value with the one of the same pass in `other`.
    pub fn zip<U>(self, other: Passes<U>) -> Passes<(T, U)> {
        let mut other = other.into_iter();
        self.map(|value| (value, other.next().expect("both have six passes")))
    }
}

impl<T> IntoIterator for Passes<T> {
    type Item = T;
    type IntoIter = std::array::IntoIter<T, 6>;

    /// Iterates in the order of the fields.
    fn into_iter(self) -> Self::IntoIter {
        [self.encode, self.prefill, self.step, self.head, self.sample, self.process].into_iter()
    }
}

//! The one check of a model's tensors against its configuration: none missing, none misshapen, none superfluous.

use super::expected::Expected;
use super::llava::{expected, is_skipped};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::fail;
use std::collections::BTreeMap;

/// A tensor that was found in a model's files.
pub trait Found {
    /// Its name in error messages, where that is not the canonical one.
    fn own_name(&self) -> Option<&str> {
        None
    }

    /// Its shape there. `expected` says which number of dimensions is wanted.
    fn shape(&self, expected: &Expected) -> Vec<u32>;

    /// The shape that it should have there.
    fn wanted(expected: &Expected) -> &[u32] {
        &expected.checkpoint_shape
    }
}

/// Wording and rules for the files of one layout.
#[derive(Debug)]
pub struct Holder {
    /// What holds the tensors, in error messages.
    pub name: &'static str,
    /// What prescribes their shapes, in error messages.
    pub config: &'static str,
    /// Hint for a missing tensor; may be empty.
    pub hint: &'static str,
    /// Whether it may hold what [`is_skipped`] names.
    pub holds_skipped: bool,
}

impl Holder {
    /// The error for a tensor that the configuration does not use.
    pub fn superfluous(&self, name: &str) -> Error {
        let what = format!("is in {}, but {} has no use for it", self.name, self.config);
        Error::new(Kind::Tensor, name, what)
    }
}

/// Returns `wanted` where `shape` differs from it by sides of 1 only, which order nothing; else `shape`. ggml and some
/// converters drop such sides, or add them.
pub fn without_unit_sides(shape: &[u32], wanted: &[u32]) -> Vec<u32> {
    let sides = |shape: &[u32]| -> Vec<u32> { shape.iter().copied().filter(|n| *n != 1).collect() };
    if sides(shape) == sides(wanted) { wanted.to_vec() } else { shape.to_vec() }
}

/// Pairs each tensor that `config` needs, in order of use, with the one that was found under its canonical name.
///
/// # Errors
/// [`Kind::Tensor`], naming the tensor that is missing, superfluous or of another shape.
pub fn matched<T: Found>(
    config: &Config,
    mut found: BTreeMap<String, T>,
    holder: &Holder,
) -> Result<Vec<(Expected, T)>> {
    let mut pairs = Vec::new();
    for expected in expected(config) {
        let Some(tensor) = found.remove(&expected.name) else {
            let what = format!("is missing from {}", holder.name);
            return Err(Error::new(Kind::Tensor, expected.name, what).hint(holder.hint));
        };
        let (shape, wanted) = (tensor.shape(&expected), T::wanted(&expected));
        if shape != wanted {
            let name = tensor.own_name().unwrap_or(&expected.name);
            fail!(Tensor, name, "is {shape:?} in {}; {} makes it {wanted:?}", holder.name, holder.config);
        }
        pairs.push((expected, tensor));
    }
    let skipped = |name: &str| holder.holds_skipped && is_skipped(config, name);
    match found.iter().find(|(name, _)| !skipped(name)) {
        None => Ok(pairs),
        Some((name, tensor)) => Err(holder.superfluous(tensor.own_name().unwrap_or(name))),
    }
}

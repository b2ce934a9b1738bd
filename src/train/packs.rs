//! Small parameters that the optimizer updates together.
//!
//! An AdamW step is about twelve operations per parameter. On a GPU each is a launch, whose cost does not depend on the
//! size: with a hundred small parameters the launches of the optimizer take longer than those of the model. A pack holds
//! the values of several parameters, one after the other, as one row.

use super::params::Matrix;
use burn::optim::{AdamWState, AdaptiveMomentumState};
use burn::tensor::Tensor;
use std::collections::BTreeMap;

/// The optimizer's states by parameter name.
pub type States = BTreeMap<String, AdamWState<2>>;

/// Several parameters as one row `[1, n]`.
pub struct Pack {
    /// Name and shape of each parameter, in the order of their values.
    parts: Vec<(String, [usize; 2])>,
    /// Their values.
    pub values: Matrix,
    /// Their moments.
    pub state: Option<AdamWState<2>>,
}

/// Joins matrices to one row.
fn join(matrices: impl Iterator<Item = Matrix>) -> Matrix {
    let rows = matrices.map(|m| {
        let n = m.dims().iter().product::<usize>();
        m.reshape([1, n])
    });
    Tensor::cat(rows.collect(), 1)
}

impl Pack {
    /// Joins the values of `names` and takes their moments out of `states`; `None` when the parameters have taken
    /// different numbers of steps.
    pub fn new(names: &[&String], tensors: &BTreeMap<String, Matrix>, states: &mut States) -> Option<Self> {
        let time = |name: &&String| states.get(*name).map(|s| s.momentum.time);
        let first = names.first().and_then(time);
        if names.iter().any(|name| time(name) != first) {
            return None;
        }
        let parts: Option<Vec<_>> = names.iter().map(|&name| Some((name.clone(), tensors.get(name)?.dims()))).collect();
        let parts = parts?;
        let values = join(names.iter().filter_map(|&name| tensors.get(name).cloned()));
        let state = first.map(|time| {
            let states: Vec<_> = names.iter().filter_map(|&name| states.remove(name)).collect();
            let moment_1 = join(states.iter().map(|s| s.momentum.moment_1.clone()));
            let moment_2 = join(states.iter().map(|s| s.momentum.moment_2.clone()));
            AdamWState::new(AdaptiveMomentumState::new(time, moment_1, moment_2))
        });
        Some(Self { parts, values, state })
    }

    /// Whether the pack holds these parameters, in this order.
    pub fn holds(&self, names: &[&String]) -> bool {
        self.parts.len() == names.len() && self.parts.iter().zip(names).all(|((own, _), name)| own == *name)
    }

    /// Joins gradients in the order of the parameters.
    pub fn gradient(gradients: impl Iterator<Item = Matrix>) -> Matrix {
        join(gradients)
    }

    /// Cuts a row into the parameters' matrices, with their names.
    fn cut<'a>(&'a self, row: &'a Matrix) -> impl Iterator<Item = (&'a String, Matrix)> {
        let mut start = 0;
        self.parts.iter().map(move |(name, shape)| {
            let end = start + shape[0] * shape[1];
            let part = row.clone().slice([0..1, start..end]).reshape(*shape);
            start = end;
            (name, part)
        })
    }

    /// Returns the parameters.
    pub fn tensors(&self) -> impl Iterator<Item = (&String, Matrix)> {
        self.cut(&self.values)
    }

    /// Returns the moments of each parameter.
    pub fn states(&self) -> impl Iterator<Item = (String, AdamWState<2>)> {
        self.state.iter().flat_map(|state| {
            let momentum = &state.momentum;
            self.cut(&momentum.moment_1).zip(self.cut(&momentum.moment_2)).map(|((name, first), (_, second))| {
                (name.clone(), AdamWState::new(AdaptiveMomentumState::new(momentum.time, first, second)))
            })
        })
    }
}

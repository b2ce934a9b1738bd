//! Low-rank adapters of the decoder's matrices: `x W + (α / r) · (x A) B`, with `W` frozen.
//!
//! # Source
//! Hu and others, 2021 (arXiv 2106.09685); the defaults are those of LLaVA's `finetune_lora.sh`.

use super::super::params::{Leaves, Matrix, Params};
use crate::error::Result;
use crate::fail;
use crate::format::names::DECODER;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Ends of the names of an adapter's two matrices; `A` is `[K, r]`, `B` `[r, N]`.
const ENDS: [&str; 2] = [".lora_a", ".lora_b"];
/// The matrices that may have an adapter.
pub const TARGETS: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// The choices of an adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoraPlan {
    /// `r`.
    pub rank: usize,
    /// `α`.
    pub alpha: f32,
    /// Ends of the names of the adapted matrices, out of [`TARGETS`].
    pub targets: Vec<String>,
}

/// Whether `name` is a matrix of an adapter.
pub fn is_adapter(name: &str) -> bool {
    ENDS.iter().any(|end| name.ends_with(end))
}

/// Adds adapters to the decoder: `A` uniform within `±1/√K`, `B` zero, so that nothing changes before the first step.
/// The factor `α / r` is kept in `A`'s use: see [`linear`].
///
/// # Errors
/// [`Kind::Argument`](crate::error::Kind::Argument) for a target that the decoder does not have.
pub fn add(params: &mut Params, plan: &LoraPlan, rng: &mut ChaCha8Rng) -> Result<()> {
    if let Some(unknown) = plan.targets.iter().find(|target| !TARGETS.contains(&target.as_str())) {
        fail!(Argument, "--lora-targets", "`{unknown}` is not one of {}", TARGETS.join(", "));
    }
    let adapted = |name: &str| {
        name.starts_with(DECODER) && plan.targets.iter().any(|target| name.ends_with(&format!("{target}.weight")))
    };
    let names: Vec<String> = params.names().filter(|name| adapted(name)).map(str::to_owned).collect();
    for name in names {
        let (Some([k, n]), Some(stem)) = (params.shape(&name), name.strip_suffix(".weight")) else { continue };
        params.uniform(format!("{stem}{}", ENDS[0]), [k, plan.rank], (k as f32).powf(-0.5), rng);
        params.constant(format!("{stem}{}", ENDS[1]), [plan.rank, n], 0.0);
    }
    params.set(SCALE.to_owned(), [1, 1], vec![plan.alpha / plan.rank as f32]);
    Ok(())
}

/// Parameter name of `α / r`; never trained.
pub const SCALE: &str = "lora_scale";

/// Computes `x · W (+ b)` with the adapter of `name`, if it has one.
pub fn linear(p: &Leaves, name: &str, x: Matrix, bias: bool) -> Matrix {
    let y = super::super::layers::linear(p, name, x.clone(), bias);
    match (p.find(&format!("{name}{}", ENDS[0])), p.find(&format!("{name}{}", ENDS[1]))) {
        (Some(a), Some(b)) => y + x.matmul(a).matmul(b) * p.get(SCALE),
        _ => y,
    }
}

/// Adds the adapters to their matrices and removes them.
pub fn merge(params: &mut Params) {
    let Some(scale) = params.remove(SCALE) else { return };
    let stems: Vec<String> = params.names().filter_map(|name| name.strip_suffix(ENDS[0])).map(str::to_owned).collect();
    for stem in stems {
        let [a, b] = ENDS.map(|end| params.remove(&format!("{stem}{end}")));
        let name = format!("{stem}.weight");
        if let (Some(a), Some(b), Some(w)) = (a, b, params.remove(&name)) {
            params.put(name, w + a.matmul(b) * scale.clone());
        }
    }
}

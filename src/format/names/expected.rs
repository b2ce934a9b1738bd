//! A tensor that a configuration needs, whatever the family.

use serde::Serialize;

/// Use of a tensor in the model, which decides how it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// `[N, K]`, multiplied with activations; stored as blocks in any weight type.
    Matrix,
    /// `[V, H]`, rows are looked up (and multiplied with, where the head is tied); stored like a matrix.
    Table,
    /// Added or multiplied elementwise (norms, biases, class and position embeddings); stored as f32 rows.
    Vector,
}

/// The component of the model that a tensor belongs to, in order of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// Pixel values → image features.
    VisionTower,
    /// Image features → image embeds.
    Connector,
    /// Token ids → text embeds.
    Embeddings,
    /// Decoder blocks and the final norm.
    Decoder,
    /// Hidden state → logits.
    Head,
}

/// A tensor that a configuration needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Canonical (hub) name.
    pub name: String,
    /// Shape as stored in shards. Differs from `checkpoint_shape` for convolutions: the patch embedding and those of
    /// MobileVLM's connectors.
    pub shape: Vec<u32>,
    /// Shape in the checkpoint, but for sides of 1. The patch embedding `[C, 3, p, p]` becomes `[C, 3·p·p]`, padded with zero columns to
    /// a multiple of 32, so that every weight type fits.
    pub checkpoint_shape: Vec<u32>,
    /// Use in the model.
    pub role: Role,
    /// Component that uses it.
    pub component: Component,
}

impl Expected {
    /// Number of parameters, padding not counted.
    pub fn parameters(&self) -> u64 {
        self.checkpoint_shape.iter().map(|&n| u64::from(n)).product()
    }
}

/// Returns the common prefix of the tensors that every layout stores beside `name`: those of one block, or those of a
/// component that are in no block.
pub fn group(name: &str) -> &str {
    let end = name.find("layers.").map(|at| at + "layers.".len());
    match end.and_then(|end| name[end..].find('.').map(|dot| end + dot + 1)) {
        Some(end) => &name[..end],
        None => name.split('.').next().unwrap_or(name),
    }
}

//! The types that the weights of a float checkpoint may be held as, what each of them needs, and the one that is chosen.
//!
//! What is chosen is done to each part as it is pushed, by the rule of `convert --quant`: to the bit the same values as
//! from the shards that it writes.

use super::Loader;
use crate::config::Config;
use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::format::convert::ConvertOptions;
use crate::format::names::{Component, Expected};
use crate::format::piece::DeviceTensor;
use crate::quant::{Encoding, WeightType};
use serde::Serialize;

/// What is offered: as it is, 8.5 bits, 4.5 bits per weight.
const OFFERED: [Option<WeightType>; 3] = [None, Some(WeightType::Q8), Some(WeightType::Q4)];

/// One of the types that the weights may be held as. The bytes to fetch are the same for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// The type; `None`: as they are.
    pub quant: Option<WeightType>,
    /// Bytes on the device, all together, with the planned context full.
    pub memory: u64,
    /// Bytes of weights that every generated token reads.
    pub bytes_per_token: u64,
}

impl Loader {
    /// Quantises the weights to `quant` while they are loaded, or holds them as they are: to be called before the first
    /// part is pushed.
    ///
    /// # Errors
    /// [`Kind::Argument`] for weights that are no floats, and for a type that is not made from floats; [`Kind::State`]
    /// once a part has been pushed; [`Kind::Tensor`] when a shape fits no storage.
    pub fn hold_as(&mut self, quant: Option<WeightType>) -> Result<()> {
        if let Some(quant) = quant {
            ensure!(
                WeightType::FROM_FLOATS.contains(&quant),
                Argument,
                "quant",
                "{quant} is not made from floats; q8 and q4 are"
            );
            if !self.inner.blueprint().is_float() {
                let message =
                    "these weights have types of their own; only f32, f16 and bf16 are quantised while loading";
                return Err(Error::new(Kind::Argument, "quant", message).hint("load them as they are"));
            }
        }
        let options = holding(quant);
        self.inner.hold_as(&|tensor, encoding| options.weight_type(tensor, encoding))?;
        self.quant = quant;
        self.pipelines = None;
        Ok(())
    }

    /// What may be chosen, with `beside` bytes for everything but weights.
    pub(super) fn choices(&self, beside: u64) -> Result<Vec<Choice>> {
        let blueprint = self.inner.blueprint();
        if !blueprint.is_float() {
            return Ok(Vec::new());
        }
        let choice = |quant| {
            let options = holding(quant);
            let wanted = |tensor: &Expected, encoding: Encoding| options.weight_type(tensor, encoding);
            let (weights, bytes_per_token) = weight_bytes(&blueprint.config, &blueprint.held_as(&wanted)?);
            Ok(Choice { quant, memory: weights + beside, bytes_per_token })
        };
        OFFERED.into_iter().map(choice).collect()
    }
}

/// The rule of `convert`, with a type for the decoder alone.
fn holding(quant: Option<WeightType>) -> ConvertOptions {
    ConvertOptions { quant, ..ConvertOptions::exact() }
}

/// Bytes of all weights on the device, and of those that every generated token reads.
pub(super) fn weight_bytes(config: &Config, tensors: &[DeviceTensor]) -> (u64, u64) {
    let tied = config.text.tie_word_embeddings;
    let every_token = |component| match component {
        Component::Decoder | Component::Head => true,
        Component::Embeddings => tied,
        _ => false,
    };
    let read = tensors.iter().filter(|t| every_token(t.expected.component));
    (tensors.iter().map(DeviceTensor::bytes).sum(), read.map(DeviceTensor::bytes).sum())
}

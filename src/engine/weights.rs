//! The types that the weights of a float checkpoint can be quantised to while they are loaded, the memory of each, and
//! the chosen one.
//!
//! Each part is quantised as it is pushed, by the rule of `convert --quant`: the values equal those of the shards that
//! it writes, to the bit.

use super::Loader;
use crate::config::Config;
use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::format::convert::ConvertOptions;
use crate::format::names::{Component, Expected};
use crate::format::piece::DeviceTensor;
use crate::quant::{Encoding, WeightType};
use serde::Serialize;

/// The offered types: unchanged, 8.5 bits, 4.5 bits per weight.
const OFFERED: [Option<WeightType>; 3] = [None, Some(WeightType::Q8), Some(WeightType::Q4)];

/// A type that the weights can be held as. The bytes to fetch are the same for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WeightChoice {
    /// The type; `None` leaves the weights as they are.
    pub quant: Option<WeightType>,
    /// Total bytes on the device with the planned context full.
    pub memory: u64,
    /// Bytes of weights that every generated token reads.
    pub bytes_per_token: u64,
}

impl Loader {
    /// Sets the type that the decoder's weights are quantised to while they are loaded; `None` leaves them as they are.
    /// Must be called before the first part is pushed.
    ///
    /// # Errors
    /// [`Kind::Argument`] for weights that are no floats, and for a type that is not made from floats; [`Kind::State`]
    /// once a part has been pushed; [`Kind::Tensor`] when a shape fits no storage.
    pub fn set_weight_type(&mut self, quant: Option<WeightType>) -> Result<()> {
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
        let options = quantising_to(quant);
        self.inner.set_weight_types(&|tensor, encoding| options.weight_type(tensor, encoding))?;
        self.quant = quant;
        self.pipelines = None;
        Ok(())
    }

    /// Returns the offered types of a float checkpoint, with `beside` bytes of memory beside the weights.
    pub(super) fn choices(&self, beside: u64) -> Result<Vec<WeightChoice>> {
        let blueprint = self.inner.blueprint();
        if !blueprint.is_float() {
            return Ok(Vec::new());
        }
        let choice = |quant| {
            let options = quantising_to(quant);
            let wanted = |tensor: &Expected, encoding: Encoding| options.weight_type(tensor, encoding);
            let (weights, bytes_per_token) = weight_bytes(&blueprint.config, &blueprint.tensors_as(&wanted)?);
            Ok(WeightChoice { quant, memory: weights + beside, bytes_per_token })
        };
        OFFERED.into_iter().map(choice).collect()
    }
}

/// Returns the options of `convert` that quantise the decoder alone.
fn quantising_to(quant: Option<WeightType>) -> ConvertOptions {
    ConvertOptions { quant, ..ConvertOptions::exact() }
}

/// Returns the bytes of all weights on the device, and of those that every generated token reads.
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

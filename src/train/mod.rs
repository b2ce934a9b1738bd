//! The training of the small model with Burn, compiled with the feature `train`.
//!
//! Steps of `train run`: tokenizer → contrastive tower → text decoder → stage 1 (connector) → stage 2 (connector and
//! decoder) → checkpoint. The data come from [`scenes`](crate::scenes).
//!
//! Reading order: [`model_shape`] sizes · [`params`] parameters and optimizer · `layers` · `tower` and [`decoder`]
//! the float model · `patches`, `tower_batches` and [`dialogue_batches`] the data · `whitening` ·
//! [`device`] CPU or GPU · `data_parallel` threads · [`run`] the recipe · [`progress`], [`curves`] · [`export`] · [`burn_vqa`] evaluation.

pub mod burn_vqa;
pub mod compare;
pub mod curves;
mod data_parallel;
pub mod decoder;
pub mod device;
#[cfg(test)]
mod device_tests;
pub mod dialogue_batches;
pub mod export;
mod layers;
#[cfg(test)]
mod learning_tests;
pub mod model_shape;
pub mod params;
pub mod parts;
mod patches;
pub mod progress;
pub mod run;
mod tower;
mod tower_batches;
mod whitening;

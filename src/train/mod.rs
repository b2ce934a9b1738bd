//! The training of the small model with Burn, compiled with the feature `train`.
//!
//! Steps of `train run`: tokenizer → contrastive tower → text decoder → stage 1 (connector) → stage 2 (connector and
//! decoder) → checkpoint. The data come from [`scenes`](crate::scenes).
//!
//! Reading order: [`model_shape`] sizes · [`params`] parameters and optimizer (`packs`) · `layers` · `tower` and
//! [`decoder`] the float model · `patches`, `tower_batches` and [`dialogue_batches`] the data · `whitening` ·
//! `device` CPU or GPU · `data_parallel` threads · [`run`] the recipe · [`continued`] · [`progress`], [`curves`] ·
//! [`export`] · [`burn_vqa`] evaluation · `compare` devices · `parts` the recipe on models that exist.

#[cfg(feature = "train")]
pub mod burn_vqa;
#[cfg(feature = "train")]
pub mod compare;
#[cfg(feature = "train")]
pub mod continued;
#[cfg(feature = "train")]
pub mod curves;
#[cfg(feature = "train")]
mod data_parallel;
pub mod decoder;
#[cfg(feature = "train")]
pub mod device;
#[cfg(all(test, feature = "train-gpu"))]
mod device_tests;
pub mod dialogue_batches;
#[cfg(feature = "train")]
pub mod export;
pub mod layers;
#[cfg(all(test, feature = "train"))]
mod learning_tests;
pub mod model_shape;
pub mod own_pictures;
mod packs;
pub mod params;
#[cfg(feature = "train")]
pub mod parts;
pub mod patches;
pub mod progress;
#[cfg(feature = "train")]
pub mod run;
pub mod shards;
pub mod tab;
pub mod tower;
#[cfg(feature = "train")]
mod tower_batches;
#[cfg(feature = "learn")]
pub mod web;
mod whitening;

//! The recipe on real parts: a vision tower and a language model that exist, a connector of its own between them.
//!
//! Reading order: [`import`] files → parameters (`stand_in`: a GGUF decoder alone) · [`model`] the float model ·
//! [`sequences`] conversations → ids and targets · [`data`] LLaVA's data files · [`batches`] · [`lora`] ·
//! [`recipe`] the two stages · [`score`] · [`export`].

pub mod batches;
pub mod data;
pub mod export;
pub mod import;
pub mod lora;
pub mod model;
#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "lists of ranges, some of one")]
mod parity_tests;
pub mod recipe;
#[cfg(test)]
mod recipe_tests;
pub mod score;
pub mod sequences;
mod stand_in;

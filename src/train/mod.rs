//! A model that has learned: its data, its training, its examination.
//!
//! Everything is procedural and follows from a seed. Without the feature `train` this module draws scenes,
//! asks questions about them and scores answers (`train data`, `train eval`); with it, Burn trains the
//! model (`train run`): tokenizer → contrastive tower → text decoder → stage 1 → stage 2 → checkpoint.
//!
//! Reading order: [`scenes`] what is in a picture · [`draw`] how it looks · [`questions`] what is asked ·
//! [`answers`] when an answer is right · [`dataset`] files · [`eval`] the table · [`vocabulary`] the
//! tokenizer · then, with Burn, `tower`, `decoder`, `run`, `export`.

pub mod answers;
mod captions;
pub mod dataset;
pub mod draw;
pub mod engine_answerer;
pub mod eval;
mod followups;
pub mod pixels;
mod presence;
pub mod questions;
mod relations;
pub mod scenes;
pub mod shape;
#[cfg(test)]
mod tests;
pub mod vocabulary;

#[cfg(feature = "train")]
pub mod answerer;
#[cfg(feature = "train")]
pub mod curves;
#[cfg(feature = "train")]
pub mod decoder;
#[cfg(feature = "train")]
pub mod dialogue_batches;
#[cfg(feature = "train")]
pub mod export;
#[cfg(feature = "train")]
mod layers;
#[cfg(all(test, feature = "train"))]
mod learning_tests;
#[cfg(feature = "train")]
pub mod params;
#[cfg(feature = "train")]
pub mod progress;
#[cfg(feature = "train")]
pub mod run;
#[cfg(feature = "train")]
mod tower;
#[cfg(feature = "train")]
mod tower_batches;
#[cfg(feature = "train")]
mod whiten;
#[cfg(feature = "train")]
mod workers;

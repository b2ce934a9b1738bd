//! Pictures of coloured shapes, questions about them, and the evaluation of models that answer.
//!
//! Every scene is generated from a seed. The small model is trained on scenes ([`scene::TRAIN_SEED`]) and evaluated on
//! others. This module serves `train data`, `train eval` and the tests; the training itself is the module `train`
//! (feature `train`).
//!
//! Reading order: [`scene`] contents of a picture · [`draw`] pixels · [`sketch`] things, [`drawn`] drawings of them ·
//! [`questions`] questions and true answers · [`answers`] scoring · [`dataset`] and [`llava_format`] files · [`drawings`]
//! a person's drawings · [`eval`] accuracy table · [`looks`] attention · [`bpe`] tokenizer.

pub mod answers;
pub mod bpe;
pub mod captions;
pub mod dataset;
pub mod draw;
#[cfg(not(feature = "learn"))]
pub mod drawings;
pub mod drawn;
#[cfg(not(feature = "learn"))]
pub mod engine_vqa;
pub mod eval;
mod followups;
mod freehand;
mod hand;
pub mod item;
#[cfg(not(feature = "learn"))]
pub mod llava_format;
#[cfg(not(feature = "learn"))]
pub mod looks;
mod presence;
pub mod questions;
mod relations;
pub mod scene;
pub mod sketch;
mod sketch_animals;
mod sketch_objects;
mod sketch_plants;
#[cfg(test)]
mod tests;
mod things;

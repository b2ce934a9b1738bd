//! The instructions that a graphics card's compiler makes of this project's shaders, without the card.
//!
//! [`pipelines`] records what three models run with every candidate of the tuner. [`spirv`] translates a shader as a
//! browser does, [`null_device`] compiles it for one of the [`families`], [`assembly`] counts what the hottest loop does,
//! and [`table`] joins the figures. `src/docs/isa.md` explains how to read them.

pub mod assembly;
pub mod families;
pub mod null_device;
pub mod pipelines;
pub mod spirv;
pub mod table;

//! The longer texts, compiled with the code so that a dead link fails the build.

#![allow(rustdoc::invalid_html_tags)]

#[doc = include_str!("browsers.md")]
pub mod browsers {}

#[doc = include_str!("figures.md")]
pub mod figures {}

#[doc = include_str!("format.md")]
pub mod format {}

#[doc = include_str!("fuzzing.md")]
pub mod fuzzing {}

#[doc = include_str!("hosting.md")]
pub mod hosting {}

#[doc = include_str!("model-card.md")]
pub mod model_card {}

#[doc = include_str!("pictures.md")]
pub mod pictures {}

#[doc = include_str!("size.md")]
pub mod size {}

#[doc = include_str!("sources.md")]
pub mod sources {}

#[doc = include_str!("speed.md")]
pub mod speed {}

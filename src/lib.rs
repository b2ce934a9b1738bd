//! LLaVA-1.5 in a browser tab.
pub mod config;
pub mod error;
pub mod format;
pub mod prompt;
pub mod quant;

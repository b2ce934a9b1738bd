//! LLaVA-1.5 in a browser tab.
pub mod config;
pub mod error;
#[cfg(not(target_arch = "wasm32"))]
pub mod train;

//! The options of the exported methods, and the types that the TypeScript declarations import.

use super::interop::now;
use crate::device::{BackendChoice, Device};
use crate::engine::Loader;
use crate::error::{Error, Kind, Result};
use crate::format::source::Source;
use crate::model::CacheType;
use crate::prompt::Template;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
import type {
    Answer, BackendChoice, BenchOptions, CheckedOperation, Compiled, Constraint, Encoded, Event, GenerateOptions, Message, Plan,
    PlanOptions, Probe, Report, Source, Tier,
} from "../shared/protocol.js";
"#;

/// Options of `create`.
#[derive(Deserialize)]
pub struct CreateOptions {
    backend: String,
}

impl CreateOptions {
    /// Returns the backend that the options name.
    ///
    /// # Errors
    /// [`Kind::Argument`] for another name.
    pub fn backend(&self) -> Result<BackendChoice> {
        match self.backend.as_str() {
            "auto" => Ok(BackendChoice::Auto),
            "webgpu" => Ok(BackendChoice::Gpu),
            "cpu" => Ok(BackendChoice::Cpu),
            other => {
                let message = format!("`{other}` is not auto, webgpu or cpu");
                Err(Error::new(Kind::Argument, "create: backend", message))
            }
        }
    }
}

/// Options of `plan`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct PlanOptions {
    /// Rows that the cache may grow to.
    pub context: Option<u32>,
    /// The prompt template, where the model names none or a wrong one.
    prompt_template: Option<Template>,
    /// A tuning that `report` returned for this GPU, as JSON.
    tuning: Option<String>,
    /// One of the plan's choices, or `exact` for the weights as they are; absent: unchanged.
    quant: Option<String>,
    /// The longest edge of pictures, pixels; absent: unchanged.
    longest_edge: Option<u32>,
    /// The type of keys and values; absent: unchanged.
    cache_type: Option<CacheType>,
}

impl PlanOptions {
    /// Sets template, tuning, types of keys, values and weights, and size of pictures of `loader`.
    ///
    /// # Errors
    /// What [`Loader::set_weight_type`] and [`Loader::set_longest_edge`] report; [`Kind::Argument`] for an unknown type.
    pub fn apply(&self, loader: &mut Loader) -> Result<()> {
        if let Some(template) = self.prompt_template {
            loader.set_template(template);
        }
        if let Some(tuning) = &self.tuning {
            loader.set_tuning(tuning);
        }
        if let Some(cache_type) = self.cache_type {
            loader.set_cache_type(cache_type);
        }
        if let Some(longest_edge) = self.longest_edge {
            loader.set_longest_edge(longest_edge)?;
        }
        match self.quant.as_deref() {
            None => Ok(()),
            Some("exact") => loader.set_weight_type(None),
            Some(quant) => loader.set_weight_type(Some(quant.parse()?)),
        }
    }
}

/// The report before there is an engine.
#[derive(Serialize)]
pub struct Machine {
    backend: &'static str,
    adapter: String,
}

impl Machine {
    /// Describes `device`.
    pub fn of(device: &Device) -> Self {
        Self { backend: device.backend(), adapter: device.adapter() }
    }
}

/// Opens a loader with the worker's clock.
///
/// # Errors
/// What [`Loader::open`] reports.
pub async fn open_loader<S: Source>(device: Device, source: &S, entry: &[String]) -> Result<Loader> {
    Loader::open(device, source, entry, &now).await
}

//! The training run as a JavaScript class: what the worker of `www/learn.html` calls.
//!
//! Types are converted here, and nothing else. Every call runs to its end: the worker asks its own questions of time.

use super::tab::{ModelFiles, TabRun, TabStage};
use crate::error::{Error, Kind};
use crate::format::manifest::Manifest;
use js_sys::{Array, Float32Array, Uint8Array};
use wasm_bindgen::prelude::*;

type Result<T> = std::result::Result<T, JsError>;

fn thrown(error: Error) -> JsError {
    JsError::new(&error.to_string())
}

#[allow(unsafe_code)]
unsafe extern "C" {
    /// The constructors of static values that the linker collects.
    fn __wasm_call_ctors();
}

/// Prepares the module, once, before any other call.
#[wasm_bindgen(start)]
#[allow(unsafe_code)]
pub fn start() {
    // SAFETY: the linker makes this function, and nothing has run before it. Where a module does not call it, the linker
    // wraps every export in a call of it, which costs milliseconds each time.
    unsafe { __wasm_call_ctors() };
    std::panic::set_hook(Box::new(|info| {
        // The worker reads this when the trap that follows reaches its error handler.
        let _ = js_sys::Reflect::set(&js_sys::global(), &"llavaPanic".into(), &info.to_string().into());
    }));
}

/// The gradients of one batch.
#[wasm_bindgen]
pub struct Gradients {
    /// Mean cross-entropy of the batch.
    pub loss: f32,
    /// Rows that the decoder computed.
    pub tokens: usize,
    values: Vec<f32>,
}

#[wasm_bindgen]
impl Gradients {
    /// Copies the values out of the module's memory.
    pub fn values(&self) -> Float32Array {
        Float32Array::from(self.values.as_slice())
    }
}

/// A training run.
#[wasm_bindgen]
pub struct Trainer {
    run: TabRun,
}

#[wasm_bindgen]
impl Trainer {
    /// Reads the model's files; with `fresh`, the connector is replaced by one that is drawn from `seed`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        manifest: &[u8],
        config: Vec<u8>,
        tokenizer: Vec<u8>,
        #[wasm_bindgen(unchecked_param_type = "Uint8Array[]")] shards: Array,
        fresh: bool,
        seed: u32,
        images: usize,
    ) -> Result<Trainer> {
        let manifest = Manifest::parse(manifest).map_err(thrown)?;
        let shards = shards.iter().map(|shard| Uint8Array::from(shard).to_vec()).collect();
        let files = ModelFiles { manifest, config, tokenizer, shards };
        Ok(Trainer { run: TabRun::open(files, fresh, u64::from(seed), images).map_err(thrown)? })
    }

    /// Takes a person's pictures and a word for each; stage 3 trains with them.
    pub fn set_own(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Uint8Array[]")] pictures: Array,
        words: Vec<String>,
    ) -> Result<()> {
        let pictures = pictures.iter().map(|one| Uint8Array::from(one).to_vec()).zip(words).collect::<Vec<_>>();
        self.run.set_own(&pictures).map_err(thrown)
    }

    /// Begins stage 1, stage 2, or 3: stage 2 with a person's pictures.
    pub fn begin(&mut self, stage: u8) {
        self.run.begin(match stage {
            1 => TabStage::Connector,
            2 => TabStage::Instructions,
            _ => TabStage::OwnPictures,
        });
    }

    /// Computes loss and gradients of training batch `index`.
    pub fn gradients(&self, index: u32) -> Result<Gradients> {
        let computed = self.run.gradients(u64::from(index)).map_err(thrown)?;
        Ok(Gradients { loss: computed.loss, tokens: computed.tokens, values: computed.values })
    }

    /// Applies one step to the mean of the workers' gradients. Returns the norm of the mean.
    pub fn apply(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Float32Array[]")] gradients: Array,
        peak: f64,
        fraction: f64,
    ) -> Result<f32> {
        let gradients: Vec<Vec<f32>> = gradients.iter().map(|one| Float32Array::from(one).to_vec()).collect();
        self.run.apply(&gradients, peak, fraction).map_err(thrown)
    }

    /// Counts the right answers of held-out batches `first .. first + count`, and all: captions in stage 1, answers to
    /// questions of every kind later.
    pub fn examine(&self, first: u32, count: u32) -> Result<Vec<u32>> {
        let range = u64::from(first)..u64::from(first) + u64::from(count);
        let (right, all) = self.run.examine(range).map_err(thrown)?;
        Ok(vec![right as u32, all as u32])
    }

    /// Shows a held-out scene: `answers` is about it from now on. Returns its picture, a PNG file.
    pub fn show(&mut self, index: u32) -> Result<Vec<u8>> {
        self.run.show(u64::from(index)).map_err(thrown)?;
        Ok(self.run.picture().to_vec())
    }

    /// Answers the questions about the scene that is shown: JSON, `{ question, expected, given, right }[]`.
    pub fn answers(&mut self) -> Result<String> {
        let answers = self.run.answers().map_err(thrown)?;
        serde_json::to_string(&answers).map_err(|e| thrown(Error::new(Kind::Argument, "answers", e.to_string())))
    }

    /// Answers a question about a picture file.
    pub fn answer(&self, picture: &[u8], question: &str) -> Result<String> {
        self.run.answer(picture, question, &[]).map(|(text, _)| text).map_err(thrown)
    }

    /// Writes the model's files; returns its manifest. `emit(name: string, bytes: Uint8Array)` receives the shards.
    pub fn write(&self, name: &str, emit: &js_sys::Function) -> Result<String> {
        let mut each = |name: &str, bytes: &[u8]| {
            let called = emit.call2(&JsValue::NULL, &name.into(), &Uint8Array::from(bytes));
            called.map(drop).map_err(|e| Error::new(Kind::Io, name, format!("{e:?}")))
        };
        Ok(self.run.write(name, &mut each).map_err(thrown)?.to_json())
    }
}

/// Returns the source of what runs here, as JSON: name → text.
#[wasm_bindgen]
pub fn source() -> String {
    let files = serde_json::json!({
        "tab.rs": include_str!("tab.rs"),
        "decoder.rs": include_str!("decoder.rs"),
        "params.rs": include_str!("params.rs"),
        "dialogue_batches.rs": include_str!("dialogue_batches.rs"),
    });
    files.to_string()
}

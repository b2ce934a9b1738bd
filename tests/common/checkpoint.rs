//! Tiny random checkpoints in memory, and places in memory to convert them to.
#![allow(dead_code)] // each test uses a part

use super::golden_file;
use llava_web::config::Config;
use llava_web::error::Result;
use llava_web::format::convert::Sink;
use llava_web::format::names;
use llava_web::format::safetensors::{SINGLE_FILE, write};
use llava_web::format::source::Memory;
use serde_json::Value;
use std::collections::BTreeMap;

/// A checkpoint as tensors, to be changed before it is written.
pub struct Checkpoint {
    /// `config.json`.
    pub config: Value,
    /// Key → shape and values.
    pub tensors: BTreeMap<String, (Vec<u32>, Vec<f32>)>,
    /// The other files.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Checkpoint {
    /// Random weights for the golden configuration `mha` as changed by `change`.
    pub fn random(change: impl FnOnce(&mut Value)) -> Self {
        let mut config: Value = serde_json::from_slice(&golden_file("mha/config.json")).unwrap();
        change(&mut config);
        let parsed = Config::parse(config.to_string().as_bytes(), None).unwrap();
        let mut state = 1u32;
        let mut random = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let tensor = |e: names::Expected| {
            let values = (0..e.parameters()).map(|_| random()).collect();
            (e.name, (e.checkpoint_shape, values))
        };
        let tensors = names::expected(&parsed).into_iter().map(tensor).collect();
        let files = ["tokenizer.json", "preprocessor_config.json", "generation_config.json"];
        let files = files.map(|name| (name.to_string(), golden_file(&format!("mha/{name}"))));
        Self { config, tensors, files: files.into() }
    }

    /// The same with every key renamed.
    pub fn renamed(mut self, rename: impl Fn(&str) -> String) -> Self {
        self.tensors = self.tensors.into_iter().map(|(key, tensor)| (rename(&key), tensor)).collect();
        self
    }

    /// The files of a checkpoint directory, the tensors in one.
    pub fn into_memory(self) -> Memory {
        let mut files = self.files;
        let tensors: Vec<_> = self.tensors.iter().map(|(n, (s, v))| (n.as_str(), s.as_slice(), v.as_slice())).collect();
        files.insert(SINGLE_FILE.into(), write(&tensors).unwrap());
        files.insert("config.json".into(), self.config.to_string().into_bytes());
        Memory(files)
    }
}

/// A place in memory to convert to.
#[derive(Default)]
pub struct Written(pub Memory);

impl Sink for Written {
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.0.0.insert(name.to_string(), bytes.to_vec());
        Ok(())
    }
}

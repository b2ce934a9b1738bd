//! Tiny random checkpoints in memory, and a sink in memory for conversions.

use super::golden_file;
use llava_web::config::Config;
use llava_web::error::Result;
use llava_web::format::convert::Sink;
use llava_web::format::names;
use llava_web::format::safetensors::{SINGLE_FILE, write};
use llava_web::format::source::Memory;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
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

    /// The same with weights that fix every next token: `steps[t]` after token `t`; `otherwise` after any other token
    /// and after a picture. Blocks add nothing, so that embeddings reach the head unchanged.
    pub fn clockwork(mut self, steps: &[(u32, u32)], otherwise: u32) -> Self {
        for (name, (_, values)) in &mut self.tensors {
            let norm = name.starts_with("language_model.") && name.ends_with("norm.weight");
            values.fill(if norm { 1.0 } else { 0.0 });
        }
        let mut table = |name: &str, entries: &mut dyn Iterator<Item = (u32, usize)>, first: bool| {
            let (shape, values) = self.tensors.get_mut(name).unwrap();
            let width = shape[1] as usize;
            if first {
                values.chunks_mut(width).for_each(|row| row[0] = 1.0);
            }
            for (row, column) in entries {
                let row = &mut values[row as usize * width..][..width];
                row[0] = 0.0;
                row[column] = 1.0;
            }
        };
        table(names::EMBED_TOKENS, &mut steps.iter().zip(1..).map(|((from, _), i)| (*from, i)), true);
        table(names::LM_HEAD, &mut [(otherwise, 0)].into_iter(), false);
        table(names::LM_HEAD, &mut steps.iter().zip(1..).map(|((_, to), i)| (*to, i)), false);
        // A picture is any other token, too.
        let bias = names::CONNECTOR.to_string() + "linear_2.bias";
        self.tensors.get_mut(&bias).unwrap().1[0] = 1.0;
        let (_, head) = self.tensors.get_mut(names::LM_HEAD).unwrap();
        let width = head.len() / self.config["text_config"]["vocab_size"].as_u64().unwrap() as usize;
        head[otherwise as usize * width] = 1.0;
        self
    }

    /// The same with every key renamed.
    pub fn renamed(mut self, rename: impl Fn(&str) -> String) -> Self {
        self.tensors = self.tensors.into_iter().map(|(key, tensor)| (rename(&key), tensor)).collect();
        self
    }

    /// The same with every tensor in 16-bit floats, as published checkpoints have them.
    /// The same in the original code's layout: a flat configuration of this `model_type`, and a second one for the tower.
    pub fn flat(mut self, model_type: &str) -> Self {
        let vision = json!({"vision_config": self.config["vision_config"]});
        self.files.insert("vision_tower/config.json".into(), vision.to_string().into_bytes());
        let image = self.config["image_token_index"].clone();
        self.config = self.config["text_config"].clone();
        for (key, value) in [
            ("model_type", json!(model_type)),
            ("mm_vision_tower", json!("openai/clip-vit-large-patch14-336")),
            ("mm_projector_type", json!("mlp2x_gelu")),
            ("image_token_index", image),
        ] {
            self.config[key] = value;
        }
        self.renamed(|key| match key.strip_prefix("language_model.") {
            Some(rest) => rest.to_string(),
            None => key
                .replace("vision_tower.", "model.vision_tower.vision_tower.")
                .replace("multi_modal_projector.linear_1", "model.mm_projector.0")
                .replace("multi_modal_projector.linear_2", "model.mm_projector.2"),
        })
    }

    pub fn into_16_bits(self, dtype: Dtype) -> Memory {
        let bytes = |values: &[f32]| -> Vec<u8> {
            let words = values.iter().map(|&w| match dtype {
                Dtype::BF16 => half::bf16::from_f32(w).to_bits(),
                _ => half::f16::from_f32(w).to_bits(),
            });
            words.flat_map(u16::to_le_bytes).collect()
        };
        let tensors: Vec<_> = self.tensors.iter().map(|(name, (shape, values))| (name, shape, bytes(values))).collect();
        let views = tensors.iter().map(|(name, shape, bytes)| {
            let shape = shape.iter().map(|&n| n as usize).collect();
            (*name, TensorView::new(dtype, shape, bytes).unwrap())
        });
        let mut files = self.files;
        files.insert(SINGLE_FILE.into(), safetensors::serialize(views, None).unwrap());
        files.insert("config.json".into(), self.config.to_string().into_bytes());
        Memory(files)
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

/// A sink in memory.
#[derive(Default)]
pub struct Written(pub Memory);

impl Sink for Written {
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.0.0.insert(name.to_string(), bytes.to_vec());
        Ok(())
    }
}

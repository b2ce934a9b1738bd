//! Tiny GGUF pairs made from a checkpoint in memory, to be changed before they are written.

use super::checkpoint::Checkpoint;
use super::golden_file;
use llava_web::config::Config;
use llava_web::format::gguf::write::{self, Beginning, TensorSpec, beginning, file};
use llava_web::format::gguf::{Gguf, Parsed, Strings, Value, parse};
use llava_web::preprocess::PreprocessConfig;
use llava_web::quant::Encoding;
use serde_json::Value as Json;

/// One file: metadata, and tensors with their values.
#[derive(Clone, Default)]
pub struct GgufFile {
    pub metadata: Vec<(String, Value)>,
    pub tensors: Vec<(TensorSpec, Vec<f32>)>,
}

impl GgufFile {
    pub fn set(&mut self, key: &str, value: Value) {
        self.metadata.retain(|(k, _)| k != key);
        self.metadata.push((key.to_string(), value));
    }
    pub fn unset(&mut self, key: &str) {
        let before = self.metadata.len();
        self.metadata.retain(|(k, _)| k != key);
        assert!(self.metadata.len() < before, "there was no {key}");
    }
    pub fn tensor(&mut self, name: &str) -> &mut (TensorSpec, Vec<f32>) {
        self.tensors.iter_mut().find(|(t, _)| t.name == name).unwrap_or_else(|| panic!("there is no {name}"))
    }
    pub fn rename(&mut self, name: &str, new: &str) {
        self.tensor(name).0.name = new.to_string();
    }
    pub fn remove(&mut self, name: &str) -> (TensorSpec, Vec<f32>) {
        let at = self.tensors.iter().position(|(t, _)| t.name == name).unwrap();
        self.tensors.remove(at)
    }
    pub fn add(&mut self, name: &str, shape: &[u32]) {
        let values = vec![0.0; shape.iter().product::<u32>() as usize];
        let planned = TensorSpec { name: name.to_string(), encoding: Encoding::F32, shape: shape.to_vec() };
        self.tensors.push((planned, values));
    }
    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let planned: Vec<TensorSpec> = self.tensors.iter().map(|(t, _)| t.clone()).collect();
        let mut values = self.tensors.iter().map(|(_, values)| values);
        file(&self.metadata, &planned, |t| encode(t.encoding, values.next().unwrap())).unwrap()
    }
    /// The bytes before the values.
    pub fn beginning(&self) -> Beginning {
        let planned: Vec<TensorSpec> = self.tensors.iter().map(|(t, _)| t.clone()).collect();
        beginning(&self.metadata, &planned).unwrap()
    }
    /// Its header, read back; no values are written.
    pub fn header(&self) -> Gguf {
        let beginning = self.beginning();
        match parse(&beginning.bytes, beginning.size).unwrap() {
            Parsed::Header(header) => header,
            Parsed::More(n) => panic!("{n} bytes of {} are asked for", beginning.bytes.len()),
        }
    }
}

/// The header of a whole file.
pub fn header(bytes: &[u8]) -> Gguf {
    match parse(bytes, bytes.len() as u64).unwrap() {
        Parsed::Header(header) => header,
        Parsed::More(n) => panic!("{n} bytes of {} are asked for", bytes.len()),
    }
}

/// Floats in the encodings that need no quantisation.
fn encode(encoding: Encoding, values: &[f32]) -> Vec<u8> {
    match encoding {
        Encoding::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Encoding::F16 => values.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect(),
        Encoding::Bf16 => values.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect(),
        other => panic!("{other} is made by tests/golden/generate_gguf.py"),
    }
}

/// A language model and its mmproj.
#[derive(Clone)]
pub struct Pair {
    pub language: GgufFile,
    pub vision: GgufFile,
}

impl Pair {
    /// A checkpoint as llama.cpp's converters would write it: names, permuted q and k (a qwen2's are not), only the vision
    /// blocks that are run; matrices as f16, the rest as f32.
    pub fn of(checkpoint: &Checkpoint) -> Self {
        let config = Config::parse(checkpoint.config.to_string().as_bytes(), None).unwrap();
        let mut pair = Self { language: language_metadata(&config), vision: vision_metadata(&config) };
        byte_level(&mut pair.language, &golden_file("mha/tokenizer.json"));
        for (name, (shape, values)) in &checkpoint.tensors {
            let matrix = shape.len() > 1 && !name.contains("position_embedding");
            let encoding = if matrix { Encoding::F16 } else { Encoding::F32 };
            let theirs = write::name(name).unwrap();
            let file = if name.starts_with("language_model.") { &mut pair.language } else { &mut pair.vision };
            let t = &config.text;
            let heads = if name.contains("q_proj") { t.num_attention_heads } else { t.num_key_value_heads };
            let rotated = theirs.starts_with("blk.")
                && (theirs.contains("attn_q") || theirs.contains("attn_k"))
                && !t.attention_bias;
            let values = if rotated { permuted(values, heads, shape[0] / heads, shape[1]) } else { values.clone() };
            file.tensors.push((TensorSpec { name: theirs, encoding, shape: shape.clone() }, values));
        }
        pair
    }

    /// The golden configuration `mha` with random weights.
    pub fn random() -> Self {
        Self::of(&Checkpoint::random(|_| ()))
    }

    /// Both headers.
    pub fn headers(&self) -> [Gguf; 2] {
        [self.language.header(), self.vision.header()]
    }
}

/// Interleaves row `i` of each half of a head as rows `2i` and `2i + 1`.
pub fn permuted(values: &[f32], heads: u32, head_dim: u32, columns: u32) -> Vec<f32> {
    let (half, k) = (head_dim / 2, columns as usize);
    let source = |row: u32| row / head_dim * head_dim + row % 2 * half + row % head_dim / 2;
    (0..heads * head_dim).flat_map(|row| values[source(row) as usize * k..][..k].iter().copied()).collect()
}

fn language_metadata(config: &Config) -> GgufFile {
    let (t, mut file) = (&config.text, GgufFile::default());
    let architecture = if t.attention_bias { "qwen2" } else { "llama" };
    file.set("general.architecture", architecture.into());
    file.set("general.name", "tiny".into());
    for (key, value) in [
        ("context_length", t.max_position_embeddings),
        ("embedding_length", t.hidden_size),
        ("block_count", t.num_hidden_layers),
        ("feed_forward_length", t.intermediate_size),
        ("rope.dimension_count", t.head_dim),
        ("attention.head_count", t.num_attention_heads),
        ("attention.head_count_kv", t.num_key_value_heads),
    ] {
        file.set(&format!("{architecture}.{key}"), value.into());
    }
    file.set(&format!("{architecture}.attention.layer_norm_rms_epsilon"), t.rms_norm_eps.into());
    file.set(&format!("{architecture}.rope.freq_base"), t.rope_theta.into());
    file
}

fn vision_metadata(config: &Config) -> GgufFile {
    let (v, mut file) = (&config.vision, GgufFile::default());
    file.set("general.architecture", "clip".into());
    for (key, value) in
        [("has_text_encoder", false), ("has_vision_encoder", true), ("has_llava_projector", true), ("use_gelu", false)]
    {
        file.set(&format!("clip.{key}"), value.into());
    }
    file.set("clip.projector_type", "mlp".into());
    for (key, value) in [
        ("image_size", v.image_size),
        ("patch_size", v.patch_size),
        ("embedding_length", v.hidden_size),
        ("feed_forward_length", v.intermediate_size),
        ("attention.head_count", v.num_attention_heads),
        ("block_count", config.vision_blocks),
    ] {
        file.set(&format!("clip.vision.{key}"), value.into());
    }
    file.set("clip.vision.attention.layer_norm_epsilon", v.layer_norm_eps.into());
    let clip = PreprocessConfig::llava(v.image_size);
    file.set("clip.vision.image_mean", clip.mean.map(|x| x as f32).as_slice().into());
    file.set("clip.vision.image_std", clip.std.map(|x| x as f32).as_slice().into());
    file
}

/// A byte-level `tokenizer.json` as metadata.
pub fn byte_level(file: &mut GgufFile, tokenizer: &[u8]) {
    let json: Json = serde_json::from_slice(tokenizer).unwrap();
    let mut tokens: Vec<(&str, u64)> =
        json["model"]["vocab"].as_object().unwrap().iter().map(|(t, id)| (t.as_str(), id.as_u64().unwrap())).collect();
    tokens.sort_by_key(|(_, id)| *id);
    let merges: Vec<String> = json["model"]["merges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| format!("{} {}", text(&m[0]), text(&m[1])))
        .collect();
    let kinds: Vec<i32> = tokens.iter().map(|(_, id)| if *id < 4 { 3 } else { 1 }).collect();
    file.set("tokenizer.ggml.model", "gpt2".into());
    file.set("tokenizer.ggml.pre", "gpt-2".into());
    file.set("tokenizer.ggml.tokens", Value::Strings(tokens.iter().map(|(t, _)| *t).collect()));
    file.set("tokenizer.ggml.merges", Value::Strings(merges.iter().map(String::as_str).collect()));
    file.set("tokenizer.ggml.token_type", kinds.as_slice().into());
    file.set("tokenizer.ggml.bos_token_id", 1u32.into());
    file.set("tokenizer.ggml.eos_token_id", 2u32.into());
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap()
}

/// LLaMA's kind of vocabulary in miniature: `<unk>`, `<s>`, `</s>`, 256 bytes, then `pieces` with their scores.
pub fn sentence_piece(file: &mut GgufFile, pieces: &[(&str, f32)]) {
    let bytes: Vec<String> = (0..256).map(|b| format!("<0x{b:02X}>")).collect();
    let mut tokens = vec!["<unk>", "<s>", "</s>"];
    tokens.extend(bytes.iter().map(String::as_str));
    tokens.extend(pieces.iter().map(|(piece, _)| *piece));
    let mut scores = vec![0.0f32; 259];
    scores.extend(pieces.iter().map(|(_, score)| *score));
    let kind = |i: usize| {
        if i == 0 {
            2
        } else if i < 3 {
            3
        } else if i < 259 {
            6
        } else {
            1
        }
    };
    let kinds: Vec<i32> = (0..tokens.len()).map(kind).collect();
    for key in ["pre", "merges"] {
        file.metadata.retain(|(k, _)| *k != format!("tokenizer.ggml.{key}"));
    }
    file.set("tokenizer.ggml.model", "llama".into());
    file.set("tokenizer.ggml.tokens", Value::Strings(tokens.into_iter().collect::<Strings>()));
    file.set("tokenizer.ggml.scores", scores.as_slice().into());
    file.set("tokenizer.ggml.token_type", kinds.as_slice().into());
}

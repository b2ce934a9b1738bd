//! Typed access to the fields of a configuration file, each bounded.

use crate::error::{Error, Kind, Result};
use crate::{ensure, fail};
use serde_json::Value;

/// Largest value that is accepted for any size, so that products of two sizes fit in `u32` bindings and `u64` bytes.
const MAX_SIZE: u64 = 1 << 20;

/// Most blocks in a tower or decoder; the 65B LLaMA has 80.
const MAX_LAYERS: u32 = 512;

/// Parses a JSON object; errors name the file. The limit of 1 MiB is hundreds of times a real configuration.
pub fn json_object(bytes: &[u8], place: &str) -> Result<Value> {
    ensure!(bytes.len() <= 1 << 20, Config, place, "{} bytes; a configuration has at most 1 MiB", bytes.len());
    let value: Value = serde_json::from_slice(bytes).map_err(|e| Error::new(Kind::Config, place, e.to_string()))?;
    ensure!(value.is_object(), Config, place, "is not a JSON object");
    Ok(value)
}

/// Typed access to an object's fields, with the place in every error.
pub(super) struct Fields<'a> {
    /// Place of the object in error messages.
    pub name: &'a str,
    pub object: &'a Value,
}

impl<'a> Fields<'a> {
    pub fn at(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|v| !v.is_null())
    }
    pub fn uint_or_zero(&self, key: &str, default: u32) -> Result<u32> {
        match self.get(key).map(|v| (v, v.as_u64())) {
            None => Ok(default),
            Some((_, Some(n))) if n <= MAX_SIZE => Ok(n as u32),
            Some((v, _)) => fail!(Config, self.at(key), "`{v}` is not an integer up to {MAX_SIZE}"),
        }
    }
    pub fn uint(&self, key: &str, default: u32) -> Result<u32> {
        let n = self.uint_or_zero(key, default)?;
        ensure!(n > 0, Config, self.at(key), "is zero");
        Ok(n)
    }
    pub fn layers(&self, default: u32) -> Result<u32> {
        let n = self.uint("num_hidden_layers", default)?;
        ensure!(n <= MAX_LAYERS, Config, self.at("num_hidden_layers"), "{n} is more than {MAX_LAYERS}");
        Ok(n)
    }
    /// Reads `max_position_embeddings`; a value above [`MAX_SIZE`] counts as [`MAX_SIZE`], which no device holds.
    pub fn positions(&self, default: u32) -> Result<u32> {
        match self.get("max_position_embeddings").and_then(Value::as_u64) {
            Some(n) if n > MAX_SIZE => Ok(MAX_SIZE as u32),
            _ => self.uint("max_position_embeddings", default),
        }
    }
    /// Reads Mistral's `sliding_window`: 4096 where it is absent, as in transformers; none where it is null.
    pub fn sliding_window(&self) -> Result<Option<u32>> {
        match self.object.get("sliding_window") {
            Some(Value::Null) => Ok(None),
            _ => self.uint("sliding_window", 4096).map(Some),
        }
    }
    pub fn float(&self, key: &str, default: f64) -> Result<f32> {
        match self.get(key).map(|v| (v, v.as_f64())) {
            None => Ok(default as f32),
            Some((_, Some(x))) if x > 0.0 && x < 1e9 => Ok(x as f32),
            Some((v, _)) => fail!(Config, self.at(key), "`{v}` is not a positive number"),
        }
    }
    pub fn boolean(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key).map(|v| (v, v.as_bool())) {
            None => Ok(default),
            Some((_, Some(b))) => Ok(b),
            Some((v, None)) => fail!(Config, self.at(key), "`{v}` is not true or false"),
        }
    }
    pub fn string(&self, key: &str, default: &'a str) -> Result<&'a str> {
        match self.get(key).map(|v| (v, v.as_str())) {
            None => Ok(default),
            Some((_, Some(s))) => Ok(s),
            Some((v, None)) => fail!(Config, self.at(key), "`{v}` is not a string"),
        }
    }
    pub fn multiple_of_4(&self, key: &str, n: u32) -> Result<()> {
        ensure!(n.is_multiple_of(4), Config, self.at(key), "{n} is not a multiple of 4");
        Ok(())
    }
    pub fn heads(&self, hidden: u32, heads: u32) -> Result<()> {
        ensure!(
            hidden.is_multiple_of(heads) && (hidden / heads).is_multiple_of(4) && hidden / heads <= 256,
            Config,
            self.at("num_attention_heads"),
            "{hidden} / {heads} heads is not a head size that is a multiple of 4 up to 256"
        );
        Ok(())
    }
}

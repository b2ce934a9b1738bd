//! The storage of keys and values: f32, or pairs of f16 in a word.

use crate::error::{Error, Result};
use crate::fail;
use crate::pass::{Buf, Words};
use bytemuck::{cast_slice, cast_slice_mut};
use half::f16;
use half::slice::HalfFloatSliceExt;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The type of keys and values in a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheType {
    /// 32 bits per value.
    #[default]
    F32,
    /// 16 bits per value, two in a word, the first in the low bits; rounded to nearest and clamped to ±65504.
    F16,
}

impl CacheType {
    /// Returns `f32` or `f16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    /// Returns the number of words of `values` values: whole `vec4<u32>`, as shaders read them.
    pub fn words(self, values: u64) -> u64 {
        match self {
            Self::F32 => values.next_multiple_of(4),
            Self::F16 => values.div_ceil(2).next_multiple_of(4),
        }
    }

    /// Returns the value of `const CACHE_F16` in shaders.
    pub(crate) fn code(self) -> u32 {
        u32::from(self == Self::F16)
    }
}

impl std::str::FromStr for CacheType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            _ => fail!(Argument, "cache type", "`{name}` is unknown (f32, f16)"),
        }
    }
}

impl std::fmt::Display for CacheType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Keys and values, `[S, N_kv, D]` each.
#[derive(Debug, Clone, Copy)]
pub struct Kv {
    /// Keys, rotated.
    pub k: Buf,
    /// Values.
    pub v: Buf,
    /// The type of both.
    pub stored: CacheType,
}

/// Returns the first `values` values of a cache. The twin of `keys`, `values` in the shaders.
pub(crate) fn read(code: u32, words: &Words, values: usize) -> Cow<'_, [f32]> {
    match code {
        0 => Cow::Borrowed(&words.f32()[..values]),
        _ => {
            let stored: &[f16] = &cast_slice(&words.0)[..values];
            let mut floats = vec![0.0; values];
            stored.convert_to_f32_slice(&mut floats);
            Cow::Owned(floats)
        }
    }
}

/// Stores `value` at index `at`. The twin of `put_key`, `put_value` in the shaders.
pub(crate) fn put(code: u32, words: &mut Words, at: usize, value: f32) {
    match code {
        0 => words.f32_mut()[at] = value,
        _ => cast_slice_mut::<u32, f16>(&mut words.0)[at] = f16::from_f32(value.clamp(-65504.0, 65504.0)),
    }
}

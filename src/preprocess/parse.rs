//! `preprocessor_config.json`, checked before it is believed.
//!
//! Absent fields take the value of the file's processor in transformers; fields that change nothing here
//! (`do_convert_rgb`, padding of a batch) are not read.

use super::config::{FILE, at};
use super::{Filter, PreprocessConfig, Tiling};
use crate::config::llava_next::{CANDIDATES, MAX_CANDIDATES, pairs};
use crate::config::{Config, SquarePolicy, json_object};
use crate::error::{Error, Kind, Result};
use crate::{ensure, fail};
use serde_json::Value;

/// Two ways of giving a size.
#[derive(Clone, Copy, PartialEq)]
enum Size {
    /// `{"shortest_edge": n}` or `n`: the aspect stays.
    Edge(u32),
    /// `{"height": n, "width": n}`: stretched to a square.
    Square(u32),
}

impl PreprocessConfig {
    /// Parses and checks `preprocessor_config.json` of a model. Without one: [`PreprocessConfig::of`].
    ///
    /// # Errors
    /// Those of [`PreprocessConfig::parse_with`].
    pub fn parse(bytes: Option<&[u8]>, config: &Config) -> Result<Self> {
        Self::parse_with(bytes, Self::of(config))
    }

    /// Parses and checks `preprocessor_config.json`. `defaults` are the settings of the model's family: they hold
    /// without a file, give the side of a square, and fill what a file of that family leaves out, such as the
    /// candidates of anyres, which config.json has too. `image_processor_type` goes before the family.
    ///
    /// # Errors
    /// [`Kind::Config`], naming the field, for what is malformed, not implemented, out of the bounds of
    /// [`PreprocessConfig::check`], or of another size than the vision tower's input.
    pub fn parse_with(bytes: Option<&[u8]>, defaults: Self) -> Result<Self> {
        let mut config = defaults;
        if let Some(bytes) = bytes {
            let root = json_object(bytes, FILE)?;
            config = processor(&root, config)?;
            for (key, wanted) in [("do_resize", true), ("do_rescale", true), ("do_normalize", true)] {
                let value = flag(&root, key, true)?;
                ensure!(value == wanted, Config, at(key), "{value} is not implemented");
            }
            if let Some(value) = field(&root, "resample") {
                config.filter = match value.as_u64() {
                    Some(1) => Filter::Lanczos,
                    Some(3) => Filter::Bicubic,
                    _ => fail!(Config, at("resample"), "`{value}` is not implemented (1, Lanczos; 3, bicubic)"),
                };
            }
            match config.tiling {
                Tiling::One(policy) => one(&root, policy, &mut config)?,
                Tiling::Grid { .. } => grid(&root, &mut config)?,
                Tiling::Anyres { .. } => anyres(&root, &mut config)?,
            }
            numbers(&root, &mut config)?;
        }
        config.check()?;
        Ok(config)
    }
}

/// Returns the settings of the file's processor: `defaults` where it is the family's own, or not named.
fn processor(root: &Value, defaults: PreprocessConfig) -> Result<PreprocessConfig> {
    use SquarePolicy::{Crop, Pad, Stretch};
    let named = ["image_processor_type", "feature_extractor_type"];
    let Some((key, value)) = named.iter().find_map(|key| Some((*key, field(root, key)?))) else {
        return Ok(defaults);
    };
    let Some(name) = value.as_str() else { fail!(Config, at(key), "`{value}` is not a name") };
    let kind = name.strip_suffix("Fast").or(name.strip_suffix("Pil")).unwrap_or(name);
    let size = defaults.size;
    Ok(match (kind, &defaults.tiling) {
        ("CLIPImageProcessor" | "CLIPFeatureExtractor" | "LlavaImageProcessor", Tiling::One(Pad | Crop))
        | ("SiglipImageProcessor", Tiling::One(Stretch))
        | ("Idefics3ImageProcessor" | "SmolVLMImageProcessor", Tiling::Grid { .. })
        | ("LlavaNextImageProcessor", Tiling::Anyres { .. }) => defaults,
        ("CLIPImageProcessor" | "CLIPFeatureExtractor" | "LlavaImageProcessor", _) => PreprocessConfig::llava(size),
        ("SiglipImageProcessor", _) => PreprocessConfig::siglip(size),
        ("Idefics3ImageProcessor" | "SmolVLMImageProcessor", _) => {
            PreprocessConfig::idefics3(size, size.saturating_mul(4))
        }
        ("LlavaNextImageProcessor", _) => PreprocessConfig::llava_next(size, CANDIDATES.to_vec()),
        _ => fail!(
            Config,
            at(key),
            "`{name}` is not implemented (CLIP, Siglip, Idefics3, SmolVLM, Llava and LlavaNext image processors are)"
        ),
    })
}

/// Reads the way of making one square; `policy` is the processor's own.
fn one(root: &Value, policy: SquarePolicy, config: &mut PreprocessConfig) -> Result<()> {
    let stretches = policy == SquarePolicy::Stretch;
    let tower = config.size;
    let size = size(root, "size")?.unwrap_or(if stretches { Size::Square(tower) } else { Size::Edge(tower) });
    let crops = flag(root, "do_center_crop", !stretches)?;
    // SigLIP's `do_pad` pads a batch whose pictures are all of one size.
    let pads = flag(root, "do_pad", false)? && !stretches
        || field(root, "image_aspect_ratio").and_then(Value::as_str) == Some("pad");
    let policy = match size {
        _ if pads => SquarePolicy::Pad,
        Size::Square(_) => SquarePolicy::Stretch,
        Size::Edge(_) if crops => SquarePolicy::Crop,
        Size::Edge(_) => {
            let hint = "set do_pad or do_center_crop, or give size as height and width";
            return Err(Error::new(Kind::Config, at("do_center_crop"), "nothing makes the picture square").hint(hint));
        }
    };
    let (Size::Edge(edge) | Size::Square(edge)) = size;
    let wrong = if policy == SquarePolicy::Crop { edge < tower } else { edge != tower };
    ensure!(!wrong, Config, at("size"), "{edge}; the vision tower takes {tower}");
    if crops || field(root, "crop_size").is_some() && !stretches {
        crop(root, tower)?;
    }
    (config.tiling, config.shortest_edge) = (Tiling::One(policy), edge);
    Ok(())
}

/// Reads the sizes of Idefics3.
fn grid(root: &Value, config: &mut PreprocessConfig) -> Result<()> {
    let tower = config.size;
    let square = longest_edge(root, "max_image_size")?.unwrap_or(tower);
    ensure!(square == tower, Config, at("max_image_size"), "{square}; the vision tower takes {tower}");
    let longest_edge = longest_edge(root, "size")?.unwrap_or(config.default_edge);
    config.splitting = flag(root, "do_image_splitting", true)?;
    (config.tiling, config.default_edge) = (Tiling::Grid { longest_edge }, longest_edge);
    Ok(())
}

/// Reads the sizes of LLaVA-NeXT.
fn anyres(root: &Value, config: &mut PreprocessConfig) -> Result<()> {
    let tower = config.size;
    if let Some(Size::Edge(size) | Size::Square(size)) = size(root, "size")? {
        ensure!(size == tower, Config, at("size"), "{size}; the vision tower takes {tower}");
    }
    crop(root, tower)?;
    let Some(value) = field(root, "image_grid_pinpoints") else { return Ok(()) };
    let Some(candidates) = pairs(value) else {
        fail!(Config, at("image_grid_pinpoints"), "is not a list of at most {MAX_CANDIDATES} [height, width]")
    };
    config.tiling = Tiling::Anyres { candidates };
    Ok(())
}

/// Reads the numbers of the normalisation.
fn numbers(root: &Value, config: &mut PreprocessConfig) -> Result<()> {
    config.rescale_factor = number(root.get("rescale_factor"), "rescale_factor", config.rescale_factor)?;
    for (key, values) in [("image_mean", &mut config.mean), ("image_std", &mut config.std)] {
        let given = field(root, key);
        ensure!(
            given.is_none_or(|v| v.as_array().is_some_and(|a| a.len() == 3)),
            Config,
            at(key),
            "is not a list of 3 numbers"
        );
        for (i, value) in values.iter_mut().enumerate() {
            *value = number(given.map(|list| &list[i]), key, *value)?;
        }
    }
    ensure!(
        config.std.iter().all(|s| *s > 0.0) && config.mean.iter().all(|m| (0.0..=1.0).contains(m)),
        Config,
        at("image_mean"),
        "{:?} and image_std {:?} are no means in 0 … 1 and positive deviations",
        config.mean,
        config.std
    );
    Ok(())
}

/// Returns a field that is present and not null.
fn field<'a>(root: &'a Value, key: &str) -> Option<&'a Value> {
    root.get(key).filter(|value| !value.is_null())
}

fn flag(root: &Value, key: &str, default: bool) -> Result<bool> {
    match field(root, key) {
        None => Ok(default),
        Some(Value::Bool(value)) => Ok(*value),
        Some(other) => fail!(Config, at(key), "`{other}` is not true or false"),
    }
}

fn number(value: Option<&Value>, key: &str, default: f64) -> Result<f64> {
    match value.filter(|v| !v.is_null()).map(|v| (v, v.as_f64())) {
        None => Ok(default),
        Some((_, Some(number))) if number.abs() < 1e6 => Ok(number),
        Some((value, _)) => fail!(Config, at(key), "`{value}` is not a number"),
    }
}

/// Returns a length that is within 1 … 4096.
fn length(value: Option<&Value>) -> Option<u32> {
    value.and_then(Value::as_u64).filter(|n| (1..=4096).contains(n)).map(|n| n as u32)
}

/// Reads a size: a number, `{"shortest_edge": n}` or `{"height": n, "width": n}`.
fn size(root: &Value, key: &str) -> Result<Option<Size>> {
    let Some(value) = field(root, key) else { return Ok(None) };
    let found = match value {
        Value::Object(map) => match (map.get("shortest_edge"), map.get("height"), map.get("width")) {
            (Some(edge), None, None) => length(Some(edge)).map(Size::Edge),
            (None, Some(height), Some(width)) if height == width => length(Some(height)).map(Size::Square),
            _ => None,
        },
        single => length(Some(single)).map(Size::Edge),
    };
    ensure!(found.is_some(), Config, at(key), "`{value}` is not the side of a square of at most 4096");
    Ok(found)
}

/// Checks that the centre crop leaves a square of side `tower`.
fn crop(root: &Value, tower: u32) -> Result<()> {
    let Some(Size::Edge(crop) | Size::Square(crop)) = size(root, "crop_size")? else { return Ok(()) };
    ensure!(crop == tower, Config, at("crop_size"), "{crop}; the vision tower takes {tower}");
    Ok(())
}

/// Reads `{"longest_edge": n}`.
fn longest_edge(root: &Value, key: &str) -> Result<Option<u32>> {
    let Some(value) = field(root, key) else { return Ok(None) };
    let found = length(value.get("longest_edge"));
    ensure!(found.is_some(), Config, at(key), "`{value}` is not a longest_edge of at most 4096");
    Ok(found)
}

#[cfg(test)]
mod tests;

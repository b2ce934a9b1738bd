//! Continuation of a shipped model: its files become the checkpoints of a run, at step 0 of every stage.

use super::params::Params;
use super::run::io;
use super::shards;
use crate::error::Result;
use crate::format::files::MANIFEST_FILE;
use crate::format::manifest::Manifest;
use burn::tensor::Device;
use std::path::Path;

/// The checkpoints that are written, and the parameters of each.
const CHECKPOINTS: [(&str, &str); 3] =
    [("tower", "vision_tower"), ("text", "language_model"), ("stage1", "multi_modal_projector")];

/// Writes the checkpoints and the tokenizer of a run that continues from the model whose manifest is in `model`. The
/// stages `tower`, `stage1` and `stage2` of `train run` begin there.
///
/// # Errors
/// Those of [`shards::import`]; [`Kind::Io`](crate::error::Kind::Io) when a file cannot be read or written.
pub fn begin(model: &Path, out: &Path) -> Result<()> {
    let read = |name: &str| {
        let path = model.join(name);
        std::fs::read(&path).map_err(io(&path))
    };
    let manifest = Manifest::parse(&read(MANIFEST_FILE)?)?;
    let shards = manifest.shards.iter().map(|shard| read(&shard.file)).collect::<Result<Vec<_>>>()?;
    let (params, _) = shards::import(&manifest, &read("config.json")?, &shards, Device::flex())?;
    std::fs::create_dir_all(out).map_err(io(out))?;
    write(&params, out)?;
    let path = out.join("tokenizer.json");
    std::fs::write(&path, read("tokenizer.json")?).map_err(io(&path))
}

/// Writes the checkpoints.
fn write(params: &Params, out: &Path) -> Result<()> {
    for (stage, prefix) in CHECKPOINTS {
        params.save(&out.join(format!("{stage}.safetensors")), "0 0", |name| name.starts_with(prefix))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::model_shape::ModelShape;
    use crate::train::{decoder, tower};

    #[test]
    fn a_run_begins_with_the_parameters_of_the_shipped_model() {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("www/models/scenes");
        let out = std::env::temp_dir().join(format!("llava-web-begin-{}", std::process::id()));
        begin(&model, &out).unwrap();
        let shape = ModelShape::shipped();
        let mut params = Params::new(Device::flex());
        let mut rng = crate::scenes::scene::scene_rng(1, 1);
        tower::init(&mut params, &shape, &mut rng);
        decoder::init(&mut params, &shape, &mut rng);
        for (stage, _) in CHECKPOINTS {
            let note = params.load(&out.join(format!("{stage}.safetensors"))).unwrap();
            assert_eq!(note, "0 0");
        }
        assert!(out.join("tokenizer.json").is_file());
        std::fs::remove_dir_all(&out).unwrap();
        let manifest = Manifest::parse(&std::fs::read(model.join(MANIFEST_FILE)).unwrap()).unwrap();
        let shards: Vec<Vec<u8>> =
            manifest.shards.iter().map(|s| std::fs::read(model.join(&s.file)).unwrap()).collect();
        let config = std::fs::read(model.join("config.json")).unwrap();
        let (shipped, _) = shards::import(&manifest, &config, &shards, Device::flex()).unwrap();
        let begun: std::collections::BTreeMap<_, _> =
            params.values().map(|(name, dims, values)| (name.to_owned(), (dims, values))).collect();
        for (name, dims, values) in shipped.values().filter(|(name, ..)| !name.starts_with("clip_")) {
            assert_eq!(begun[name], (dims, values), "{name}");
        }
    }
}

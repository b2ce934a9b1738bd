//! The shipped model as parameters, and parameters as the shipped model's files.
//!
//! The files are this project's own layout ([`Manifest`]). Matrices are transposed on the way, as PyTorch stores `[out, in]`
//! and Burn's parameters here `[in, out]`.

use super::model_shape::ModelShape;
use super::params::Params;
use super::whitening;
use crate::config::Config;
use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::format::files::MANIFEST_FILE;
use crate::format::manifest::{Layout, Manifest, TensorRecord};
use crate::format::shards::ShardWriter;
use crate::quant::{dequantize, quantize};
use burn::tensor::Device;

/// Largest shard that is written, bytes.
const SHARD_BYTES: u64 = 16 << 20;

/// Returns whether a tensor has the same order of values in Burn's parameters as in the files.
fn is_plain(name: &str, record: &TensorRecord) -> bool {
    record.layout == Layout::Rows || name.contains("embed_tokens")
}

/// Returns `[columns, rows]` of a matrix `[rows, columns]`.
fn transposed(rows: usize, columns: usize, values: &[f32]) -> Vec<f32> {
    (0..rows * columns).map(|i| values[i % rows * columns + i / rows]).collect()
}

/// Returns a tensor's stored rows and columns; a vector is one row.
fn dims(record: &TensorRecord) -> [usize; 2] {
    match record.shape.as_slice() {
        [columns] => [1, *columns as usize],
        [rows, rest @ ..] => [*rows as usize, rest.iter().map(|&n| n as usize).product()],
        [] => [0, 0],
    }
}

/// Reads all values of a tensor, row by row as stored.
fn values(record: &TensorRecord, shards: &[Vec<u8>]) -> Result<Vec<f32>> {
    let mut all = Vec::new();
    for tile in &record.tiles {
        let bytes = shards.get(tile.shard as usize).and_then(|shard| {
            let start = usize::try_from(tile.offset).ok()?;
            shard.get(start..start.checked_add(usize::try_from(tile.bytes).ok()?)?)
        });
        let bytes = bytes.ok_or_else(|| Error::new(Kind::Shard, &record.name, "lies outside its shard"))?;
        match record.layout {
            Layout::Rows => all.extend(bytemuck::pod_collect_to_vec::<u8, f32>(bytes)),
            Layout::Blocks => {
                all.extend(dequantize(record.weight_type, tile.rows[1] - tile.rows[0], record.shape[1], bytes)?);
            }
        }
    }
    Ok(all)
}

/// Makes the parameters of a model from its manifest, `config.json` and shards, without whitening.
///
/// # Errors
/// [`Kind::Tensor`] for a model of another shape than the shipped one; those of the parsers.
pub fn import(manifest: &Manifest, config: &[u8], shards: &[Vec<u8>], device: Device) -> Result<(Params, ModelShape)> {
    let shape = ModelShape::shipped();
    manifest.match_config(&Config::parse(config, None)?)?;
    for (record, bytes) in manifest.shards.iter().zip(shards) {
        record.verify(bytes)?;
    }
    ensure!(manifest.shards.len() == shards.len(), Shard, MANIFEST_FILE, "{} shards were given", shards.len());
    let mut params = Params::new(device);
    for record in &manifest.tensors {
        let ([rows, columns], values) = (dims(record), values(record, shards)?);
        match is_plain(&record.name, record) {
            true => params.set(record.name.clone(), [rows, columns], values),
            false => params.set(record.name.clone(), [columns, rows], transposed(rows, columns, &values)),
        }
    }
    for (name, want) in [
        ("vision_tower.vision_model.embeddings.position_embedding.weight", [shape.patches() + 1, shape.vision_width]),
        ("language_model.model.embed_tokens.weight", [shape.vocab, shape.hidden]),
    ] {
        let found = params.values().find(|(found, ..)| *found == name).map(|(_, dims, _)| dims);
        ensure!(found == Some(want), Tensor, name, "has shape {found:?}; the model that is trained here has {want:?}");
    }
    whitening::init(&mut params, &shape);
    Ok((params, shape))
}

/// Writes the parameters in the types and order of `like`, with the whitening folded into the connector. Returns the
/// manifest, which has the name `name`; `emit(file name, bytes)` receives each shard.
///
/// # Errors
/// [`Kind::Tensor`] when a parameter is missing or a value does not fit its type; those of `emit`.
pub fn write(
    params: &Params,
    like: &Manifest,
    name: &str,
    emit: &mut dyn FnMut(&str, &[u8]) -> Result<()>,
) -> Result<Manifest> {
    let all = whitening::folded(params);
    let mut writer = ShardWriter::new(SHARD_BYTES);
    let mut tensors = Vec::new();
    for record in &like.tensors {
        let Some((found, values)) = all.get(&record.name) else {
            return Err(Error::new(Kind::Tensor, &record.name, "is not among the parameters"));
        };
        let [rows, columns] = dims(record);
        ensure!(found[0] * found[1] == rows * columns, Tensor, &record.name, "{found:?} is not {:?}", record.shape);
        let values = if is_plain(&record.name, record) { values.clone() } else { transposed(columns, rows, values) };
        let bytes = match record.layout {
            Layout::Rows => bytemuck::cast_slice(&values).to_vec(),
            Layout::Blocks => quantize(record.weight_type, record.shape[0], record.shape[1], &values)?,
        };
        let tile = writer.add([0, record.shape[0]], &bytes, emit)?;
        tensors.push(TensorRecord { tiles: vec![tile], ..record.clone() });
    }
    let shards = writer.finish(emit)?;
    Ok(Manifest { name: name.to_owned(), shards, tensors, mirrors: Vec::new(), ..like.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// The shipped model's manifest, configuration and shards.
    fn shipped() -> (Manifest, Vec<u8>, Vec<Vec<u8>>) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("www/models/scenes");
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let manifest = Manifest::parse(&read(MANIFEST_FILE)).unwrap_or_else(|e| panic!("{e}"));
        let shards = manifest.shards.iter().map(|shard| read(&shard.file)).collect();
        (manifest, read("config.json"), shards)
    }

    #[test]
    fn the_shipped_model_is_written_as_it_was_read() {
        let (manifest, config, shards) = shipped();
        let (params, shape) = import(&manifest, &config, &shards, Device::flex()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(
            params.count("language_model"),
            2 * shape.vocab * shape.hidden + 4 * (4 * 192 * 192 + 3 * 192 * 512 + 2 * 192) + 192
        );
        let mut written = Vec::new();
        let mut emit = |_: &str, bytes: &[u8]| {
            written.push(bytes.to_vec());
            Ok(())
        };
        let again = write(&params, &manifest, "scenes", &mut emit).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(again, manifest);
        assert_eq!(written, shards);
    }

    #[test]
    fn a_shard_that_is_not_the_manifests_is_refused() {
        let (manifest, config, mut shards) = shipped();
        shards[0][100] ^= 1;
        assert!(import(&manifest, &config, &shards, Device::flex()).is_err());
    }
}

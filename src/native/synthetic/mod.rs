//! Random weights with the names, shapes, types and metadata of the public LLaVA files, for measuring loading, memory
//! and speed without a download. Bytes follow from the seed and are computed when they are read; no file has to exist.

mod fill;
mod sizes;
mod vocabulary;

pub use sizes::{Format, ModelSize};

use crate::config::{Config, ConnectorKind};
use crate::ensure;
use crate::error::{Error, Kind, Result};
use crate::format::gguf::write::{TensorSpec, beginning};
use crate::format::gguf::{Gguf, Parsed, Value, describe, parse};
use crate::format::names::expected;
use crate::format::source::Source;
use crate::quant::Encoding;
use fill::{Fill, Random};
use serde_json::json;

/// Maximum bytes per chunk of a tensor. A chunk has its own seed, so a read computes only the chunks that it touches.
const CHUNK: u64 = 1 << 20;

/// The files of one synthetic model.
pub struct Synthetic {
    seed: u64,
    format: Format,
    files: Vec<SyntheticFile>,
}

/// A file whose bytes are computed when they are read.
pub struct SyntheticFile {
    /// File name.
    pub name: String,
    /// Length, bytes.
    pub bytes: u64,
    /// Bytes before the tensors.
    beginning: Vec<u8>,
    /// Tensors by offset; bytes between and after them are zero.
    tensors: Vec<PlacedTensor>,
}

/// A tensor at its offset in a file.
struct PlacedTensor {
    offset: u64,
    bytes: u64,
    tensor: TensorSpec,
    fill: Fill,
}

impl Synthetic {
    /// Describes a model of the given size in files of the given format.
    ///
    /// # Errors
    /// When the tables of sizes and names contradict each other.
    pub fn new(size: ModelSize, format: Format, seed: u64) -> Result<Self> {
        let files = if format == Format::Safetensors { safetensors(size)? } else { gguf(size, format)?.into() };
        Ok(Self { seed, format, files })
    }

    /// Returns the files.
    pub fn files(&self) -> &[SyntheticFile] {
        &self.files
    }

    /// Returns the names of the files that the model is opened with.
    pub fn entry(&self) -> Vec<String> {
        let all = self.files.iter().map(|file| file.name.clone());
        if self.format == Format::Safetensors { vec!["config.json".into()] } else { all.collect() }
    }

    fn file(&self, name: &str) -> Option<&SyntheticFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

impl Source for Synthetic {
    async fn size(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.file(name).map(|file| file.bytes))
    }

    async fn read(&self, name: &str, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        let file = self.file(name).ok_or_else(|| Error::new(Kind::Io, name, "is none of the model's files"))?;
        let end = offset.checked_add(bytes).filter(|end| *end <= file.bytes);
        ensure!(end.is_some(), Io, name, "{bytes} bytes from {offset} on; it has {}", file.bytes);
        Ok(file.read(self.seed, offset, bytes))
    }
}

impl SyntheticFile {
    fn read(&self, seed: u64, offset: u64, bytes: u64) -> Vec<u8> {
        let mut out = vec![0; bytes as usize];
        let end = offset + bytes;
        let mut put = |at: u64, piece: &[u8]| {
            let (from, to) = (at.max(offset), (at + piece.len() as u64).min(end));
            if from < to {
                let to_out = (from - offset) as usize..(to - offset) as usize;
                out[to_out].copy_from_slice(&piece[(from - at) as usize..(to - at) as usize]);
            }
        };
        put(0, &self.beginning);
        let first = self.tensors.partition_point(|t| t.offset + t.bytes <= offset);
        for PlacedTensor { offset: start, bytes, tensor, fill } in &self.tensors[first..] {
            if *start >= end {
                break;
            }
            let block = u64::from(tensor.encoding.block().1);
            let most = CHUNK / block * block;
            let wanted = offset.saturating_sub(*start) / most..(end - start).min(*bytes).div_ceil(most);
            for chunk in wanted {
                let mut piece = vec![0; most.min(bytes - chunk * most) as usize];
                fill::fill(tensor.encoding, *fill, &mut Random::new(seed, &tensor.name, chunk), &mut piece);
                put(start + chunk * most, &piece);
            }
        }
        out
    }
}

/// Returns the tensors of the two GGUF files, with llama.cpp's names, in order of use.
fn gguf_tensors(size: ModelSize, format: Format) -> Result<[Vec<(TensorSpec, Fill)>; 2]> {
    let config = Config::parse(size.config(false).to_string().as_bytes(), None)?;
    let mut files = [Vec::new(), Vec::new()];
    for e in expected(&config) {
        let missing = || Error::new(Kind::Tensor, &e.name, "has no name in GGUF");
        let mut name = crate::format::gguf::write::name(&e.name).ok_or_else(missing)?;
        if matches!(config.connector, ConnectorKind::PixelShuffle { .. }) {
            name = name.replace("mm.0.", "mm.model.fc.");
        }
        let language = e.name.starts_with("language_model.");
        let encoding =
            if language { format.language(&name, &config) } else { sizes::vision(size, &name, &e.checkpoint_shape) };
        let fill = Fill::of(&e.name);
        files[usize::from(!language)].push((TensorSpec { name, encoding, shape: e.checkpoint_shape }, fill));
    }
    Ok(files)
}

/// Describes the GGUF pair: language model and mmproj.
fn gguf(size: ModelSize, format: Format) -> Result<[SyntheticFile; 2]> {
    let [language, vision] = gguf_tensors(size, format)?;
    let named = |what: &str| format!("synthetic-{}-{what}.gguf", size.name());
    let file = |name: String, metadata: &[(String, Value)], tensors: Vec<(TensorSpec, Fill)>| {
        let planned: Vec<TensorSpec> = tensors.iter().map(|(t, _)| t.clone()).collect();
        let beginning = beginning(metadata, &planned)?;
        let place = |((tensor, fill), offset): ((TensorSpec, Fill), &u64)| {
            Ok(PlacedTensor { offset: *offset, bytes: tensor.bytes()?, tensor, fill })
        };
        let tensors = tensors.into_iter().zip(&beginning.offsets).map(place).collect::<Result<_>>()?;
        Ok(SyntheticFile { name, bytes: beginning.size, beginning: beginning.bytes, tensors })
    };
    Ok([
        file(named(format.name()), &sizes::language_metadata(size, format), language)?,
        file(named(sizes::vision_name(size)), &sizes::vision_metadata(size), vision)?,
    ])
}

/// Parses the header of a GGUF file.
fn header(file: &SyntheticFile) -> Result<Gguf> {
    match parse(&file.beginning, file.bytes)? {
        Parsed::Header(header) => Ok(header),
        Parsed::More(_) => Err(Error::new(Kind::Tensor, &file.name, "its own header is not whole")),
    }
}

/// Describes the llava-hf layout: f16 weights in several files with an index, the whole tower, and the small files.
fn safetensors(size: ModelSize) -> Result<Vec<SyntheticFile>> {
    let config = size.config(true);
    // The file holds the whole tower, although the model skips its last block: -1 selects all blocks.
    let mut full = config.clone();
    full["vision_feature_layer"] = json!(-1);
    let list = expected(&Config::parse(full.to_string().as_bytes(), None)?);
    let mut tensors: Vec<TensorSpec> = list
        .into_iter()
        .map(|e| TensorSpec { name: e.name, encoding: Encoding::F16, shape: e.checkpoint_shape })
        .collect();
    tensors.extend(size.post_layernorm());
    let sizes = tensors.iter().map(TensorSpec::bytes).collect::<Result<Vec<_>>>()?;
    let total: u64 = sizes.iter().sum();
    let ranges = files_of(&sizes, size.file_bytes(total));
    let mut weight_map = serde_json::Map::new();
    let mut files = Vec::new();
    for (i, range) in ranges.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", i + 1, ranges.len());
        let (mut entries, mut at) = (serde_json::Map::new(), 0);
        entries.insert("__metadata__".to_string(), json!({"format": "pt"}));
        let mut placed = Vec::new();
        for (tensor, bytes) in tensors[range.clone()].iter().zip(&sizes[range.clone()]) {
            let entry = json!({"dtype": "F16", "shape": tensor.shape, "data_offsets": [at, at + bytes]});
            entries.insert(tensor.name.clone(), entry);
            weight_map.insert(tensor.name.clone(), json!(name));
            let fill = Fill::of(&tensor.name);
            placed.push(PlacedTensor { offset: at, bytes: *bytes, tensor: tensor.clone(), fill });
            at += bytes;
        }
        let mut header = serde_json::Value::Object(entries).to_string();
        header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
        let mut beginning = (header.len() as u64).to_le_bytes().to_vec();
        beginning.extend(header.as_bytes());
        let begins = beginning.len() as u64;
        placed.iter_mut().for_each(|tensor| tensor.offset += begins);
        files.push(SyntheticFile { name, bytes: begins + at, beginning, tensors: placed });
    }
    // Tokenizer and preprocessing are those of the GGUF pair of the same size.
    let [language, vision] = gguf(size, Format::GgufQ4_0)?;
    let described = describe(&[header(&language)?, header(&vision)?])?;
    let index = json!({"metadata": {"total_size": total}, "weight_map": weight_map});
    let small = [
        ("config.json", config.to_string().into_bytes()),
        ("generation_config.json", described.generation_config),
        ("preprocessor_config.json", described.preprocessor_config),
        ("tokenizer.json", described.tokenizer),
        ("model.safetensors.index.json", index.to_string().into_bytes()),
    ];
    files.extend(small.map(|(name, beginning)| {
        let bytes = beginning.len() as u64;
        SyntheticFile { name: name.into(), bytes, beginning, tensors: Vec::new() }
    }));
    Ok(files)
}

/// Splits the tensors into files of at most `most` bytes each, with at least one tensor per file.
fn files_of(sizes: &[u64], most: u64) -> Vec<std::ops::Range<usize>> {
    let (mut files, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (i, size) in sizes.iter().enumerate() {
        if i > start && bytes + size > most {
            files.push(start..i);
            (start, bytes) = (i, 0);
        }
        bytes += size;
    }
    files.push(start..sizes.len());
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use pollster::block_on;

    /// Bytes of the published pairs, within 1 %: their vocabularies are of other lengths.
    #[test]
    fn pairs_of_smolvlm_have_the_published_sizes() {
        for (size, published) in [
            (ModelSize::SmolVlm256M, [175_054_528u64, 103_769_856]),
            (ModelSize::SmolVlm500M, [436_806_912, 108_783_360]),
        ] {
            let model = Synthetic::new(size, Format::GgufQ8_0, 1).unwrap();
            for (file, published) in model.files().iter().zip(published) {
                let difference = file.bytes.abs_diff(published);
                assert!(difference * 100 < published, "{}: {} bytes, not {published}", file.name, file.bytes);
            }
            let [language, vision] = model.files() else { panic!("a pair") };
            let described = describe(&[header(language).unwrap(), header(vision).unwrap()]).unwrap();
            let config = Config::parse(&described.config, Some(&described.generation_config)).unwrap();
            let wanted = Config::parse(size.config(false).to_string().as_bytes(), None).unwrap();
            assert_eq!((config.tile_rows(), config), (64, wanted));
        }
    }

    #[test]
    fn any_range_is_a_piece_of_the_whole() {
        for format in [Format::GgufQ4_0, Format::Safetensors] {
            let model = Synthetic::new(ModelSize::Tiny, format, 1).unwrap();
            for file in model.files() {
                let whole = block_on(model.read(&file.name, 0, file.bytes)).unwrap();
                assert_eq!(whole.len() as u64, file.bytes);
                let mut at = 0;
                for length in [1, 17, 70_001, CHUNK, CHUNK / 3].into_iter().cycle() {
                    let length = length.min(file.bytes - at);
                    let piece = block_on(model.read(&file.name, at, length)).unwrap();
                    assert!(piece == whole[at as usize..(at + length) as usize], "{} at {at}", file.name);
                    at += length;
                    if at == file.bytes {
                        break;
                    }
                }
                assert!(block_on(model.read(&file.name, file.bytes, 1)).is_err());
                assert!(block_on(model.read(&file.name, 1, u64::MAX)).is_err());
            }
        }
    }
}

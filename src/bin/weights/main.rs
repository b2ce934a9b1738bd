//! Writes weights of a LLaVA that was never trained, with the names, shapes, types and metadata of the public
//! files: for measuring loading, memory and speed where the real ones are not at hand. Same seed, same bytes.

mod fill;
mod sizes;
mod vocabulary;

use clap::Parser;
use fill::{Filling, Random};
use llava_web::config::Config;
use llava_web::error::{Error, Kind, Result};
use llava_web::format::gguf::write::{Planned, beginning};
use llava_web::format::gguf::{Gguf, Parsed, describe, parse};
use llava_web::format::names::expected;
use llava_web::quant::Encoding;
use serde_json::json;
use sizes::{Format, Size};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write weights of a LLaVA that was never trained.
#[derive(Parser)]
#[command(name = "weights", version)]
struct Args {
    /// Which LLaVA-1.5 to imitate.
    #[arg(long, value_enum)]
    size: Size,
    /// What files to write.
    #[arg(long, value_enum)]
    format: Format,
    /// Another seed, other weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for the files.
    #[arg(long)]
    out: PathBuf,
}

/// Bytes that are made at a time.
const CHUNK: usize = 4 << 20;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weights: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    std::fs::create_dir_all(&args.out).map_err(|e| io(&args.out, &e))?;
    match args.format {
        Format::Safetensors => safetensors(args),
        Format::GgufQ4_0 | Format::GgufQ4_0Pure | Format::GgufQ4KM => gguf(args),
    }
}

fn io(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::Io, path.display().to_string(), error.to_string())
}

/// Writes a file under a temporary name, which it loses when it is whole.
fn write_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = path.with_file_name(format!("{name}.part"));
    let whole = || {
        let mut file = BufWriter::new(File::create(&part)?);
        write(&mut file)?;
        file.into_inner()?.sync_data()?;
        std::fs::rename(&part, path)
    };
    whole().map_err(|e| io(path, &e))?;
    println!("{}: {} bytes", path.display(), std::fs::metadata(path).map_err(|e| io(path, &e))?.len());
    Ok(())
}

/// One tensor's bytes, a chunk at a time.
fn write_tensor(out: &mut dyn Write, seed: u64, tensor: &Planned, filling: Filling, bytes: u64) -> std::io::Result<()> {
    let mut random = Random::new(seed, &tensor.name);
    let (_, block) = tensor.encoding.block();
    let most = CHUNK / block as usize * block as usize;
    let mut chunk = vec![0; most.min(bytes as usize)];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(most as u64) as usize;
        fill::fill(tensor.encoding, filling, &mut random, &mut chunk[..now]);
        out.write_all(&chunk[..now])?;
        left -= now as u64;
    }
    Ok(())
}

/// The two files' tensors: llama.cpp's names, in order of use.
fn gguf_tensors(size: Size, format: Format) -> Result<[Vec<(Planned, Filling)>; 2]> {
    let config = Config::parse(size.config(false).to_string().as_bytes(), None)?;
    let mut files = [Vec::new(), Vec::new()];
    for e in expected(&config) {
        let missing = || Error::new(Kind::Tensor, &e.name, "has no name in GGUF");
        let name = llava_web::format::gguf::write::name(&e.name).ok_or_else(missing)?;
        let language = e.name.starts_with("language_model.");
        let encoding =
            if language { format.language(&name, &config) } else { sizes::vision(&name, &e.checkpoint_shape) };
        let filling = Filling::of(&e.name);
        files[usize::from(!language)].push((Planned { name, encoding, shape: e.checkpoint_shape }, filling));
    }
    Ok(files)
}

fn gguf(args: &Args) -> Result<()> {
    let [language, vision] = gguf_tensors(args.size, args.format)?;
    let named = |what: &str| args.out.join(format!("synthetic-{}-{what}.gguf", args.size.name()));
    let (metadata, mmproj) = (sizes::language_metadata(args.size, args.format), sizes::vision_metadata(args.size));
    for (path, metadata, tensors) in
        [(named(args.format.name()), metadata, language), (named("mmproj-f16"), mmproj, vision)]
    {
        let planned: Vec<Planned> = tensors.iter().map(|(t, _)| t.clone()).collect();
        let beginning = beginning(&metadata, &planned)?;
        let ends = beginning.offsets.iter().skip(1).chain([&beginning.size]);
        write_file(&path, |out| {
            out.write_all(&beginning.bytes)?;
            for (((tensor, filling), start), end) in tensors.iter().zip(&beginning.offsets).zip(ends) {
                let bytes = tensor.bytes().map_err(std::io::Error::other)?;
                write_tensor(out, args.seed, tensor, *filling, bytes)?;
                out.write_all(&vec![0; (end - start - bytes) as usize])?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The header of a file that is not written.
fn header(metadata: &[(String, llava_web::format::gguf::Value)], tensors: &[(Planned, Filling)]) -> Result<Gguf> {
    let planned: Vec<Planned> = tensors.iter().map(|(t, _)| t.clone()).collect();
    let beginning = beginning(metadata, &planned)?;
    match parse(&beginning.bytes, beginning.size)? {
        Parsed::Header(header) => Ok(header),
        Parsed::More(_) => Err(Error::new(Kind::Tensor, "GGUF", "its own header is not whole")),
    }
}

/// The llava-hf layout: f16 in several files with an index, the whole tower, and the small files.
fn safetensors(args: &Args) -> Result<()> {
    let config = args.size.config(true);
    // The whole tower is written, though its last block is not run: `full` has as many blocks as there are.
    let mut full = config.clone();
    full["vision_feature_layer"] = json!(-1);
    let list = expected(&Config::parse(full.to_string().as_bytes(), None)?);
    let mut tensors: Vec<Planned> = list
        .into_iter()
        .map(|e| Planned { name: e.name, encoding: Encoding::F16, shape: e.checkpoint_shape })
        .collect();
    tensors.extend(args.size.post_layernorm());
    let sizes = tensors.iter().map(Planned::bytes).collect::<Result<Vec<_>>>()?;
    let total: u64 = sizes.iter().sum();
    let files = files_of(&sizes, args.size.file_bytes(total));
    let name = |i: usize| format!("model-{:05}-of-{:05}.safetensors", i + 1, files.len());
    let mut weight_map = serde_json::Map::new();
    for (i, range) in files.iter().enumerate() {
        let (mut entries, mut at) = (serde_json::Map::new(), 0);
        entries.insert("__metadata__".to_string(), json!({"format": "pt"}));
        for (tensor, bytes) in tensors[range.clone()].iter().zip(&sizes[range.clone()]) {
            let entry = json!({"dtype": "F16", "shape": tensor.shape, "data_offsets": [at, at + bytes]});
            entries.insert(tensor.name.clone(), entry);
            weight_map.insert(tensor.name.clone(), json!(name(i)));
            at += bytes;
        }
        let mut header = serde_json::Value::Object(entries).to_string();
        header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
        write_file(&args.out.join(name(i)), |out| {
            out.write_all(&(header.len() as u64).to_le_bytes())?;
            out.write_all(header.as_bytes())?;
            for (tensor, bytes) in tensors[range.clone()].iter().zip(&sizes[range.clone()]) {
                write_tensor(out, args.seed, tensor, Filling::of(&tensor.name), *bytes)?;
            }
            Ok(())
        })?;
    }
    // The tokenizer and the picture's numbers are those of the GGUF pair of the same size.
    let [language, vision] = gguf_tensors(args.size, Format::GgufQ4_0)?;
    let language = header(&sizes::language_metadata(args.size, Format::GgufQ4_0), &language)?;
    let described = describe(&[language, header(&sizes::vision_metadata(args.size), &vision)?])?;
    let index = json!({"metadata": {"total_size": total}, "weight_map": weight_map});
    for (name, bytes) in [
        ("config.json", config.to_string().into_bytes()),
        ("generation_config.json", described.generation_config),
        ("preprocessor_config.json", described.preprocessor_config),
        ("tokenizer.json", described.tokenizer),
        ("model.safetensors.index.json", index.to_string().into_bytes()),
    ] {
        write_file(&args.out.join(name), |out| out.write_all(&bytes))?;
    }
    Ok(())
}

/// Which tensors go into which file: as many as fit, one at least.
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

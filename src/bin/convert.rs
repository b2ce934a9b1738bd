//! `convert <checkpoint> <out_dir>`: a LLaVA checkpoint of any layout → manifest and shards; `--inspect`: its contents.
//!
//! Files and the clock live here; [`llava_web::format::convert`] converts the bytes.

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use llava_web::device::{BackendChoice, Device};
use llava_web::engine::Loader;
use llava_web::ensure;
use llava_web::error::{Error, Kind, Result};
use llava_web::format::blueprint::Blueprint;
use llava_web::format::convert::{ConvertOptions, SHARD_BYTES, Sink, convert};
use llava_web::format::files::MANIFEST_FILE;
use llava_web::format::manifest::Manifest;
use llava_web::native::{Folder, io_error, now, read_file};
use llava_web::prompt::Template;
use llava_web::quant::WeightType;
use pollster::block_on;
use std::fs;
use std::path::{Path, PathBuf};

/// Converts a LLaVA checkpoint (Hugging Face directory, original LLaVA directory or GGUF pair) for the browser.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The checkpoint: its directory, or the language model of a GGUF pair.
    source: PathBuf,
    /// Where to write; must not exist, or be empty.
    #[arg(required_unless_present = "inspect")]
    out: Option<PathBuf>,
    /// Lists tensors, types and sizes, and what a page would need for them; writes nothing.
    #[arg(long)]
    inspect: bool,
    /// The pair's other file, where it is not beside the language model.
    #[arg(long, value_name = "FILE")]
    mmproj: Option<PathBuf>,
    /// The CLIP tower of an original LLaVA checkpoint: a directory with config.json and model.safetensors or
    /// pytorch_model.bin.
    #[arg(long, value_name = "DIR")]
    vision_tower: Option<PathBuf>,
    /// Decoder and head: q4, q8, f16 or f32 [default: q4 for floats; GGUF weights stay exactly as they are].
    #[arg(long)]
    quant: Option<WeightType>,
    /// Vision tower and connector [default: f16; f32 with --quant f32; as they are for GGUF].
    #[arg(long)]
    vision_quant: Option<WeightType>,
    /// Embedding table, and the head if it is tied to it [default: f16; f32 with --quant f32; as it is for GGUF].
    #[arg(long)]
    embed_quant: Option<WeightType>,
    /// Length of a shard, MiB.
    #[arg(long, default_value_t = SHARD_BYTES >> 20, value_parser = clap::value_parser!(u64).range(4..=256))]
    shard_mib: u64,
    /// vicuna_v1, llava_v1, llava_hf, llama_3, chat_ml, phi_3, mistral or plain [default: what the checkpoint or its
    /// tokenizer says].
    #[arg(long)]
    prompt_template: Option<Template>,
    /// What to call the model [default: what it calls itself, else its directory's name].
    #[arg(long)]
    name: Option<String>,
    /// Another address where the result will lie, such as https://example.org/llava/ (repeatable).
    #[arg(long, value_name = "URL")]
    mirror: Vec<String>,
    /// Replace an earlier conversion in the output directory.
    #[arg(long)]
    force: bool,
}

fn main() -> std::process::ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("convert: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let source = &arguments.source;
    let (folder, entry) = Folder::locate(source, arguments.mmproj.as_deref(), arguments.vision_tower.as_deref())?;
    if arguments.inspect {
        return block_on(inspect(&folder, &entry));
    }
    let Some(out) = &arguments.out else { return Ok(()) };
    check_target(out, arguments.force)?;
    let base = fs::canonicalize(source).map_err(|e| io_error(source, &e))?;
    let fallback = base.file_stem().map_or("llava".into(), |name| name.to_string_lossy().into_owned());
    let pair = entry.iter().any(|name| name.ends_with(".gguf"));
    let options = ConvertOptions {
        quant: arguments.quant.or((!pair).then_some(WeightType::Q4)),
        vision_quant: arguments.vision_quant,
        embed_quant: arguments.embed_quant,
        shard_bytes: arguments.shard_mib << 20,
        prompt_template: arguments.prompt_template,
        name: arguments.name.clone(),
        mirrors: arguments.mirror.clone(),
    };
    // Written beside the target under another name, so that the target is always whole or absent.
    let mut partial = Partial::new(out)?;
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:32} {percent:>3} % {elapsed} / {duration}  {wide_msg}");
    bar.set_style(style.expect("the template is a constant"));
    let manifest = block_on(convert(&folder, &entry, &fallback, &mut partial, &options, &mut |p| {
        bar.set_length(p.total);
        bar.set_position(p.done);
        bar.set_message(p.tensor.to_string());
    }))?;
    bar.finish_and_clear();
    verify(&partial.path)?;
    partial.rename_to(out)?;
    println!(
        "{}: {}, {} parameters, {} tensors in {} shards, {:.1} MB, template {}",
        out.display(),
        manifest.name,
        manifest.parameters,
        manifest.tensors.len(),
        manifest.shards.len(),
        manifest.shards.iter().map(|s| s.bytes).sum::<u64>() as f64 / 1e6,
        manifest.prompt_template
    );
    Ok(())
}

/// Lists the tensors of a checkpoint, and the download and memory of its model.
async fn inspect(folder: &Folder, entry: &[String]) -> Result<()> {
    let blueprint = Blueprint::open(folder, entry).await?;
    println!("{:<72} {:<18} {:<6} {:<6} {:>12}", "tensor", "shape", "file", "held", "bytes");
    for tensor in &blueprint.tensors {
        let shape = format!("{:?}", tensor.expected.shape);
        let stored = tensor.encoding.map_or("".into(), |e| e.to_string());
        let (name, held) = (&tensor.expected.name, tensor.weight_type);
        println!("{name:<72} {shape:<18} {stored:<6} {held:<6} {:>12}", tensor.bytes());
    }
    let parts = blueprint.parts.len();
    println!("{}: {} parameters, template {}", blueprint.name, blueprint.parameters, blueprint.template);
    println!("download: {:.1} MB in {parts} parts", blueprint.total_bytes() as f64 / 1e6);
    for note in blueprint.notes() {
        println!("note: {note}");
    }
    let loader = Loader::open(Device::open(BackendChoice::Cpu).await?, folder, entry, &now).await?;
    let longest = loader.plan(None).await?.longest_context;
    println!(
        "{:>8} {:>12} {:>12} {:>12} {:>12}  (MB on the device)",
        "context", "weights", "cache", "scratch", "total"
    );
    for context in [1024, 2048, 4096, longest].into_iter().filter(|c| *c <= longest) {
        let memory = loader.plan(Some(context)).await?.memory;
        let mb = |bytes: u64| bytes as f64 / 1e6;
        println!(
            "{context:>8} {:>12.1} {:>12.1} {:>12.1} {:>12.1}  cache {}",
            mb(memory.weights),
            mb(memory.cache_per_token * u64::from(context)),
            mb(memory.scratch),
            mb(memory.total),
            memory.cache_type
        );
    }
    Ok(())
}

/// Reads all files back and checks them as a loader does.
fn verify(directory: &Path) -> Result<()> {
    let manifest = Manifest::parse(&read_file(&directory.join(MANIFEST_FILE))?)?;
    block_on(manifest.small_files(&Folder::new(directory, None)))?;
    manifest.shards.iter().try_for_each(|shard| shard.verify(&read_file(&directory.join(&shard.file))?))
}

/// Checks that the target is absent, empty, or an earlier conversion that `force` lets replace.
fn check_target(out: &Path, force: bool) -> Result<()> {
    if !out.exists() {
        return Ok(());
    }
    let place = || out.display().to_string();
    ensure!(out.is_dir(), Io, place(), "is there and is no directory");
    let empty = fs::read_dir(out).map_err(|e| io_error(out, &e))?.next().is_none();
    let ours = out.join(MANIFEST_FILE).is_file();
    if !(empty || force && ours) {
        let what = if ours { "holds an earlier conversion" } else { "is not empty and holds no manifest.json" };
        let hint = if ours { "--force replaces it" } else { "choose another directory" };
        return Err(Error::new(Kind::Io, place(), what).hint(hint));
    }
    Ok(())
}

/// A directory that disappears unless it is renamed.
struct Partial {
    path: PathBuf,
    renamed: bool,
}

impl Partial {
    fn new(out: &Path) -> Result<Self> {
        let path = beside(out, "partial");
        fs::create_dir_all(&path).map_err(|e| io_error(&path, &e))?;
        Ok(Self { path, renamed: false })
    }

    fn rename_to(&mut self, out: &Path) -> Result<()> {
        let old = beside(out, "old");
        let replaces = out.exists();
        if replaces {
            fs::rename(out, &old).map_err(|e| io_error(out, &e))?;
        }
        fs::rename(&self.path, out).map_err(|e| io_error(out, &e))?;
        self.renamed = true;
        if replaces { fs::remove_dir_all(&old).map_err(|e| io_error(&old, &e)) } else { Ok(()) }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.renamed {
            // Best effort: the error is already being reported.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

impl Sink for Partial {
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        fs::write(&path, bytes).map_err(|e| io_error(&path, &e))
    }
}

/// Returns `dir/out.suffix-PID` for `dir/out`: on the same file system, so that renaming is atomic.
fn beside(out: &Path, suffix: &str) -> PathBuf {
    let mut name = out.file_name().map(ToOwned::to_owned).unwrap_or_else(|| "out".into());
    name.push(format!(".{suffix}-{}", std::process::id()));
    out.with_file_name(name)
}

//! `convert <huggingface_dir> <out_dir>`: a LLaVA checkpoint → manifest and shards.
//!
//! Files and the clock live here; what is done with the bytes is [`llava_web::format::convert`].

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use llava_web::error::{Error, Kind, Result};
use llava_web::format::convert::{Options, Sink, convert};
use llava_web::format::manifest::{MANIFEST_FILE, Manifest};
use llava_web::format::safetensors::{ReadAt, Source};
use llava_web::prompt::Template;
use llava_web::quant::WeightType;
use llava_web::{ensure, fail};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Converts a LLaVA-1.5 checkpoint (llava-hf layout: config.json, tokenizer.json, safetensors) for the browser.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The checkpoint's directory.
    source: PathBuf,
    /// Where to write; must not exist, or be empty.
    out: PathBuf,
    /// Decoder and head: q4, q8, f16 or f32.
    #[arg(long, default_value = "q4")]
    quant: WeightType,
    /// Vision tower and connector [default: f16; f32 with --quant f32].
    #[arg(long)]
    vision_quant: Option<WeightType>,
    /// Embedding table, and the head if it is tied to it [default: f16; f32 with --quant f32].
    #[arg(long)]
    embed_quant: Option<WeightType>,
    /// Length of a shard, MiB. A longer tensor has a shard to itself.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=256))]
    shard_mib: u64,
    /// vicuna_v1, llava_v1, llava_hf or plain [default: `llava_web.prompt_template` of config.json, else vicuna_v1].
    #[arg(long)]
    prompt_template: Option<Template>,
    /// What to call the model [default: the checkpoint directory's name].
    #[arg(long)]
    name: Option<String>,
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
    let source = Directory(arguments.source.clone());
    ensure!(arguments.source.is_dir(), Io, arguments.source.display().to_string(), "is not a directory");
    check_target(&arguments.out, arguments.force)?;
    let base = fs::canonicalize(&arguments.source).map_err(|e| io(&arguments.source, &e))?;
    let directory_name = base.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = arguments.name.clone().or(directory_name).unwrap_or_else(|| "llava".to_string());
    let options = Options {
        vision_quant: arguments.vision_quant,
        embed_quant: arguments.embed_quant,
        shard_bytes: arguments.shard_mib << 20,
        prompt_template: arguments.prompt_template,
        ..Options::new(arguments.quant, name)
    };
    // Written beside the target under another name, so that the target is always whole or absent.
    let mut partial = Partial::new(&arguments.out)?;
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:32} {percent:>3} % {elapsed} / {duration}  {wide_msg}");
    bar.set_style(style.expect("the template is a constant"));
    let manifest = convert(&source, &mut partial, &options, &mut |p| {
        bar.set_length(p.total);
        bar.set_position(p.done);
        bar.set_message(p.tensor.to_string());
    })?;
    bar.finish_and_clear();
    verify(&partial.path)?;
    partial.rename_to(&arguments.out)?;
    println!(
        "{}: {} parameters, {} tensors in {} shards, {:.1} MB, template {}",
        arguments.out.display(),
        manifest.parameters,
        manifest.tensors.len(),
        manifest.shards.len(),
        manifest.total_bytes() as f64 / 1e6,
        manifest.prompt_template
    );
    Ok(())
}

/// Reads everything back and checks it as a loader does.
fn verify(directory: &Path) -> Result<()> {
    let read = |name: &str| {
        let path = directory.join(name);
        fs::read(&path).map_err(|e| io(&path, &e))
    };
    let manifest = Manifest::parse(&read(MANIFEST_FILE)?)?;
    manifest.parts().iter().try_for_each(|part| part.verify(&read(&part.record.file)?))
}

/// The target may be replaced only if it is an earlier conversion and the person said so.
fn check_target(out: &Path, force: bool) -> Result<()> {
    if !out.exists() {
        return Ok(());
    }
    let place = || out.display().to_string();
    ensure!(out.is_dir(), Io, place(), "is there and is no directory");
    let empty = fs::read_dir(out).map_err(|e| io(out, &e))?.next().is_none();
    let ours = out.join(MANIFEST_FILE).is_file();
    if !(empty || force && ours) {
        let what = if ours { "holds an earlier conversion" } else { "is not empty and holds no manifest.json" };
        let hint = if ours { "--force replaces it" } else { "choose another directory" };
        return Err(Error::new(Kind::Io, place(), what).hint(hint));
    }
    Ok(())
}

fn io(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::Io, path.display().to_string(), error.to_string())
}

/// The checkpoint.
struct Directory(PathBuf);

impl Source for Directory {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.0.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(io(&path, &e)),
        }
    }
    fn open(&self, name: &str) -> Result<Box<dyn ReadAt>> {
        let path = self.0.join(name);
        let file = File::open(&path).map_err(|e| io(&path, &e))?;
        let size = file.metadata().map_err(|e| io(&path, &e))?.len();
        Ok(Box::new(OpenFile { path, size, file: Mutex::new(file) }))
    }
}

struct OpenFile {
    path: PathBuf,
    size: u64,
    file: Mutex<File>,
}

impl ReadAt for OpenFile {
    fn size(&self) -> u64 {
        self.size
    }
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let mut file = match self.file.lock() {
            Ok(file) => file,
            Err(_) => fail!(Io, self.path.display().to_string(), "an earlier read of it failed"),
        };
        let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(out));
        read.map_err(|e| io(&self.path, &e))
    }
}

/// A directory that disappears unless it is renamed.
struct Partial {
    path: PathBuf,
    renamed: bool,
}

impl Partial {
    fn new(out: &Path) -> Result<Self> {
        let path = beside(out, "partial");
        fs::create_dir_all(&path).map_err(|e| io(&path, &e))?;
        Ok(Self { path, renamed: false })
    }

    fn rename_to(&mut self, out: &Path) -> Result<()> {
        let old = beside(out, "old");
        let replaces = out.exists();
        if replaces {
            fs::rename(out, &old).map_err(|e| io(out, &e))?;
        }
        fs::rename(&self.path, out).map_err(|e| io(out, &e))?;
        self.renamed = true;
        if replaces { fs::remove_dir_all(&old).map_err(|e| io(&old, &e)) } else { Ok(()) }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.renamed {
            // Best effort: what went wrong is already being reported.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

impl Sink for Partial {
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        fs::write(&path, bytes).map_err(|e| io(&path, &e))
    }
}

/// `dir/out` → `dir/out.suffix-PID`: on the same file system, so that renaming is atomic.
fn beside(out: &Path, suffix: &str) -> PathBuf {
    let mut name = out.file_name().map(ToOwned::to_owned).unwrap_or_else(|| "out".into());
    name.push(format!(".{suffix}-{}", std::process::id()));
    out.with_file_name(name)
}

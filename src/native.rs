//! What the native programs share: models on disk, threads, and a clock.

mod attention;
mod backend;
mod constraint;
mod dialogue;
#[cfg(feature = "plot")]
pub mod plot;
mod sampling;
pub mod synthetic;
mod threads;

pub use attention::AttentionLog;
pub use constraint::{ConstraintArguments, ResponseFormat};
pub use dialogue::answer_in_turn;
pub use sampling::SamplingArguments;
pub use threads::Threads;

use crate::device::{BackendChoice, Device};
use crate::engine::{Engine, Loader};
use crate::error::{Error, Kind, Result};
use crate::format::files::{MANIFEST_FILE, TOWER_DIRECTORY};
use crate::format::source::{Source, exactly};
use crate::quant::WeightType;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

/// A model's files in a directory, with exceptions that lie elsewhere.
#[derive(Debug, Clone)]
pub struct Folder {
    base: PathBuf,
    elsewhere: BTreeMap<String, PathBuf>,
    tower: Option<PathBuf>,
}

impl Folder {
    /// Opens the files in `base`; `tower` is the directory of the CLIP tower that an original LLaVA checkpoint lacks.
    pub fn new(base: &Path, tower: Option<&Path>) -> Self {
        Self { base: base.to_path_buf(), elsewhere: BTreeMap::new(), tower: tower.map(Path::to_path_buf) }
    }

    /// Finds the model at `path`: a directory with manifest.json, with config.json or with a GGUF pair, or the language
    /// model of such a pair, whose `mmproj` may be elsewhere. Returns its files and the names to open it by.
    ///
    /// # Errors
    /// [`Kind::Io`], naming the missing file.
    pub fn locate(path: &Path, mmproj: Option<&Path>, tower: Option<&Path>) -> Result<(Self, Vec<String>)> {
        let directory = path.is_dir();
        let base = if directory { path } else { path.parent().unwrap_or(Path::new(".")) };
        let mut folder = Self::new(if base.as_os_str().is_empty() { Path::new(".") } else { base }, tower);
        if directory {
            for entry in [MANIFEST_FILE, "config.json"] {
                if path.join(entry).is_file() {
                    return Ok((folder, vec![entry.to_string()]));
                }
            }
        }
        let found = folder.gguf_files()?;
        let is_projector = |name: &String| name.contains("mmproj");
        let language = match directory {
            true => found.iter().find(|name| !is_projector(name)).cloned(),
            false => path.file_name().map(|name| name.to_string_lossy().into_owned()),
        };
        let language = language.filter(|name| name.ends_with(".gguf") && folder.base.join(name).is_file());
        let Some(language) = language else {
            let what = "holds no model: neither manifest.json nor config.json nor a .gguf file";
            return Err(Error::new(Kind::Io, path.display().to_string(), what));
        };
        let projector = match mmproj {
            Some(path) => {
                let name = path.file_name().map_or("mmproj.gguf".into(), |name| name.to_string_lossy().into_owned());
                folder.elsewhere.insert(name.clone(), path.to_path_buf());
                name
            }
            None => match found.iter().find(|name| is_projector(name) && **name != language) {
                Some(name) => name.clone(),
                None => {
                    let error = Error::new(Kind::Io, path.display().to_string(), "has no mmproj file beside it");
                    return Err(error.hint("LLaVA is a pair of files: name the other one with --mmproj FILE"));
                }
            },
        };
        Ok((folder, vec![language, projector]))
    }

    fn gguf_files(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(&self.base).map_err(|e| io_error(&self.base, &e))?;
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".gguf")).collect();
        names.sort();
        Ok(names)
    }

    fn path(&self, name: &str) -> Result<PathBuf> {
        if let Some(path) = self.elsewhere.get(name) {
            return Ok(path.clone());
        }
        let (base, name) = match (name.strip_prefix(TOWER_DIRECTORY), &self.tower) {
            (Some(rest), Some(tower)) => (tower, rest),
            _ => (&self.base, name),
        };
        let inside = Path::new(name).components().all(|c| matches!(c, std::path::Component::Normal(_)));
        crate::ensure!(inside, Io, name, "is no name of a file in the model's directory");
        Ok(base.join(name))
    }
}

impl Source for Folder {
    async fn size(&self, name: &str) -> Result<Option<u64>> {
        let path = self.path(name)?;
        match fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(io_error(&path, &e)),
        }
    }

    async fn read(&self, name: &str, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        let path = self.path(name)?;
        let io = |e: std::io::Error| io_error(&path, &e);
        let mut file = File::open(&path).map_err(io)?;
        let available = file.metadata().map_err(io)?.len().saturating_sub(offset);
        crate::ensure!(bytes <= available, Io, path.display().to_string(), "ends {} bytes early", bytes - available);
        file.seek(SeekFrom::Start(offset)).map_err(io)?;
        let mut out = vec![0; bytes as usize];
        file.read_exact(&mut out).map_err(io)?;
        Ok(out)
    }
}

/// Loads the model at `path` (see [`Folder::locate`]); the cache may grow to `context` rows, or the usual number.
///
/// # Errors
/// [`Kind::Io`] for a file that cannot be read, and what [`Loader`] reports.
pub async fn load_model(
    path: &Path,
    mmproj: Option<&Path>,
    choice: BackendChoice,
    context: Option<u32>,
) -> Result<Engine> {
    let (folder, entry) = Folder::locate(path, mmproj, None)?;
    load(&folder, &entry, open_device(choice, None).await?, context).await
}

/// Opens a device; the CPU backend uses `threads` threads, or all of the machine.
///
/// # Errors
/// What [`Device::open`] reports.
pub async fn open_device(choice: BackendChoice, threads: Option<usize>) -> Result<Device> {
    let mut device = Device::open(choice).await?;
    let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
    if !device.is_gpu() && threads > 1 {
        device.set_thread_pool(Box::new(Threads::new(threads)));
    }
    Ok(device)
}

/// Loads the model that `entry` names in `source`, part by part.
///
/// # Errors
/// Those of the source, and what [`Loader`] reports.
pub async fn load<S: Source>(source: &S, entry: &[String], device: Device, context: Option<u32>) -> Result<Engine> {
    load_quantized(source, entry, device, context, None).await
}

/// Loads as [`load`] does, and quantises the decoder's float weights to `quant`.
///
/// # Errors
/// As [`load`], and what [`Loader::set_weight_type`] reports.
pub async fn load_quantized<S: Source>(
    source: &S,
    entry: &[String],
    device: Device,
    context: Option<u32>,
    quant: Option<WeightType>,
) -> Result<Engine> {
    let mut loader = Loader::open(device, source, entry, &now).await?;
    loader.set_weight_type(quant)?;
    load_parts(loader, source, context).await
}

/// Pushes all parts of a loader's model, and finishes it.
///
/// # Errors
/// Those of the source, and what [`Loader`] reports.
pub async fn load_parts<S: Source>(mut loader: Loader, source: &S, context: Option<u32>) -> Result<Engine> {
    for (index, part) in loader.plan(context).await?.parts.iter().enumerate() {
        loader.push(index, &exactly(source, &part.file, part.offset, part.bytes).await?).await?;
    }
    loader.finish(context).await
}

/// Returns the milliseconds since the first call, by a monotonic clock.
pub fn now() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e3
}

/// Reads a whole file.
///
/// # Errors
/// [`Kind::Io`], naming it.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| io_error(path, &e))
}

/// Converts an error about a file.
pub fn io_error(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::Io, path.display().to_string(), error.to_string())
}

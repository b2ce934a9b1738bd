//! The commands that need Burn, in a build without it: they return an error.

use super::{DevicesArgs, Error, Kind, Result, RunArgs, ScoreArgs, eval};
use std::path::{Path, PathBuf};

fn missing<T>(what: &str) -> Result<T> {
    let message = "this build has no Burn";
    let hint = "cargo run --release --features train-gpu --bin train -- …; 10 to 14 minutes the first time";
    Err(Error::new(Kind::Argument, what, message).hint(hint))
}

pub fn run(_: RunArgs) -> Result<()> {
    missing("run")
}

pub fn score(_: &ScoreArgs) -> Result<()> {
    missing("score")
}

pub fn devices(_: &DevicesArgs) -> Result<()> {
    missing("devices")
}

pub fn vqa_model(_: &Path) -> Result<Box<dyn eval::VqaModel>> {
    missing("eval --run")
}

pub fn export(_: PathBuf, _: &Path, _: bool, _: Option<&Path>) -> Result<()> {
    missing("export")
}

pub fn begin(_: &Path, _: &Path) -> Result<()> {
    missing("begin")
}
pub fn curves(_: &Path, _: &Path) -> Result<()> {
    missing("curves")
}

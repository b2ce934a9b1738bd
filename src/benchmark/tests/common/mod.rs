//! A folder that is removed in the end, with a sample in it.

#![allow(dead_code)] // Each test program uses its part.

use llava_benchmark::disk;
use llava_benchmark::output::Output;
use llava_benchmark::question::Suite;
use llava_benchmark::{Benchmark, sample};
use llava_web::error::Result;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("llava-benchmark-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub fn sample(benchmark: Benchmark, count: u64) -> Self {
        let folder = Self::new();
        sample::write(benchmark, 7, count, &folder.0).unwrap();
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    pub fn lines(&self, name: &str) -> Vec<Value> {
        self.read(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn open(&self, benchmark: Benchmark, split: Option<&str>) -> Result<Suite> {
        benchmark.open(&disk::folder(&self.0, split.map(str::to_owned)))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Finishes a suite with these answers, in `folder`.
pub fn finish(suite: &Suite, given: &[Option<String>], folder: &Path) -> Output {
    let mut out = Output::new("m");
    out.finish(suite, given, &Value::Null).unwrap();
    disk::write(&out, folder).unwrap();
    out
}

/// Returns a score by its name.
pub fn score(out: &Output, name: &str) -> f64 {
    out.rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no {name} in {:?}", out.rows)).value
}

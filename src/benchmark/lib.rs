//! The twelve benchmarks of LLaVA-1.5, and the examination of the shipped model.
//!
//! A benchmark is read from the files as they are published ([`data`], [`files`]), becomes a list of questions
//! ([`question`]) in the order in which they are asked ([`plan`]), and ends in answer files and scores ([`output`]).
//! Natively they are asked by one worker or several (`run`, `asker`) into a file from which a run continues (`journal`);
//! in a tab `www/benchmark/` asks them through `web`. `src/docs/benchmarks.md` lists formats, scorers and published
//! figures.

pub mod data;
mod examination;
pub mod files;
pub mod gqa;
pub mod mmbench;
pub mod mme;
pub mod output;
pub mod plan;
pub mod pope;
pub mod progress;
mod prose;
pub mod question;
pub mod recognise;
pub mod scienceqa;
mod seed;
pub mod textvqa;
mod vizwiz;
pub mod vqa_text;
mod vqav2;
mod xlsx;

#[cfg(not(target_arch = "wasm32"))]
pub mod asker;
#[cfg(not(target_arch = "wasm32"))]
pub mod disk;
#[cfg(not(target_arch = "wasm32"))]
pub mod given;
#[cfg(not(target_arch = "wasm32"))]
pub mod journal;
#[cfg(not(target_arch = "wasm32"))]
pub mod run;
#[cfg(not(target_arch = "wasm32"))]
pub mod sample;

// What the formats need of the engine's crate. The tab has the engine already, in a module of its own: there these files
// are compiled again, and no more of that crate.
#[cfg(not(target_arch = "wasm32"))]
pub use llava_web::{ensure, error, fail, format::hash, scenes};

#[cfg(target_arch = "wasm32")]
#[path = "../error.rs"]
pub mod error;
#[cfg(target_arch = "wasm32")]
#[path = "../format/hash.rs"]
pub mod hash;
#[cfg(target_arch = "wasm32")]
pub mod scenes;
#[cfg(target_arch = "wasm32")]
mod web;

use data::Data;
use error::Result;
use question::Suite;

/// A benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(clap::ValueEnum))]
pub enum Benchmark {
    /// VQAv2: test (test-dev, a server scores), val.
    Vqav2,
    /// GQA: testdev, balanced.
    Gqa,
    /// VizWiz: test (a server scores), val.
    Vizwiz,
    /// ScienceQA, test: img (questions with a picture), all.
    Scienceqa,
    /// TextVQA, val, with OCR tokens.
    Textvqa,
    /// POPE, its three sets.
    Pope,
    /// MME, its 14 tasks.
    Mme,
    /// MMBench, dev.
    Mmbench,
    /// MMBench-CN, dev.
    MmbenchCn,
    /// SEED-Bench: images, all.
    Seed,
    /// LLaVA-Bench in the wild; a judge model scores.
    LlavaBench,
    /// MM-Vet; a judge model scores.
    MmVet,
    /// The examination of the shipped model, on scenes of `train data`.
    Scenes,
}

impl Benchmark {
    /// All of them, in the order of their publication's table.
    pub const ALL: [Self; 13] = [
        Self::Vqav2,
        Self::Gqa,
        Self::Vizwiz,
        Self::Scienceqa,
        Self::Textvqa,
        Self::Pope,
        Self::Mme,
        Self::Mmbench,
        Self::MmbenchCn,
        Self::Seed,
        Self::LlavaBench,
        Self::MmVet,
        Self::Scenes,
    ];

    /// Returns its name on the command line.
    pub fn name(self) -> &'static str {
        [
            "vqav2",
            "gqa",
            "vizwiz",
            "scienceqa",
            "textvqa",
            "pope",
            "mme",
            "mmbench",
            "mmbench-cn",
            "seed",
            "llava-bench",
            "mm-vet",
            "scenes",
        ][self as usize]
    }

    /// Reads the published files.
    ///
    /// # Errors
    /// [`error::Kind::Io`] for a missing or malformed file, with line and field;
    /// [`error::Kind::Argument`] for a part that the benchmark does not have.
    pub fn open(self, data: &Data) -> Result<Suite> {
        match self {
            Self::Vqav2 => vqav2::open(data),
            Self::Gqa => gqa::open(data),
            Self::Vizwiz => vizwiz::open(data),
            Self::Scienceqa => scienceqa::open(data),
            Self::Textvqa => textvqa::open(data),
            Self::Pope => pope::open(data),
            Self::Mme => mme::open(data),
            Self::Mmbench => mmbench::open(data, false),
            Self::MmbenchCn => mmbench::open(data, true),
            Self::Seed => seed::open(data),
            Self::LlavaBench => prose::open_wild(data),
            Self::MmVet => prose::open_mm_vet(data),
            Self::Scenes => examination::open(data),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn names_are_those_of_the_command_line() {
        assert_eq!(Benchmark::value_variants(), Benchmark::ALL);
        for benchmark in Benchmark::ALL {
            assert_eq!(benchmark.to_possible_value().unwrap().get_name(), benchmark.name());
        }
    }
}

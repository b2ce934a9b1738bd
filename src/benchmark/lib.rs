//! The twelve benchmarks of LLaVA-1.5, and the examination of the shipped model.
//!
//! A benchmark is read from the files as they are published ([`data`]), becomes a list of questions ([`question`]), is
//! asked by one worker or several ([`run`], [`asker`]) into a file from which it continues ([`journal`]), and ends in
//! answer files and scores ([`output`]). `src/docs/benchmarks.md` lists formats, scorers and published figures.

pub mod asker;
pub mod data;
mod examination;
pub mod given;
pub mod gqa;
pub mod journal;
pub mod mmbench;
pub mod mme;
pub mod output;
pub mod pope;
pub mod progress;
mod prose;
pub mod question;
pub mod run;
pub mod sample;
pub mod scienceqa;
mod seed;
pub mod textvqa;
mod vizwiz;
pub mod vqa_text;
mod vqav2;
mod xlsx;

use clap::ValueEnum;
use data::Data;
use llava_web::error::Result;
use question::Suite;

/// A benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
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
    /// Returns its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
    }

    /// Reads the published files.
    ///
    /// # Errors
    /// [`llava_web::error::Kind::Io`] for a missing or malformed file, with line and field;
    /// [`llava_web::error::Kind::Argument`] for a part that the benchmark does not have.
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

//! Samples in the published formats: drawn scenes, with questions about them.
//!
//! They show a format, and the tests ask them. Their figures say nothing about a benchmark.

mod choice;
mod short;

use crate::Benchmark;
use image::ExtendedColorType::Rgb8;
use image::codecs::jpeg::JpegEncoder;
use llava_web::ensure;
use llava_web::error::{Error, Kind, Result};
use llava_web::native::io_error;
use llava_web::scenes::draw::{Picture, draw};
use llava_web::scenes::questions::{Qa, QuestionKind, ask};
use llava_web::scenes::scene::{TRAIN_SEED, sample, scene_rng};
use llava_web::scenes::{dataset, questions};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Most pictures of a sample.
const MOST: u64 = 100_000;
/// Side of the pictures, pixels.
const SIDE: u32 = 224;
/// Quality of the JPEG files.
const QUALITY: u8 = 92;
/// Attempts to find a question with a wanted answer.
const ATTEMPTS: usize = 200;

/// A picture, and questions about it.
struct Scene {
    index: usize,
    picture: Picture,
    /// A question of each kind that the scene allows.
    asked: Vec<Qa>,
    /// A question with the answer yes, and one with no.
    yes_no: [String; 2],
}

impl Scene {
    fn new(seed: u64, index: u64) -> Self {
        use QuestionKind::{Colour, Count, Existence, Position, Shape, Text};
        let mut rng = scene_rng(seed, index);
        let scene = sample(&mut rng);
        let picture = draw(&scene, SIDE);
        let mut find =
            |kind, fits: &dyn Fn(&Qa) -> bool| (0..ATTEMPTS).filter_map(|_| ask(&scene, kind, &mut rng)).find(fits);
        let kinds = [Colour, Shape, Count, Position, Text];
        let asked = kinds.into_iter().filter_map(|kind| find(kind, &|qa| qa.short != "none")).collect();
        let yes_no = ["Yes", "No"]
            .map(|wanted| find(Existence, &|qa| qa.short == wanted).map_or(String::new(), |qa| qa.question));
        Self { index: index as usize, picture, asked, yes_no }
    }

    /// Returns a question with a short answer.
    fn first(&self) -> (&str, &str) {
        self.asked.first().map_or(("Is there a picture?", "yes"), |qa| (&qa.question, &qa.short))
    }

    fn of(&self, kind: QuestionKind) -> Option<&Qa> {
        self.asked.iter().find(|qa| qa.kind == kind)
    }

    fn jpeg(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let Picture { width, height, rgb } = &self.picture;
        let encoded = JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode(rgb, *width, *height, Rgb8);
        encoded.map_err(|e| Error::new(Kind::Image, "sample", e.to_string()))?;
        Ok(bytes)
    }

    fn png(&self) -> Result<Vec<u8>> {
        dataset::png(&self.picture)
    }
}

/// A folder that is written.
struct Target(PathBuf);

impl Target {
    fn write(&self, name: &str, contents: &[u8]) -> Result<()> {
        let path = self.0.join(name);
        let folder = path.parent().unwrap_or(&self.0);
        std::fs::create_dir_all(folder).map_err(|e| io_error(folder, &e))?;
        std::fs::write(&path, contents).map_err(|e| io_error(&path, &e))
    }

    fn json(&self, name: &str, value: &Value) -> Result<()> {
        self.write(name, format!("{value}\n").as_bytes())
    }

    fn lines(&self, name: &str, lines: &[Value]) -> Result<()> {
        self.write(name, lines.iter().map(|line| format!("{line}\n")).collect::<String>().as_bytes())
    }
}

/// Writes `count` pictures and questions about them into `folder`, as `benchmark` is published. Returns the number of
/// pictures.
///
/// # Errors
/// [`Kind::Argument`] for a seed that is reserved for training, or a count of 0 or above 100,000; [`Kind::Io`].
pub fn write(benchmark: Benchmark, seed: u64, count: u64, folder: &Path) -> Result<usize> {
    ensure!(seed < TRAIN_SEED, Argument, "--seed", "{seed} is reserved for training; take one below {TRAIN_SEED}");
    ensure!((1..=MOST).contains(&count), Argument, "--count", "{count} is not between 1 and {MOST}");
    if benchmark == Benchmark::Scenes {
        return dataset::write(seed, count, folder).map(|_| count as usize);
    }
    let scenes: Vec<Scene> = (0..count).map(|index| Scene::new(seed, index)).collect();
    let to = Target(folder.to_owned());
    match benchmark {
        Benchmark::Vqav2 => short::vqav2(&scenes, &to),
        Benchmark::Gqa => short::gqa(&scenes, &to),
        Benchmark::Vizwiz => short::vizwiz(&scenes, &to),
        Benchmark::Textvqa => short::textvqa(&scenes, &to),
        Benchmark::Pope => short::pope(&scenes, &to),
        Benchmark::Mme => short::mme(&scenes, &to),
        Benchmark::LlavaBench => short::llava_bench(&scenes, &to),
        Benchmark::MmVet => short::mm_vet(&scenes, &to),
        Benchmark::Scienceqa => choice::scienceqa(&scenes, &to),
        Benchmark::Mmbench => choice::mmbench(&scenes, &to, "mmbench_dev_20230712.tsv"),
        Benchmark::MmbenchCn => choice::mmbench(&scenes, &to, "mmbench_dev_cn_20231003.tsv"),
        Benchmark::Seed => choice::seed(&scenes, &to),
        Benchmark::Scenes => Ok(()),
    }?;
    Ok(scenes.len())
}

/// Returns the ten answers of people: where `index` is odd, one of them disagrees and one writes an article.
fn ten(answer: &str, index: usize) -> Vec<String> {
    let answer = answer.to_lowercase();
    let mut ten = vec![answer.clone(); 10];
    if index % 2 == 1 {
        ten[8] = format!("the {answer}");
        ten[9] = "not sure".into();
    }
    ten
}

/// The suffix of the scenes' own short answers is that of the benchmarks.
const _: () = assert!(questions::SUFFIX.len() == crate::question::SHORT.len());

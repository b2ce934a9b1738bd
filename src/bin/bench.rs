//! `bench`: how long the stages of an answer take, on every backend of this machine, in one run.
//!
//! Correctness before time: the backends must choose the same tokens, or nothing is timed. Read ratios within one
//! run; absolute times on a shared machine are noise.

use clap::Parser;
use llava_web::device::BackendChoice;
use llava_web::engine::{Engine, Options, Quiet};
use llava_web::error::{Error, Kind, Result};
use llava_web::model::{Model, PREFILL_ROWS};
use llava_web::native::{load_model, read_file};
use llava_web::pass::Call;
use pollster::block_on;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Times encode, prefill and decode, after the backends have agreed on an answer.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Directory with manifest.json.
    #[arg(long, value_name = "DIR", default_value = "www/models/scenes")]
    model: PathBuf,
    /// The picture that is encoded.
    #[arg(long, value_name = "FILE", default_value = "www/examples/shapes.png")]
    image: PathBuf,
    /// Rows that are prefilled.
    #[arg(long, value_name = "N", default_value_t = 64)]
    rows: u32,
    /// Tokens that are decoded.
    #[arg(long, value_name = "N", default_value_t = 32)]
    tokens: u32,
    /// Every figure is the best of so many.
    #[arg(long, value_name = "N", default_value_t = 5)]
    repeat: u32,
}

fn main() -> ExitCode {
    match block_on(run(&Arguments::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    println!("# commit {}, machine {}", output("git", &["describe", "--always", "--dirty"]), machine());
    println!("# command {}", std::env::args().collect::<Vec<_>>().join(" "));
    let mut engines = vec![load_model(&arguments.model, None, BackendChoice::Cpu, None).await?];
    match load_model(&arguments.model, None, BackendChoice::Gpu, None).await {
        Ok(engine) => engines.push(engine),
        Err(e) if e.kind == Kind::NoGpu => println!("# no GPU: {e}"),
        Err(e) => return Err(e),
    }
    let mut agreed: Option<Vec<u32>> = None;
    for engine in &mut engines {
        let ids = answer(engine, &arguments.image).await?;
        let other = agreed.get_or_insert_with(|| ids.clone());
        if *other != ids {
            let message = format!("the backends disagree, nothing is timed: {other:?} and {ids:?}");
            return Err(Error::new(Kind::Gpu, "bench", message));
        }
    }
    println!("# all backends chose the same {} tokens", agreed.map_or(0, |ids| ids.len()));
    println!("backend,adapter,stage,rows,best_ms,rows_per_s");
    for engine in &mut engines {
        let report = engine.report();
        let pixels = vec![0.5; (3 * engine.model().config.vision.image_size.pow(2)) as usize];
        let image_rows = engine.model().config.image_rows();
        let rows = arguments.rows.min(PREFILL_ROWS).min(engine.model().context);
        let tokens = arguments.tokens.min(engine.model().context - rows);
        let stages = [("encode", image_rows), ("prefill", rows), ("decode", tokens)];
        for (stage, count) in stages {
            let mut best = f64::INFINITY;
            for _ in 0..arguments.repeat.max(1) {
                let start = Instant::now();
                time(engine.model(), stage, count, rows, &pixels).await?;
                best = best.min(start.elapsed().as_secs_f64());
            }
            let rate = f64::from(count) / best;
            println!(
                "{},{},{stage},{count},{:.2},{rate:.1}",
                report.backend,
                report.adapter.replace(',', " "),
                best * 1e3
            );
        }
    }
    Ok(())
}

/// One run of a stage, waited for.
async fn time(model: &mut Model, stage: &str, count: u32, prefilled: u32, pixels: &[f32]) -> Result<()> {
    match stage {
        "encode" => model.encode(pixels, 0)?,
        "prefill" => model.prefill(&vec![0; count as usize], 0, Some(count - 1))?,
        _ => {
            for step in 0..count {
                model.step(&Call { step, ..Call::new(1, prefilled + step) })?;
            }
        }
    }
    model.device.settle().await
}

async fn answer(engine: &mut Engine, image: &Path) -> Result<Vec<u32>> {
    engine.encode(&read_file(image)?, &mut Quiet).await?;
    let options = Options { max_new_tokens: 16, ignore_eos: true, ..Options::default() };
    Ok(engine.generate("What is in the picture?", &options, &mut Quiet).await?.ids)
}

/// What a program prints, or `unknown`.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok().filter(|o| o.status.success());
    output.map_or("unknown".into(), |o| String::from_utf8_lossy(&o.stdout).trim().to_string())
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|l| l.strip_prefix("model name")).and_then(|l| l.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, |n| n.get());
    format!("{} ({cores} threads)", model.map_or("unknown processor", |(_, name)| name))
}

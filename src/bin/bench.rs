//! `bench`: how long everything takes, as a share of what this machine could do, on every backend of it, in one run.
//!
//! Correctness before time: the backends must choose the same tokens, or nothing is timed. Read ratios within one
//! run; absolute times on a shared machine are noise.

use clap::Parser;
use llava_web::device::BackendChoice;
use llava_web::engine::{Engine, Options, Quiet};
use llava_web::error::{Error, Kind, Result};
use llava_web::kernels::cost::{Cost, cost};
use llava_web::measure::{Calibration, calibrate, operations};
use llava_web::model::{Model, PREFILL_ROWS};
use llava_web::native::{load_model, read_file};
use llava_web::pass::Call;
use pollster::block_on;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Calibrates each backend, then times every operation and every stage of a model against what that allows.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// A model: a directory, or a GGUF file with its mmproj beside it.
    #[arg(long, value_name = "PATH", default_value = "www/models/scenes")]
    model: PathBuf,
    /// The picture that is encoded.
    #[arg(long, value_name = "FILE", default_value = "www/examples/shapes.png")]
    image: PathBuf,
    /// Only this backend; nothing is compared then.
    #[arg(long, value_enum)]
    backend: Option<Only>,
    /// Rows that are prefilled.
    #[arg(long, value_name = "N", default_value_t = 256)]
    rows: u32,
    /// Tokens that are decoded.
    #[arg(long, value_name = "N", default_value_t = 32)]
    tokens: u32,
    /// Every figure is the best of so many.
    #[arg(long, value_name = "N", default_value_t = 5)]
    repeat: u32,
    /// Also every kind of operation on its own.
    #[arg(long)]
    operations: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Only {
    Cpu,
    Gpu,
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
    let mut engines = Vec::new();
    if arguments.backend != Some(Only::Gpu) {
        engines.push(load_model(&arguments.model, None, BackendChoice::Cpu, None).await?);
    }
    if arguments.backend != Some(Only::Cpu) {
        match load_model(&arguments.model, None, BackendChoice::Gpu, None).await {
            Ok(engine) => engines.push(engine),
            Err(e) if e.kind == Kind::NoGpu && arguments.backend.is_none() => println!("# no GPU: {e}"),
            Err(e) => return Err(e),
        }
    }
    agree(&mut engines, &arguments.image).await?;
    println!("backend,part,what,count,ms,gbytes,gflop,floor_ms,share_of_floor");
    for engine in &mut engines {
        let report = engine.report();
        println!("# {}: {}", report.backend, report.adapter);
        measure(engine.model(), &report.backend, arguments).await?;
    }
    Ok(())
}

/// Every backend must choose the same tokens.
async fn agree(engines: &mut [Engine], image: &Path) -> Result<()> {
    let mut agreed: Option<Vec<u32>> = None;
    for engine in engines {
        engine.encode(&read_file(image)?, &mut Quiet).await?;
        let options = Options { max_new_tokens: 16, ignore_eos: true, ..Options::default() };
        let ids = engine.generate("What is in the picture?", &options, &mut Quiet).await?.ids;
        let other = agreed.get_or_insert_with(|| ids.clone());
        if *other != ids {
            let message = format!("the backends disagree, nothing is timed: {other:?} and {ids:?}");
            return Err(Error::new(Kind::Gpu, "bench", message));
        }
    }
    println!("# all backends chose the same {} tokens", agreed.map_or(0, |ids| ids.len()));
    Ok(())
}

async fn measure(model: &mut Model, backend: &str, arguments: &Arguments) -> Result<()> {
    let begun = Instant::now();
    let now = || begun.elapsed().as_secs_f64() * 1e3;
    let rates = calibrate(&mut model.device, &now).await?;
    let fixed = [("dispatch", rates.dispatch_ms), ("submit", rates.submit_ms), ("read_back", rates.read_back_ms)];
    println!(
        "# {backend} copies {:.2} GB/s, multiplies and adds {:.2} GFLOP/s",
        rates.copy_bytes_per_second / 1e9,
        rates.flops_per_second / 1e9
    );
    for (what, ms) in fixed {
        println!("{backend},calibration,{what},1,{ms:.4},,,,");
    }
    let rows = arguments.rows.min(PREFILL_ROWS).min(model.context - 1);
    if arguments.operations {
        for row in operations(model, &rates, rows, 50.0, &now).await? {
            let count = f64::from(row.count);
            print_row(backend, row.pass, &row.operation, count, row.ms, row.cost, row.floor_ms);
        }
    }
    let tokens = arguments.tokens.min(model.context - rows);
    let pixels = vec![0.5; (3 * model.config.vision.image_size.pow(2)) as usize];
    let image_rows = model.config.image_rows();
    for (stage, count, per) in [("encode", image_rows, 1), ("prefill", rows, 1), ("decode", tokens, tokens)] {
        let mut best = f64::INFINITY;
        for _ in 0..arguments.repeat.max(1) {
            let start = now();
            time(model, stage, count, rows, &pixels).await?;
            best = best.min((now() - start) / f64::from(per));
        }
        let (cost, floor) = floor(model, &rates, stage, rows, tokens);
        print_row(backend, "stage", stage, f64::from(count), best, cost, floor);
    }
    Ok(())
}

/// What the passes of a stage cost at least; a token's is that of the middle of the answer.
fn floor(model: &Model, rates: &Calibration, stage: &str, rows: u32, tokens: u32) -> (Cost, f64) {
    let (passes, call): (&[&str], Call) = match stage {
        "encode" => (&["encode"], Call::new(1, 0)),
        "prefill" => (&["prefill", "head"], Call::new(rows, 0)),
        _ => (&["step", "head", "sample"], Call::new(1, rows + tokens / 2)),
    };
    let recorded = model.recorded();
    let chosen = recorded.iter().filter(|pass| passes.contains(&pass.name));
    let costs: Vec<Cost> = chosen.flat_map(|pass| &pass.ops).map(|op| cost(op, &call)).collect();
    let total = costs.iter().copied().sum();
    let ms = costs.iter().map(|c| rates.floor_ms(*c) + rates.dispatch_ms).sum();
    (total, ms)
}

fn print_row(backend: &str, part: &str, what: &str, count: f64, ms: f64, cost: Cost, floor: f64) {
    let (bytes, flops) = (cost.bytes as f64 / 1e9, cost.flops as f64 / 1e9);
    println!("{backend},{part},{what},{count},{ms:.3},{bytes:.5},{flops:.4},{floor:.3},{:.3}", floor / ms);
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

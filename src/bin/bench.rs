//! `bench`: how long everything takes, as a share of what this machine could do, on every backend of it, in one run.
//!
//! Correctness before time: every kind of operation must compute what its twin does, or nothing is timed. Read ratios
//! within one run; absolute times on a shared machine are noise.

use clap::Parser;
use llava_web::device::BackendChoice;
use llava_web::engine::Engine;
use llava_web::error::{Error, Kind, Result};
use llava_web::measure::{Fit, Growth, Line, Options, growth, is_candidate};
use llava_web::native::synthetic::{Format, Size, Synthetic};
use llava_web::native::{Folder, load, open_device};
use llava_web::tuning::Tuning;
use pollster::block_on;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Calibrates each backend, then times every operation and every stage of a model against what that allows.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// A model: a directory, or a GGUF file with its mmproj beside it.
    #[arg(long, value_name = "PATH", default_value = "www/models/scenes")]
    model: PathBuf,
    /// Random weights of a model of this size instead: no file is needed.
    #[arg(long, value_enum, value_name = "SIZE", conflicts_with = "model")]
    shape: Option<Size>,
    /// How those weights are stored.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "gguf-q4_0", requires = "shape")]
    format: Format,
    /// Only this backend.
    #[arg(long, value_enum)]
    backend: Option<Only>,
    /// How a GPU's passes are recorded, instead of what the tuner would find: one of its candidates as JSON, in the form
    /// of the line that begins with `# tuning`.
    #[arg(long, value_name = "JSON", value_parser = |text: &str| serde_json::from_str::<Tuning>(text))]
    tuning: Option<Tuning>,
    /// Threads of the CPU; as many as it has, unless given.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Rows that are prefilled.
    #[arg(long, value_name = "N", default_value_t = 256)]
    rows: u32,
    /// Tokens that are decoded.
    #[arg(long, value_name = "N", default_value_t = 32)]
    tokens: u32,
    /// Every stage is the best of so many.
    #[arg(long, value_name = "N", default_value_t = 5)]
    repeat: u32,
    /// Also every kind of operation on its own.
    #[arg(long)]
    operations: bool,
    /// Instead, how the time of a token grows with what is cached, and that of a prompt with its rows, up to so many: a
    /// multiple of the rows that a pass reads (256 on the CPU).
    #[arg(long, value_name = "ROWS")]
    growth: Option<u32>,
    /// And draw both in that folder (SVG).
    #[cfg(feature = "plot")]
    #[arg(long, value_name = "DIR", requires = "growth")]
    plot: Option<PathBuf>,
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
    let Arguments { rows, tokens, repeat, operations, .. } = *arguments;
    let options = Options { rows, tokens, repeat, operations };
    println!("# commit {}, machine {}", output("git", &["describe", "--always", "--dirty"]), machine());
    println!("# command {}", std::env::args().collect::<Vec<_>>().join(" "));
    println!("{}", Line::HEADER);
    let mut growths = Vec::new();
    for (only, choice) in [(Only::Cpu, BackendChoice::Cpu), (Only::Gpu, BackendChoice::Gpu)] {
        if arguments.backend.is_some_and(|wanted| wanted != only) {
            continue;
        }
        // One after the other: two would not fit where the model is large.
        let mut engine = match open(arguments, choice).await {
            Err(e) if e.kind == Kind::NoGpu && arguments.backend.is_none() => {
                println!("# no GPU: {e}");
                continue;
            }
            opened => opened?,
        };
        let report = engine.report();
        println!("# {}: {}", report.backend, report.adapter);
        println!("# {}, {} parameters, {} bytes", report.model, report.parameters, report.device_bytes);
        if let Some(tuning) = engine.model().device.tuning() {
            println!("# tuning {}", serde_json::json!(tuning));
        }
        let begun = Instant::now();
        let now = || begun.elapsed().as_secs_f64() * 1e3;
        let mut tell = |line| println!("{line}");
        match arguments.growth {
            None => engine.bench(&options, &now, &mut tell).await?,
            Some(most) => growths.push(growth(engine.model(), most, repeat, &now, &mut tell).await?),
        }
    }
    growths.iter().for_each(describe);
    #[cfg(feature = "plot")]
    if let Some(folder) = &arguments.plot {
        let model = arguments.shape.map_or_else(|| arguments.model.display().to_string(), |size| size.name().into());
        for file in llava_web::native::plot::draw_growth(&model, &growths, folder)? {
            println!("# {}", file.display());
        }
    }
    Ok(())
}

/// The lines through what was measured.
fn describe(growth: &Growth) {
    let Growth { backend, cache_bytes, rates, .. } = growth;
    let (decode, prefill) = (Fit::of(&growth.decode), Fit::of(&growth.prefill));
    println!(
        "# {backend}, a token: {:.3} ms + {:.3} µs per cached token, R² {:.4}; copying its {cache_bytes} bytes at {:.2} GB/s: {:.3} µs",
        decode.start,
        decode.slope * 1e3,
        decode.r2,
        rates.copy_bytes_per_second / 1e9,
        growth.cache_us(),
    );
    println!("# {backend}, a prompt: {:.2} ms + {:.4} ms per row, R² {:.4}", prefill.start, prefill.slope, prefill.r2);
    let parts = growth.parts();
    if parts.len() > 2 {
        let fit = Fit::of(&parts);
        println!(
            "# {backend}, {} rows of it: {:.2} ms + {:.3} µs per row before them, R² {:.4}",
            parts[1].0,
            fit.start,
            fit.slope * 1e3,
            fit.r2,
        );
    }
}

async fn open(arguments: &Arguments, choice: BackendChoice) -> Result<Engine> {
    let mut device = open_device(choice, arguments.threads).await?;
    if let Some(tuning) = arguments.tuning.filter(|_| device.is_gpu()) {
        // Others might divide by nothing, or ask for more than a device has; no test has seen them.
        if !is_candidate(&tuning, device.features()) {
            let what = "not one of the tuner's candidates for this GPU, which src/measure/tune lists";
            return Err(Error::new(Kind::Argument, "--tuning", what));
        }
        device.set_tuning(tuning);
    }
    let context = arguments.growth.map(|most| most + 1);
    match arguments.shape {
        None => {
            let (folder, entry) = Folder::locate(&arguments.model, None, None)?;
            load(&folder, &entry, device, context).await
        }
        Some(size) => {
            let model = Synthetic::new(size, arguments.format, 1)?;
            load(&model, &model.entry(), device, context).await
        }
    }
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

//! `bench`: times a model's stages and operations on each backend of this machine, as shares of its calibrated rates.
//!
//! A backend is timed only after one operation of each kind has equalled its twin. Compare ratios within one run;
//! absolute times on a shared machine are noise.

use clap::Parser;
use llava_web::device::BackendChoice;
use llava_web::engine::Engine;
use llava_web::error::{Error, Kind, Result};
use llava_web::measure::{BenchOptions, Fit, Growth, Line, growth, is_candidate};
use llava_web::native::synthetic::{Format, ModelSize, Synthetic};
use llava_web::native::{Folder, load, now, open_device};
use llava_web::tuning::Tuning;
use pollster::block_on;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Calibrates each backend, then times the stages and operations of a model against the floor of its rates.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// A model: a directory, or a GGUF file with its mmproj beside it.
    #[arg(long, value_name = "PATH", default_value = "www/models/scenes")]
    model: PathBuf,
    /// Random weights of a model of this size, in place of a file.
    #[arg(long, value_enum, value_name = "SIZE", conflicts_with = "model")]
    shape: Option<ModelSize>,
    /// File format of the random weights.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "gguf-q4_0", requires = "shape")]
    format: Format,
    /// The only backend to measure.
    #[arg(long, value_enum)]
    backend: Option<Backend>,
    /// A GPU's tuning, in place of the tuner's choice: one of its candidates as JSON, in the form of the line that
    /// begins with `# tuning`.
    #[arg(long, value_name = "JSON", value_parser = |text: &str| serde_json::from_str::<Tuning>(text))]
    tuning: Option<Tuning>,
    /// Threads of the CPU backend; by default all of the machine.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Rows of the prefill.
    #[arg(long, value_name = "N", default_value_t = 256)]
    rows: u32,
    /// Tokens of the answer.
    #[arg(long, value_name = "N", default_value_t = 32)]
    tokens: u32,
    /// Runs of each stage; the fastest counts.
    #[arg(long, value_name = "N", default_value_t = 5)]
    repeat: u32,
    /// Time each kind of operation on its own, too.
    #[arg(long)]
    operations: bool,
    /// Measure only how the times of a token and of a prompt grow with the context, up to ROWS rows: a multiple of the
    /// rows per chunk (256 on the CPU).
    #[arg(long, value_name = "ROWS", group = "drawn")]
    growth: Option<u32>,
    /// Draw it as SVG in this folder.
    #[cfg(feature = "plot")]
    #[arg(long, value_name = "DIR", requires = "drawn")]
    plot: Option<PathBuf>,
    /// Measure nothing: draw the visits of this table of tests/browser/visits.mjs.
    #[cfg(feature = "plot")]
    #[arg(long, value_name = "FILE", requires = "plot", group = "drawn")]
    visits: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Backend {
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
    #[cfg(feature = "plot")]
    if let (Some(table), Some(folder)) = (&arguments.visits, &arguments.plot) {
        for file in llava_web::native::plot::draw_visits(table, folder)? {
            println!("{}", file.display());
        }
        return Ok(());
    }
    let Arguments { rows, tokens, repeat, operations, .. } = *arguments;
    let options = BenchOptions { rows, tokens, repeat, operations };
    println!("# commit {}, machine {}", output("git", &["describe", "--always", "--dirty"]), machine());
    println!("# command {}", std::env::args().collect::<Vec<_>>().join(" "));
    println!("{}", Line::HEADER);
    let mut growths = Vec::new();
    for (backend, choice) in [(Backend::Cpu, BackendChoice::Cpu), (Backend::Gpu, BackendChoice::Gpu)] {
        if arguments.backend.is_some_and(|only| only != backend) {
            continue;
        }
        // One backend at a time: two copies of a large model might not fit.
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
        let mut print = |line| println!("{line}");
        match arguments.growth {
            None => engine.bench(&options, &now, &mut print).await?,
            Some(max_rows) => growths.push(growth(engine.model(), max_rows, repeat, &now, &mut print).await?),
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

/// Prints the lines fitted to the measurements.
fn describe(growth: &Growth) {
    let Growth { backend, cache_bytes, rates, .. } = growth;
    let (decode, prefill) = (Fit::of(&growth.decode), Fit::of(&growth.prefill));
    println!(
        "# {backend}, a token: {:.3} ms + {:.3} µs per cached token, R² {:.4}; \
         copying its {cache_bytes} bytes at {:.2} GB/s: {:.3} µs",
        decode.start,
        decode.slope * 1e3,
        decode.r2,
        rates.copy_bytes_per_second / 1e9,
        growth.cache_us(),
    );
    println!("# {backend}, a prompt: {:.2} ms + {:.4} ms per row, R² {:.4}", prefill.start, prefill.slope, prefill.r2);
    let chunks = growth.chunks();
    if chunks.len() > 2 {
        let fit = Fit::of(&chunks);
        println!(
            "# {backend}, {} rows of it: {:.2} ms + {:.3} µs per row before them, R² {:.4}",
            chunks[1].0,
            fit.start,
            fit.slope * 1e3,
            fit.r2,
        );
    }
}

async fn open(arguments: &Arguments, choice: BackendChoice) -> Result<Engine> {
    let mut device = open_device(choice, arguments.threads).await?;
    if let Some(tuning) = arguments.tuning.filter(|_| device.is_gpu()) {
        // Other values might divide by zero or exceed the device's limits; only candidates are tested.
        if !is_candidate(&tuning, device.features()) {
            let what = "not one of the tuner's candidates for this GPU, which src/measure/tune.rs lists";
            return Err(Error::new(Kind::Argument, "--tuning", what));
        }
        device.set_tuning(tuning);
    }
    let context = arguments.growth.map(|max_rows| max_rows + 1);
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

/// Returns a program's output, or `unknown`.
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

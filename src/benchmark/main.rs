//! `benchmark`: asks a model the questions of a published benchmark, writes the answer files, and scores.

use clap::Parser;
use llava_benchmark::Benchmark;
use llava_benchmark::asker::Setup;
use llava_benchmark::disk;
use llava_benchmark::given;
use llava_benchmark::journal::Journal;
use llava_benchmark::output::Output;
use llava_benchmark::plan::Plan;
use llava_benchmark::progress::Progress;
use llava_benchmark::question::Suite;
use llava_benchmark::run::ask;
use llava_benchmark::sample;
use llava_web::device::BackendChoice;
use llava_web::error::{Error, Kind, Result};
use llava_web::preprocess::Rendering;
use llava_web::prompt::Template;
use llava_web::quant::WeightType;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Ask a model the questions of a benchmark, as LLaVA-1.5's evaluation asked them.
#[derive(Debug, Parser)]
struct Arguments {
    /// The benchmark.
    #[arg(value_enum)]
    benchmark: Benchmark,
    /// Folder of its published files (src/docs/benchmarks.md lists them).
    #[arg(long, value_name = "DIR", required_unless_present = "sample")]
    data: Option<PathBuf>,
    /// The model, as `chat --model` takes it.
    #[arg(long, value_name = "PATH", required_unless_present_any = ["sample", "answers"])]
    model: Option<PathBuf>,
    /// Instead of asking a model, score an answer file of LLaVA's scripts or of this program (answers.jsonl).
    #[arg(long, value_name = "FILE", conflicts_with = "model", requires = "data")]
    answers: Option<PathBuf>,
    /// The GGUF pair's projector file, if it is not beside the model.
    #[arg(long, value_name = "FILE")]
    mmproj: Option<PathBuf>,
    /// Part of the benchmark, where it has several [default: the one of the published figures].
    #[arg(long, value_name = "PART")]
    split: Option<String>,
    /// The backend.
    #[arg(long, value_enum, default_value = "auto")]
    backend: BackendChoice,
    /// Number of questions to ask, from the beginning [default: all].
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Workers, each with the model loaded. Questions on one picture go to the same one.
    #[arg(long, value_name = "N", default_value_t = 1)]
    workers: usize,
    /// Threads of each worker on the CPU [default: the machine's, divided].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Folder of the answers; an unfinished run there continues [default: .cache/benchmark/NAME-MODEL].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// reference: pictures as LLaVA's evaluation read them, without alpha and EXIF. shown: as people see them.
    #[arg(long, value_name = "RENDERING", default_value = "reference")]
    rendering: Rendering,
    /// Prompt template; LLaVA-1.5's evaluation used vicuna_v1 [default: the model's].
    #[arg(long, value_name = "NAME")]
    template: Option<Template>,
    /// Quantise the weights of a float checkpoint while they are loaded: q8 or q4 [default: as they are].
    #[arg(long, value_name = "TYPE")]
    quant: Option<WeightType>,
    /// Instead of asking, write a sample of drawn scenes with questions in the published format.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["data", "model", "answers"])]
    sample: Option<PathBuf>,
    /// Seed of the sample.
    #[arg(long, value_name = "N", default_value_t = 7)]
    seed: u64,
    /// Pictures of the sample.
    #[arg(long, value_name = "N", default_value_t = 8)]
    count: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match (&arguments.sample, &arguments.data, &arguments.model, &arguments.answers) {
        (Some(folder), ..) => write_sample(&arguments, folder),
        (None, Some(data), Some(model), _) => run(&arguments, data, model),
        (None, Some(data), None, Some(answers)) => score(&arguments, data, answers),
        _ => Err(Error::new(Kind::Argument, "--data and --model", "are missing")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("benchmark: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_sample(arguments: &Arguments, folder: &Path) -> Result<()> {
    let pictures = sample::write(arguments.benchmark, arguments.seed, arguments.count, folder)?;
    println!(
        "{pictures} pictures with questions in the format of {} in {}",
        arguments.benchmark.name(),
        folder.display()
    );
    Ok(())
}

/// Scores an answer file. Without `--out` the other files go to a folder beside it.
fn score(arguments: &Arguments, data: &Path, answers: &Path) -> Result<()> {
    let suite = arguments.benchmark.open(&disk::folder(data, arguments.split.clone()))?;
    let mut given = given::read(answers, &suite.questions)?;
    given.iter_mut().skip(arguments.limit.unwrap_or(usize::MAX)).for_each(|text| *text = None);
    let folder = arguments.out.clone().unwrap_or_else(|| answers.with_extension("scored"));
    let name = answers.file_stem().map_or("answers".into(), |stem| stem.to_string_lossy().into_owned());
    let settings = json!({ "benchmark": arguments.benchmark.name(), "split": arguments.split, "answers": name });
    finish(&suite, &given, (&folder, &name), &settings)
}

fn run(arguments: &Arguments, data: &Path, model: &Path) -> Result<()> {
    let data = disk::folder(data, arguments.split.clone());
    let suite = arguments.benchmark.open(&data)?;
    let limit = arguments.limit.unwrap_or(usize::MAX).min(suite.questions.len());
    suite.check_pictures(data.files(), limit)?;
    let setup = setup(arguments, model);
    let name = arguments.benchmark.name();
    let model_name = model.canonicalize().ok().and_then(|path| Some(path.file_stem()?.to_string_lossy().into_owned()));
    let model_name = model_name.unwrap_or_else(|| "model".into());
    let folder = arguments.out.clone().unwrap_or_else(|| format!(".cache/benchmark/{name}-{model_name}").into());
    let settings = settings(arguments, &setup, &suite)?;
    let (mut journal, mut given) = Journal::open(&folder, &settings, &suite.questions)?;
    let before = given[..limit].iter().flatten().count();
    let plan = Plan::new(&suite.questions, &given, limit);
    eprintln!("{name}: {limit} of {} questions, {before} answered, {} to ask", suite.questions.len(), plan.asks);
    let mut progress = Progress::new(name, before, limit);
    let make = || setup.load().map(|model| Box::new(model) as _);
    ask(&suite.questions, &plan, suite.max_new_tokens, arguments.workers, &make, &mut |index, text| {
        journal.record(index, &suite.questions[index], text)?;
        given[index] = Some(text.to_owned());
        progress.tick();
        Ok(())
    })?;
    given[limit..].fill(None);
    finish(&suite, &given, (&folder, &model_name), &settings)
}

fn setup(arguments: &Arguments, model: &Path) -> Setup {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    Setup {
        model: model.to_owned(),
        mmproj: arguments.mmproj.clone(),
        backend: arguments.backend,
        threads: Some(arguments.threads.unwrap_or((cores / arguments.workers.max(1)).max(1))),
        rendering: arguments.rendering,
        template: arguments.template,
        quant: arguments.quant,
    }
}

/// Returns everything that answers depend on, except the backend.
fn settings(arguments: &Arguments, setup: &Setup, suite: &Suite) -> Result<Value> {
    Ok(json!({
        "benchmark": arguments.benchmark.name(),
        "split": arguments.split,
        "model": setup.fingerprint()?,
        "quantised": arguments.quant.map(|quant| format!("{quant:?}")),
        "template": arguments.template.map_or("the model's", Template::name),
        "rendering": format!("{:?}", arguments.rendering).to_lowercase(),
        "max_new_tokens": suite.max_new_tokens,
        "questions": suite.fingerprint(),
    }))
}

/// Writes answer files and scores into a folder, and prints the table; the model's name is in file names and answers.
fn finish(suite: &Suite, given: &[Option<String>], (folder, model): (&Path, &str), settings: &Value) -> Result<()> {
    let mut out = Output::new(model);
    out.finish(suite, given, settings)?;
    let written = disk::write(&out, folder)?;
    print!("{}", out.table());
    out.notes.iter().for_each(|note| println!("note: {note}"));
    written.iter().for_each(|(path, purpose)| println!("wrote {} (for {purpose})", path.display()));
    Ok(())
}

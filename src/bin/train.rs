//! Makes data for the small model, trains it and evaluates it.
//!
//! Every build has `data` and `eval`. `run`, `export`, `curves` and `eval --run` need Burn:
//! `cargo build --release --features train --bin train`.

use clap::{Args, Parser};
use llava_web::device::BackendChoice;
use llava_web::error::{Error, Kind, Result};
use llava_web::native::{ConstraintArguments, SamplingArguments};
use llava_web::preprocess::Rendering;
use llava_web::scenes::{dataset, drawings, engine_vqa::EngineVqa, eval, looks, questions::QuestionKind};
use std::path::PathBuf;

#[derive(Parser)]
#[command(about = "Makes data for the small model, trains it and evaluates it")]
enum Command {
    /// Writes scenes as PNG with questions.jsonl
    Data {
        /// Seed of the data set, below 2^63 (the others are for training)
        #[arg(long)]
        seed: u64,
        /// Number of scenes
        #[arg(long)]
        count: u64,
        /// Number of drawings of things besides, with one question each
        #[arg(long, default_value_t = 0)]
        drawings: u64,
        /// Ask questions of every kind about the drawings
        #[arg(long)]
        every_kind: bool,
        /// Folder to write
        #[arg(long)]
        out: PathBuf,
    },
    /// Evaluates a model on a data set and prints its accuracy by question type
    Eval(EvalArgs),
    /// Measures where a model looks when it names a colour, and prints a table
    Looks {
        /// Folder of its manifest and shards
        #[arg(long, default_value = "www/models/scenes")]
        model: PathBuf,
        /// Seed of the scenes
        #[arg(long, default_value_t = 424_242)]
        seed: u64,
        /// Number of scenes with two objects or more
        #[arg(long, default_value_t = 200)]
        scenes: u64,
    },
    /// Trains tokenizer, tower, text, stage 1 and stage 2; resumes where it stopped
    Run(RunArgs),
    /// Writes the trained model in the llava-hf layout
    Export {
        /// Folder of `train run`
        #[arg(long)]
        run: PathBuf,
        /// Folder to write
        #[arg(long)]
        out: PathBuf,
        /// Also write Burn's logits for one question, for tests/golden/check_export.py
        #[arg(long)]
        check: Option<PathBuf>,
    },
    /// Draws the loss curves
    Curves {
        /// Folder of `train run`
        #[arg(long)]
        run: PathBuf,
        /// Folder to write
        #[arg(long, default_value = "src/docs")]
        out: PathBuf,
    },
    /// Writes the checkpoints of a run that continues from a shipped model
    Begin {
        /// Folder of its manifest and shards
        #[arg(long, default_value = "www/models/scenes")]
        model: PathBuf,
        /// Folder for `train run`
        #[arg(long)]
        out: PathBuf,
    },
    /// Writes drawings that were made on the page's pad as PNG with questions
    Drawings {
        /// File of strokes
        #[arg(long, default_value = "tests/drawings.json")]
        file: PathBuf,
        /// Folder to write
        #[arg(long)]
        out: PathBuf,
    },
}

#[derive(Args)]
struct EvalArgs {
    /// Model to evaluate: folder of its manifest and shards
    #[arg(long, required_unless_present = "run")]
    model: Option<PathBuf>,
    #[command(flatten)]
    sampling: SamplingArguments,
    #[command(flatten)]
    constraint: ConstraintArguments,
    /// Instead of --model: folder of `train run`, whose model Burn runs in f32, always with the most likely token
    #[arg(long, conflicts_with_all = ["SamplingArguments", "constraint"])]
    run: Option<PathBuf>,
    /// Folder of `train data`
    #[arg(long)]
    data: PathBuf,
    /// gpu or cpu
    #[arg(long, default_value = "cpu")]
    backend: String,
    /// shown: pictures as people see them. reference: as transformers 4 read them, without alpha and EXIF
    #[arg(long, default_value = "shown", conflicts_with = "run")]
    rendering: Rendering,
    /// Maximum number of questions
    #[arg(long)]
    limit: Option<usize>,
    /// Also ask with the picture blanked
    #[arg(long)]
    blank: bool,
    /// Print wrong answers
    #[arg(long)]
    wrong: bool,
}

#[derive(Args)]
#[cfg_attr(not(feature = "train"), allow(dead_code))]
struct RunArgs {
    /// Folder for checkpoints
    #[arg(long)]
    out: PathBuf,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of threads that compute gradients
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Minutes per stage: tower, text, stage 1, stage 2
    #[arg(long, num_args = 4, default_values_t = [35.0, 12.0, 4.0, 45.0])]
    minutes: Vec<f64>,
    /// Instead of --minutes: steps per stage, with the same result on every machine
    #[arg(long, num_args = 4)]
    steps: Option<Vec<u64>>,
    /// Stages to run; earlier ones are read from the folder
    #[arg(long, num_args = 1.., default_values_t = ["tower", "text", "stage1", "stage2"].map(String::from))]
    stages: Vec<String>,
}

fn main() {
    let result = match Command::parse() {
        Command::Data { seed, count, drawings, every_kind, out } => {
            let kinds = if every_kind { QuestionKind::ALL.as_slice() } else { &[QuestionKind::Thing] };
            dataset::write_with_drawings(seed, count, drawings, kinds, &out)
                .map(|n| println!("{} pictures, {n} questions in {}", count + drawings, out.display()))
        }
        Command::Begin { model, out } => burn::begin(&model, &out),
        Command::Drawings { file, out } => {
            drawings::write(&file, &out).map(|n| println!("{n} questions in {}", out.display()))
        }
        Command::Eval(args) => evaluate(&args),
        Command::Looks { model, seed, scenes } => {
            looks::measure(&model, BackendChoice::Cpu, seed, scenes).map(|found| print!("{}", looks::table(&found)))
        }
        Command::Run(args) => burn::run(args),
        Command::Export { run, out, check } => burn::export(run, &out, check.as_deref()),
        Command::Curves { run, out } => burn::curves(&run, &out),
    };
    if let Err(error) = result {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn evaluate(args: &EvalArgs) -> Result<()> {
    let backend = match args.backend.as_str() {
        "cpu" => BackendChoice::Cpu,
        "gpu" => BackendChoice::Gpu,
        "reference" => BackendChoice::Reference,
        other => {
            return Err(Error::new(Kind::Argument, "--backend", format!("`{other}` is not gpu, cpu or reference")));
        }
    };
    let mut model: Box<dyn eval::VqaModel> = match (&args.run, &args.model) {
        (Some(run), _) => burn::vqa_model(run)?,
        (None, Some(model)) => {
            let engine = EngineVqa::load(model, backend, args.rendering)?.with_options(args.sampling.options());
            Box::new(engine.with_format(args.constraint.response_format()?.as_ref())?)
        }
        (None, None) => return Err(Error::new(Kind::Argument, "--model", "is missing")),
    };
    let options = eval::EvalOptions { limit: args.limit, blank: args.blank };
    let rows = eval::evaluate(model.as_mut(), &args.data, options, |item, given, right| {
        if args.wrong && !right {
            println!("{} {:?} → {given:?}, expected {:?}", item.image, item.question, item.answer);
        }
    })?;
    print!("{}", eval::table(&rows));
    Ok(())
}

/// Commands that need Burn.
#[cfg(feature = "train")]
mod burn {
    use super::{Result, RunArgs, dataset, eval};
    use llava_web::train::burn_vqa::BurnVqa;
    use llava_web::train::progress::Budget;
    use llava_web::train::run::{TrainingPlan, TrainingRun};
    use llava_web::train::{curves as charts, export as checkpoint};
    use std::path::{Path, PathBuf};

    pub fn run(args: RunArgs) -> Result<()> {
        let RunArgs { out, seed, workers, minutes, steps, stages } = args;
        let budgets = std::array::from_fn(|i| match &steps {
            Some(steps) => Budget::Steps(steps[i]),
            None => Budget::Seconds(minutes[i] * 60.0),
        });
        TrainingRun::open(TrainingPlan { out, seed, workers, stages, budgets, batches: [16, 5] })?.train()
    }

    /// Opens a training run with the parameters trained so far.
    fn trained(out: PathBuf) -> Result<TrainingRun> {
        let budgets = [Budget::Steps(0); 4];
        let plan = TrainingPlan { out, seed: 1, workers: 1, stages: Vec::new(), budgets, batches: [16, 5] };
        let mut run = TrainingRun::open(plan)?;
        run.train()?;
        Ok(run)
    }

    pub fn vqa_model(run: &Path) -> Result<Box<dyn eval::VqaModel>> {
        Ok(Box::new(BurnVqa::new(&trained(run.to_owned())?)))
    }

    pub fn export(run: PathBuf, out: &Path, check: Option<&Path>) -> Result<()> {
        let tokenizer = run.join("tokenizer.json");
        let run = trained(run)?;
        checkpoint::export(&run.params, &run.shape, &tokenizer, out)?;
        let Some(check) = check else { return Ok(()) };
        let picture = dataset::items(7, 0).0;
        let png = dataset::png(&picture)?;
        BurnVqa::new(&run).write_check(&png, "What do you see?", check)
    }

    pub fn begin(model: &Path, out: &Path) -> Result<()> {
        llava_web::train::continued::begin(model, out)
    }

    pub fn curves(run: &Path, out: &Path) -> Result<()> {
        charts::draw_curves(run, out).map(|files| println!("{}", files.join("\n")))
    }
}

/// The same commands in a build without Burn: they return an error.
#[cfg(not(feature = "train"))]
mod burn {
    use super::{Error, Kind, Result, RunArgs, eval};
    use std::path::{Path, PathBuf};

    fn missing<T>(what: &str) -> Result<T> {
        let message = "this build has no Burn";
        let hint = "cargo run --release --features train --bin train -- …; ten minutes the first time";
        Err(Error::new(Kind::Argument, what, message).hint(hint))
    }
    pub fn run(_: RunArgs) -> Result<()> {
        missing("run")
    }
    pub fn vqa_model(_: &Path) -> Result<Box<dyn eval::VqaModel>> {
        missing("eval --run")
    }
    pub fn export(_: PathBuf, _: &Path, _: Option<&Path>) -> Result<()> {
        missing("export")
    }
    pub fn begin(_: &Path, _: &Path) -> Result<()> {
        missing("begin")
    }
    pub fn curves(_: &Path, _: &Path) -> Result<()> {
        missing("curves")
    }
}

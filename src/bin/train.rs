//! Makes data for the small model, trains it and evaluates it.
//!
//! Every build has `data` and `eval`. `run`, `score`, `export`, `curves`, `devices` and `eval --run` need Burn:
//! `cargo build --release --features train --bin train`, or `train-gpu` for the CPU and the GPU.

#[cfg(feature = "train")]
#[path = "train/commands.rs"]
mod commands;
#[cfg(not(feature = "train"))]
#[path = "train/missing.rs"]
mod commands;

use clap::{Args, Parser};
use llava_web::device::BackendChoice;
use llava_web::error::{Error, Kind, Result};
use llava_web::native::{ConstraintArguments, SamplingArguments};
use llava_web::preprocess::Rendering;
use llava_web::scenes::{dataset, drawings, engine_vqa::EngineVqa, eval, llava_format, looks, questions::QuestionKind};
use std::path::PathBuf;

#[derive(Parser)]
#[command(about = "Makes data for the small model, trains it and evaluates it")]
enum Command {
    /// Writes scenes as PNG with questions, or in the format of LLaVA's own training data
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
        /// questions: PNG files and questions.jsonl, for `eval`. llava: images/, captions.json (stage 1) and
        /// instructions.json (stage 2), for `run --tower`
        #[arg(long, default_value = "questions", value_parser = ["questions", "llava"])]
        format: String,
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
    /// Trains tokenizer, tower, text, stage 1, stage 2 and all parts jointly; with --tower and --decoder: stages 1 and 2 on
    /// these. Resumes where it stopped
    Run(Box<RunArgs>),
    /// Scores a run on imported parts: loss, likeliest tokens, whole answers; before, after, and with grey pictures
    Score(ScoreArgs),
    /// Compares the devices: losses and gradients of a step of every stage, and steps per second
    Devices(DevicesArgs),
    /// Writes the trained model in the llava-hf layout; of a run on imported parts also shards and an mmproj
    Export {
        /// Folder of `train run`
        #[arg(long)]
        run: PathBuf,
        /// Folder to write
        #[arg(long)]
        out: PathBuf,
        /// Of a run on imported parts: write only mmproj.gguf, for the decoder's own GGUF file
        #[arg(long)]
        only_mmproj: bool,
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
    /// Minutes per stage: tower, text, stage 1, stage 2, joint (all parts)
    #[arg(long, num_args = 5, default_values_t = [35.0, 12.0, 4.0, 45.0, 30.0])]
    minutes: Vec<f64>,
    /// Instead of --minutes: steps per stage, with the same result on every machine. With --tower those of stages 1 and 2
    /// count, and without it a stage is one epoch
    #[arg(long, num_args = 5)]
    steps: Option<Vec<u64>>,
    /// Pictures per worker and step: in the tower stage, and in the others
    #[arg(long, num_args = 2, default_values_t = [16, 5])]
    pictures: Vec<usize>,
    /// Factor of the peak learning rates, for other batches than the default
    #[arg(long, default_value_t = 1.0)]
    rate_scale: f64,
    /// auto: the device on which a step of the stage takes less time. gpu: over Vulkan, Metal or DX12
    #[arg(long, default_value = "auto", value_parser = ["auto", "cpu", "gpu"])]
    device: String,
    /// Number of threads that draw pictures in advance
    #[arg(long, default_value_t = 1)]
    data_threads: usize,
    /// Stages to run; earlier ones are read from the folder
    #[arg(long, num_args = 1.., default_values_t = ["tower", "text", "stage1", "stage2", "joint"].map(String::from))]
    stages: Vec<String>,
    #[command(flatten)]
    parts: PartsArgs,
}

/// The flags of a run on imported parts.
#[derive(Args)]
#[cfg_attr(not(feature = "train"), allow(dead_code))]
struct PartsArgs {
    /// Vision tower to import: Hugging Face folder of a CLIP, a SigLIP or a LLaVA, or folder of a manifest and shards
    #[arg(long, requires = "decoder")]
    tower: Option<PathBuf>,
    /// Decoder to import: Hugging Face folder of a LLaMA, or GGUF file
    #[arg(long, requires = "tower")]
    decoder: Option<PathBuf>,
    /// Stage 1: data file in LLaVA's format
    #[arg(long)]
    captions: Option<PathBuf>,
    /// Stage 2: data file in LLaVA's format
    #[arg(long)]
    instructions: Option<PathBuf>,
    /// Folder of the pictures [default: `images` beside the data file]
    #[arg(long)]
    images: Option<PathBuf>,
    /// Conversations per step, by stage
    #[arg(long, num_args = 2, default_values_t = [256, 128])]
    batch: Vec<usize>,
    /// Conversations per forward pass; the gradients of a step's passes are added
    #[arg(long, default_value_t = 8)]
    micro: usize,
    /// Peak learning rates, by stage [default: 1e-3 2e-5; 1e-3 2e-4 with adapters]
    #[arg(long, num_args = 2)]
    rates: Option<Vec<f64>>,
    /// Peak learning rate of the connector in stage 2
    #[arg(long, default_value_t = 2e-5)]
    connector_rate: f64,
    /// Longest conversation, rows of the decoder
    #[arg(long, default_value_t = 2048)]
    length: usize,
    /// Prompt template of stage 2 [default: that of the decoder's tokenizer]
    #[arg(long)]
    template: Option<String>,
    /// Stage 2 trains adapters of this rank in place of the decoder (LLaVA: 128)
    #[arg(long)]
    lora_rank: Option<usize>,
    /// Scale of the adapters: their product counts alpha / rank
    #[arg(long, default_value_t = 256.0)]
    lora_alpha: f32,
    /// Matrices with adapters
    #[arg(long, num_args = 1.., default_values_t = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"].map(String::from))]
    lora_targets: Vec<String>,
}

#[derive(Args)]
#[cfg_attr(not(feature = "train"), allow(dead_code))]
struct ScoreArgs {
    /// Folder of `train run --tower`
    #[arg(long)]
    run: PathBuf,
    /// Data file in LLaVA's format
    #[arg(long)]
    data: PathBuf,
    /// Folder of the pictures [default: `images` beside the data file]
    #[arg(long)]
    images: Option<PathBuf>,
    /// Stage whose prompts are used: 1 (captions) or 2 (conversations)
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=2))]
    stage: u64,
    /// Maximum number of entries
    #[arg(long, default_value_t = 200)]
    limit: usize,
    /// cpu or gpu
    #[arg(long, default_value = "cpu", value_parser = ["cpu", "gpu"])]
    device: String,
}

#[derive(Args)]
#[cfg_attr(not(feature = "train"), allow(dead_code))]
struct DevicesArgs {
    /// Multiples of the default batch (16 pictures in the tower stage, 5 in the others) to measure
    #[arg(long, num_args = 1.., default_values_t = [1])]
    times: Vec<usize>,
    /// Devices to measure
    #[arg(long, num_args = 1.., default_values_t = ["cpu", "gpu"].map(String::from), value_parser = ["cpu", "gpu"])]
    on: Vec<String>,
    /// Least time per figure, seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Number of threads that compute gradients on the CPU
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Stages to time
    #[arg(long, num_args = 1.., default_values_t = ["tower", "text", "stage1", "stage2", "joint"].map(String::from))]
    stages: Vec<String>,
    /// Leave the comparison of gradients out
    #[arg(long)]
    no_parity: bool,
}

fn main() {
    let result = match Command::parse() {
        Command::Data { seed, count, out, format, .. } if format == "llava" => {
            llava_format::write(seed, count, &out).map(|()| println!("{count} scenes in {}", out.display()))
        }
        Command::Data { seed, count, drawings, every_kind, out, .. } => {
            let kinds = if every_kind { QuestionKind::ALL.as_slice() } else { &[QuestionKind::Thing] };
            dataset::write_with_drawings(seed, count, drawings, kinds, &out)
                .map(|n| println!("{} pictures, {n} questions in {}", count + drawings, out.display()))
        }
        Command::Begin { model, out } => commands::begin(&model, &out),
        Command::Drawings { file, out } => {
            drawings::write(&file, &out).map(|n| println!("{n} questions in {}", out.display()))
        }
        Command::Eval(args) => evaluate(&args),
        Command::Looks { model, seed, scenes } => {
            looks::measure(&model, BackendChoice::Cpu, seed, scenes).map(|found| print!("{}", looks::table(&found)))
        }
        Command::Run(args) => commands::run(*args),
        Command::Score(args) => commands::score(&args),
        Command::Devices(args) => commands::devices(&args),
        Command::Export { run, out, only_mmproj, check } => commands::export(run, &out, only_mmproj, check.as_deref()),
        Command::Curves { run, out } => commands::curves(&run, &out),
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
        (Some(run), _) => commands::vqa_model(run)?,
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

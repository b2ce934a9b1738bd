//! The commands that need Burn.

use super::{DevicesArgs, Error, Kind, PartsArgs, Result, RunArgs, ScoreArgs, dataset, eval};
use llava_web::prompt::Template;
use llava_web::quant::WeightType;
use llava_web::train::burn_vqa::BurnVqa;
use llava_web::train::compare::{self, Comparison};
use llava_web::train::device::{DeviceChoice, TrainingDevice};
use llava_web::train::parts::lora::LoraPlan;
use llava_web::train::parts::recipe::{self, PartsChoice, PartsPlan};
use llava_web::train::parts::{export as layouts, score as scores};
use llava_web::train::progress::Budget;
use llava_web::train::run::{TrainingPlan, TrainingRun};
use llava_web::train::{curves as charts, export as checkpoint};
use std::path::{Path, PathBuf};

fn argument(name: &str, message: impl Into<String>) -> Error {
    Error::new(Kind::Argument, name, message)
}

pub fn run(args: RunArgs) -> Result<()> {
    let device: DeviceChoice = args.device.parse().map_err(|e: String| argument("--device", e))?;
    if args.parts.tower.is_some() {
        return run_parts(args, device);
    }
    let RunArgs { out, seed, workers, minutes, steps, pictures, data_threads, stages, rate_scale, .. } = args;
    let budgets = std::array::from_fn(|i| match &steps {
        Some(steps) => Budget::Steps(steps[i]),
        None => Budget::Seconds(minutes[i] * 60.0),
    });
    let batches = [pictures[0], pictures[1]];
    let plan = TrainingPlan { out, seed, workers, stages, budgets, batches, rate_scale, device, data_threads };
    TrainingRun::open(plan)?.train()
}

/// Runs stages 1 and 2 on imported parts.
fn run_parts(args: RunArgs, device: DeviceChoice) -> Result<()> {
    let PartsArgs { tower, decoder, captions, instructions, images, batch, micro, rates, .. } = args.parts;
    let (Some(tower), Some(decoder)) = (tower, decoder) else {
        return Err(argument("--tower", "needs --decoder"));
    };
    let Some(first) = captions.as_ref().or(instructions.as_ref()) else {
        return Err(argument("--captions", "is missing, and --instructions, too: there is nothing to learn from"));
    };
    let images = images.unwrap_or_else(|| beside(first));
    let template = args.parts.template.map(|name| name.parse::<Template>()).transpose()?;
    let (alpha, targets) = (args.parts.lora_alpha, args.parts.lora_targets);
    let lora = args.parts.lora_rank.map(|rank| LoraPlan { rank, alpha, targets });
    let rates = rates.map_or([1e-3, if lora.is_some() { 2e-4 } else { 2e-5 }], |rates| [rates[0], rates[1]]);
    let tower = std::path::absolute(&tower).unwrap_or(tower);
    let decoder = std::path::absolute(&decoder).unwrap_or(decoder);
    recipe::train(&PartsPlan {
        out: args.out,
        choice: PartsChoice { tower, decoder, template, lora, seed: args.seed },
        data: [captions, instructions],
        images,
        batches: [batch[0], batch[1]],
        micro,
        rates,
        connector_rate: args.parts.connector_rate,
        steps: args.steps.map(|steps| [steps[2], steps[3]]),
        length: args.parts.length,
        workers: args.workers,
        data_threads: args.data_threads,
        device,
        save_every: 240.0,
    })
}

/// Returns the folder `images` beside a data file.
fn beside(file: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new(".")).join("images")
}

fn open_device(name: &str) -> Result<TrainingDevice> {
    if name == "gpu" { TrainingDevice::gpu() } else { Ok(TrainingDevice::cpu()) }
}

pub fn score(args: &ScoreArgs) -> Result<()> {
    let device = open_device(&args.device)?;
    let images = args.images.clone().unwrap_or_else(|| beside(&args.data));
    let stage = args.stage as usize - 1;
    println!("{:<14} {:>8} {:>12} {:>14} {:>8}", "", "answers", "whole", "tokens right", "loss");
    for (label, fresh, blank) in [("before", true, false), ("after", false, false), ("after, grey", false, true)] {
        let (trained, choice, last) = recipe::trained(&args.run, &device)?;
        let parts = if fresh { recipe::open(&choice, &device)? } else { trained };
        let s = scores::score(parts, &args.data, &images, stage, args.limit, blank)?;
        let percent = |part: usize, all: usize| 100.0 * part as f64 / all.max(1) as f64;
        println!(
            "{label:<14} {:>8} {:>10.1} % {:>12.1} % {:>8.3}{}",
            s.answers,
            percent(s.whole, s.answers),
            percent(s.right, s.tokens),
            s.loss,
            if fresh { String::new() } else { format!("  ({})", last.unwrap_or("untrained")) }
        );
    }
    Ok(())
}

pub fn devices(args: &DevicesArgs) -> Result<()> {
    let devices: Vec<TrainingDevice> = args.on.iter().map(|name| open_device(name)).collect::<Result<_>>()?;
    let times = args.times.clone();
    compare::compare(&Comparison {
        devices,
        times,
        seconds: args.seconds,
        workers: args.workers,
        parity: !args.no_parity,
        stages: args.stages.clone(),
    })
}

/// Opens a training run with the parameters trained so far.
fn trained(out: PathBuf) -> Result<TrainingRun> {
    let budgets = [Budget::Steps(0); 5];
    let device = DeviceChoice::Cpu;
    let (seed, workers, stages, batches, rate_scale, data_threads) = (1, 1, Vec::new(), [16, 5], 1.0, 1);
    let plan = TrainingPlan { out, seed, workers, stages, budgets, batches, rate_scale, device, data_threads };
    let mut run = TrainingRun::open(plan)?;
    run.train()?;
    Ok(run)
}

pub fn vqa_model(run: &Path) -> Result<Box<dyn eval::VqaModel>> {
    Ok(Box::new(BurnVqa::new(&trained(run.to_owned())?)))
}

pub fn export(run: PathBuf, out: &Path, only_mmproj: bool, check: Option<&Path>) -> Result<()> {
    if run.join("parts.json").exists() {
        return export_parts(&run, out, only_mmproj);
    }
    let tokenizer = run.join("tokenizer.json");
    let run = trained(run)?;
    checkpoint::export(&run.params, &run.shape, &tokenizer, out)?;
    let Some(check) = check else { return Ok(()) };
    let picture = dataset::items(7, 0).0;
    let png = dataset::png(&picture)?;
    BurnVqa::new(&run).write_check(&png, "What do you see?", check)
}

/// Writes mmproj.gguf, and unless it is all that is wanted the hub's layout in `hub/` and shards in `shards/`.
fn export_parts(run: &Path, out: &Path, only_mmproj: bool) -> Result<()> {
    let (mut parts, ..) = recipe::trained(run, &TrainingDevice::cpu())?;
    std::fs::create_dir_all(out).map_err(|e| llava_web::native::io_error(out, &e))?;
    let path = out.join("mmproj.gguf");
    let bytes = layouts::mmproj(&parts.config, &parts.params)?;
    std::fs::write(&path, bytes).map_err(|e| llava_web::native::io_error(&path, &e))?;
    println!("{}", path.display());
    if only_mmproj {
        return Ok(());
    }
    let (hub, shards) = (out.join("hub"), out.join("shards"));
    layouts::hub(&mut parts, &hub)?;
    println!("{}", hub.display());
    let name = run.file_name().map_or("llava".into(), |name| name.to_string_lossy());
    layouts::shards(&hub, &shards, WeightType::Q8, &name)?;
    println!("{}", shards.display());
    Ok(())
}

pub fn begin(model: &Path, out: &Path) -> Result<()> {
    llava_web::train::continued::begin(model, out)
}

pub fn curves(run: &Path, out: &Path) -> Result<()> {
    charts::draw_curves(run, out).map(|files| println!("{}", files.join("\n")))
}

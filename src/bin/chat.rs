//! `chat`: asks a model about pictures from the command line. External checks depend on its options and JSON.

use clap::Parser;
use llava_web::device::BackendChoice;
use llava_web::engine::{Answer, Engine, Event, GenerateOptions, Loader, Observer, SilentObserver, TokenProbability};
use llava_web::error::{Error, Result};
use llava_web::model::CacheType;
use llava_web::native::{self, AttentionLog, ConstraintArguments, Folder, ResponseFormat, SamplingArguments};
use llava_web::native::{io_error, open_device, read_file};
use llava_web::preprocess::Rendering;
use llava_web::prompt::Message;
use llava_web::quant::WeightType;
use pollster::block_on;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Ask LLaVA about pictures.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// A directory with manifest.json, a Hugging Face checkpoint or a GGUF pair; or the pair's language model.
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// The GGUF pair's projector file, if it is not beside the model.
    #[arg(long, value_name = "FILE")]
    mmproj: Option<PathBuf>,
    /// A picture (JPEG, PNG, WebP, GIF, BMP; at most 400 million pixels); may be given several times.
    #[arg(long = "image", value_name = "FILE")]
    images: Vec<PathBuf>,
    /// shown: as people see it, upright and on white. reference: as transformers 4 read it, without alpha and EXIF.
    #[arg(long, value_name = "RENDERING", default_value = "shown")]
    rendering: Rendering,
    /// The question, for the model's prompt template. Special tokens in it are plain text.
    #[arg(long, value_name = "TEXT", required_unless_present = "raw_prompt", conflicts_with = "raw_prompt")]
    prompt: Option<String>,
    /// The whole prompt, verbatim: with an `<image>` mark for each picture, and special tokens.
    #[arg(long, value_name = "TEXT")]
    raw_prompt: Option<String>,
    /// The backend.
    #[arg(long, value_enum, default_value = "auto")]
    backend: BackendChoice,
    /// Threads of the CPU backend; by default as many as the machine has.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    sampling: SamplingArguments,
    #[command(flatten)]
    constraint: ConstraintArguments,
    /// Report the log-probability of each token of the answer and of the N most likely ones in its place, 0 to 20.
    #[arg(long, value_name = "N")]
    logprobs: Option<u32>,
    /// Write where each token of the answer looked, as JSON: pictures, and weights by layer and row (src/docs/attention.md).
    #[arg(long, value_name = "FILE")]
    attention: Option<PathBuf>,
    /// Longest answer, tokens.
    #[arg(long, value_name = "N", default_value_t = 512)]
    max_new_tokens: u32,
    /// Rows that the cache may grow to; by default the model's maximum or 2048, whichever is smaller.
    #[arg(long, value_name = "N")]
    context: Option<u32>,
    /// Quantise the weights of an f32, f16 or bf16 checkpoint while they are loaded, as `convert --quant` does: q8 or
    /// q4 [default: as they are].
    #[arg(long, value_name = "TYPE")]
    quant: Option<WeightType>,
    /// Type of the cached keys and values: f32, or f16 for half the memory and rounded values [default: f16 where f32
    /// would take more than 256 MiB].
    #[arg(long, value_name = "TYPE")]
    cache_type: Option<CacheType>,
    /// Length that the longer side of a picture is scaled to before it is cut into tiles, pixels: 512, 1024 or 2048 for
    /// SmolVLM [default: the checkpoint's].
    #[arg(long, value_name = "N")]
    longest_edge: Option<u32>,
    /// Continue after the end-of-answer token.
    #[arg(long)]
    ignore_eos: bool,
    /// Print one JSON object instead of the answer.
    #[arg(long)]
    json: bool,
    /// Write the logits of the last prompt position and of every generated one: f32 little-endian, [n, V].
    #[arg(long, value_name = "FILE")]
    logits: Option<PathBuf>,
    /// Write the intermediate results of each picture (pixel values, image features, image embeds) as safetensors.
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
}

fn main() -> ExitCode {
    match block_on(run(&Arguments::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let start = Instant::now();
    let mut engine = load(arguments).await?;
    engine.set_rendering(arguments.rendering);
    if let Some(longest_edge) = arguments.longest_edge {
        engine.set_longest_edge(longest_edge)?;
    }
    if let Some(format) = arguments.constraint.response_format()? {
        engine.constrain(Some(ResponseFormat::new(&engine, &format)?.constraint()?));
    }
    let load_ms = milliseconds(start);
    for note in engine.report().notes {
        eprintln!("note: {note}");
    }
    let start = Instant::now();
    let mut images = Vec::new();
    for path in &arguments.images {
        images.push(encode(&mut engine, path, &images, arguments.dump.as_deref()).await?);
    }
    let encode_ms = milliseconds(start);
    let attention = AttentionLog::default();
    let mut screen = Screen { visible: !arguments.json, prefill: None, start: Instant::now(), attention };
    let options = GenerateOptions {
        max_new_tokens: arguments.max_new_tokens,
        ignore_eos: arguments.ignore_eos,
        keep_logits: arguments.logits.is_some(),
        top_logprobs: arguments.logprobs,
        attention: arguments.attention.is_some(),
        ..arguments.sampling.options()
    };
    let answer = match (&arguments.prompt, &arguments.raw_prompt) {
        (Some(question), _) => engine.generate(&[Message::user(&images, question)], &options, &mut screen).await?,
        (None, raw) => engine.generate_raw(raw.as_deref().unwrap_or_default(), &images, &options, &mut screen).await?,
    };
    if let Some(path) = &arguments.attention {
        screen.attention.write(path)?;
    }
    if let Some(path) = &arguments.logits {
        let bytes: Vec<u8> = answer.logits.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(path, bytes).map_err(|e| io_error(path, &e))?;
    }
    let total_ms = milliseconds(screen.start);
    let prefill_ms = screen.prefill.map_or(total_ms, |p| (p - screen.start).as_secs_f64() * 1e3);
    let timings = [load_ms, encode_ms, prefill_ms, total_ms - prefill_ms];
    if arguments.json {
        println!("{}", json(&engine, &answer, timings));
    } else {
        println!();
        answer.logprobs.iter().for_each(|token| println!("{}", line(token)));
    }
    Ok(())
}

async fn load(arguments: &Arguments) -> Result<Engine> {
    let (folder, entry) = Folder::locate(&arguments.model, arguments.mmproj.as_deref(), None)?;
    let device = open_device(arguments.backend, arguments.threads).await?;
    let mut loader = Loader::open(device, &folder, &entry, &native::now).await?;
    loader.set_weight_type(arguments.quant)?;
    if let Some(cache_type) = arguments.cache_type {
        loader.set_cache_type(cache_type);
    }
    native::load_parts(loader, &folder, arguments.context).await
}

/// Encodes a picture beside those of `earlier`, and returns its id. With `dump`, writes its intermediate results to
/// `image{n}.safetensors` in that directory, where n is the number of earlier ones.
async fn encode(engine: &mut Engine, path: &Path, earlier: &[String], dump: Option<&Path>) -> Result<String> {
    let bytes = read_file(path)?;
    let encoded = engine
        .encode(&bytes, earlier, &mut SilentObserver)
        .await
        .map_err(|e| Error { place: path.display().to_string(), ..e })?;
    let Some(directory) = dump else { return Ok(encoded.id) };
    std::fs::create_dir_all(directory).map_err(|e| io_error(directory, &e))?;
    let file = directory.join(format!("image{}.safetensors", earlier.len()));
    let outputs = engine.vision_outputs(&bytes).await?;
    let views: Vec<_> = outputs.iter().map(|(name, shape, values)| (*name, &shape[..], &values[..])).collect();
    std::fs::write(&file, llava_web::format::safetensors::write(&views)?).map_err(|e| io_error(&file, &e))?;
    Ok(encoded.id)
}

/// Prints text as it arrives and records the end of the prefill.
struct Screen {
    visible: bool,
    prefill: Option<Instant>,
    start: Instant,
    attention: AttentionLog,
}

impl Observer for Screen {
    fn event(&mut self, event: Event) {
        self.attention.receive(&event);
        match event {
            Event::Prefill { .. } => self.prefill = Some(Instant::now()),
            Event::Token { text, .. } if self.visible => {
                print!("{text}");
                // A closed pipe ends the program at the final newline, with an error.
                let _ = std::io::stdout().flush();
            }
            _ => {}
        }
    }
    async fn pause(&mut self) -> bool {
        false
    }
}

fn json(engine: &Engine, answer: &Answer, [load, encode, prefill, decode]: [f64; 4]) -> serde_json::Value {
    let report = engine.report();
    serde_json::json!({
        "prompt_ids": answer.prompt_ids,
        "ids": answer.ids,
        "text": answer.text,
        "stop": answer.stop,
        "logprobs": answer.logprobs,
        "backend": report.backend,
        "adapter": report.adapter,
        "model": report.model,
        "reused_rows": answer.reused_rows,
        "timings_ms": { "load": load, "encode": encode, "prefill": prefill, "decode": decode },
    })
}

/// Returns a line of the table of log-probabilities: the token, then the most likely ones.
fn line(token: &TokenProbability) -> String {
    let cell = |bytes: &[u8], logprob: f32| format!("{:?} {logprob:.3}", String::from_utf8_lossy(bytes));
    let top = token.top.iter().map(|t| format!("  | {}", cell(&t.bytes, t.logprob)));
    top.fold(cell(&token.bytes, token.logprob), |line, next| line + &next)
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

//! Writes the files of a LLaVA that was never trained (see [`llava_web::native::synthetic`]).

use clap::Parser;
use llava_web::error::{Error, Kind, Result};
use llava_web::format::source::Source;
use llava_web::native::io_error;
use llava_web::native::synthetic::{Format, ModelSize, Synthetic};
use pollster::block_on;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write weights of a LLaVA that was never trained.
#[derive(Parser)]
#[command(name = "weights", version)]
struct Args {
    /// Size of LLaVA-1.5 to imitate.
    #[arg(long, value_enum)]
    size: ModelSize,
    /// Format of the files.
    #[arg(long, value_enum)]
    format: Format,
    /// Seed of the weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for the files.
    #[arg(long)]
    out: PathBuf,
}

/// Bytes generated per write.
const CHUNK_BYTES: u64 = 16 << 20;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weights: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    std::fs::create_dir_all(&args.out).map_err(|e| io_error(&args.out, &e))?;
    let model = Synthetic::new(args.size, args.format, args.seed)?;
    for file in model.files() {
        let path = args.out.join(&file.name);
        // Under another name until it is whole.
        let part = args.out.join(format!("{}.part", file.name));
        let io = |e: std::io::Error| io_error(&part, &e);
        let mut out = File::create(&part).map_err(io)?;
        let mut at = 0;
        while at < file.bytes {
            let chunk = CHUNK_BYTES.min(file.bytes - at);
            out.write_all(&block_on(model.read(&file.name, at, chunk))?).map_err(io)?;
            at += chunk;
        }
        out.sync_data().map_err(io)?;
        std::fs::rename(&part, &path).map_err(|e| Error::new(Kind::Io, path.display().to_string(), e.to_string()))?;
        println!("{}: {} bytes", path.display(), file.bytes);
    }
    Ok(())
}

//! `isa`: compiles every pipeline of three models for AMD's graphics cards, without a card, and prints what the
//! compiler made of them.

use clap::Parser;
use llava_isa::pipelines::pipelines;
use llava_isa::radv::Radv;
use llava_isa::table::Line;
use pollster::block_on;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Prints registers, spills and the contents of the hottest loop of every pipeline.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Families of cards, as RADV names them: vega10, navi10, navi21, gfx1100 and others.
    #[arg(long, value_delimiter = ',', default_value = "navi21,gfx1100")]
    family: Vec<String>,
    /// Print comma-separated values.
    #[arg(long)]
    csv: bool,
    /// Only what the tuner can choose on an adapter with fast barriers.
    #[arg(long)]
    hardware: bool,
    /// Only kernels whose name begins so.
    #[arg(long, value_name = "NAME", default_value = "")]
    kernel: String,
    /// Compile for the family that the environment names, in this process.
    #[arg(long, hide = true)]
    here: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = if arguments.here { compile(&arguments) } else { collect(&arguments) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("isa: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a line for each pipeline. RADV has been told the family by the environment.
fn compile(arguments: &Arguments) -> Result<(), String> {
    let radv = Radv::open()?;
    println!("# {}", radv.driver());
    let family = arguments.family.first().ok_or("no family")?;
    for pipeline in block_on(pipelines(arguments.hardware)).map_err(|e| e.to_string())? {
        if pipeline.kernel.starts_with(&arguments.kernel) {
            println!("{}", Line::of(&radv, family, &pipeline)?);
        }
    }
    Ok(())
}

/// Starts a process for each family and prints their lines.
fn collect(arguments: &Arguments) -> Result<(), String> {
    let file = driver_file()?;
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut running = Vec::new();
    for family in &arguments.family {
        let mut command = Command::new(&program);
        command.args(["--here", "--family", family, "--kernel", &arguments.kernel]);
        command.args(arguments.hardware.then_some("--hardware"));
        command.env("RADV_FORCE_FAMILY", family).env("RADV_DEBUG", "nocache");
        command.env("VK_DRIVER_FILES", &file).env("VK_ICD_FILENAMES", &file);
        running.push(command.stdout(Stdio::piped()).spawn().map_err(|e| e.to_string())?);
    }
    let (mut lines, mut driver) = (Vec::<Line>::new(), String::new());
    for (family, child) in arguments.family.iter().zip(running) {
        let output = child.wait_with_output().map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(format!("compiling for {family} failed"));
        }
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            match line.starts_with('#') {
                true => driver = line.into(),
                false => lines.push(line.parse()?),
            }
        }
    }
    println!("{driver}");
    if arguments.csv {
        println!("{}", Line::HEADER);
        lines.iter().for_each(|line| println!("{line}"));
    } else {
        print_aligned(&lines);
    }
    Ok(())
}

/// Prints the lines as a table for people.
fn print_aligned(lines: &[Line]) {
    println!("vgprs spill   lds waves instr.  MAC/i  bytes/i branch  family   kernel");
    for line in lines {
        let Line { vgprs, spilled, lds, waves, instructions, branches, family, kernel, variant, .. } = line;
        let (mac, load) = (line.mac_per_instruction, line.load_bytes_per_instruction);
        println!(
            "{vgprs:5} {spilled:5} {lds:5} {waves:5} {instructions:6} {mac:6.2} {load:8.2} {branches:6}  {family:8} \
             {kernel} {variant}"
        );
    }
}

/// Returns the file by which the Vulkan loader finds RADV.
fn driver_file() -> Result<PathBuf, String> {
    let folders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(Path::new(folder)).ok()).flatten().flatten();
    let radv = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.starts_with("radeon_icd") && !name.contains("i686")
    };
    files.map(|file| file.path()).find(radv).ok_or_else(|| {
        "RADV, the Vulkan driver of AMD's cards, is not installed (Debian: mesa-vulkan-drivers)".to_string()
    })
}

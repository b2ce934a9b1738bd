//! `isa`: compiles every pipeline of three models for graphics cards of AMD and Intel, without a card, and prints what
//! the compilers made of them.

mod intel_kernel;

use clap::Parser;
use llava_isa::families::Maker;
use llava_isa::null_device::NullDevice;
use llava_isa::pipelines::pipelines;
use llava_isa::table::Line;
use pollster::block_on;
use std::process::{Command, ExitCode, Stdio};

/// Prints registers, spills and the contents of the hottest loop of every pipeline.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Families of cards: AMD's as RADV names them (vega10, navi10, navi21, gfx1100 and others), Intel's skl, icl, tgl,
    /// adl, dg2.
    #[arg(long, value_delimiter = ',', default_value = default_families())]
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

/// Returns the families of a table without `--family`. Intel's driver is built for x86 only.
fn default_families() -> &'static str {
    if std::env::consts::ARCH == "x86_64" { "navi21,gfx1100,tgl" } else { "navi21,gfx1100" }
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

/// Prints a line for each pipeline. The environment names the driver.
fn compile(arguments: &Arguments) -> Result<(), String> {
    let family = arguments.family.first().ok_or("no family")?;
    if let Maker::Intel { device, .. } = Maker::of(family) {
        intel_kernel::present(device)?;
    }
    let device = NullDevice::open()?;
    println!("# {}", device.driver());
    for pipeline in block_on(pipelines(arguments.hardware)).map_err(|e| e.to_string())? {
        if pipeline.kernel.starts_with(&arguments.kernel) {
            println!("{}", Line::of(&device, family, &pipeline)?);
        }
    }
    Ok(())
}

/// Starts a process for each family and prints their lines.
fn collect(arguments: &Arguments) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut running = Vec::new();
    for family in &arguments.family {
        let mut command = Command::new(&program);
        command.args(["--here", "--family", family, "--kernel", &arguments.kernel]);
        command.args(arguments.hardware.then_some("--hardware"));
        Maker::of(family).prepare(&mut command, family)?;
        running.push(command.stdout(Stdio::piped()).spawn().map_err(|e| e.to_string())?);
    }
    let (mut lines, mut drivers) = (Vec::<Line>::new(), Vec::<String>::new());
    for (family, child) in arguments.family.iter().zip(running) {
        let output = child.wait_with_output().map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(format!("compiling for {family} failed"));
        }
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            match line.strip_prefix("# ") {
                Some(driver) if drivers.iter().any(|known| known == driver) => {}
                Some(driver) => drivers.push(driver.into()),
                None => lines.push(line.parse()?),
            }
        }
    }
    println!("# {}", drivers.join(", "));
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

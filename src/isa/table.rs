//! A line per pipeline and family: what the compiler made of it.

use crate::assembly::{counts, registers};
use crate::families::Maker;
use crate::null_device::{Compiled, NullDevice};
use crate::pipelines::Pipeline;
use std::fmt;
use std::str::FromStr;

/// The figures of a pipeline on a family.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Name of the kernel.
    pub kernel: String,
    /// Its constants.
    pub variant: String,
    /// The family of cards, as its driver names it.
    pub family: String,
    /// AMD: vector registers of an invocation. Intel: registers of a subgroup, of 128.
    pub vgprs: u64,
    /// Registers, vector and scalar, that did not fit and live in memory.
    pub spilled: u64,
    /// Bytes of workgroup memory.
    pub lds: u64,
    /// Subgroups that a SIMD unit can hold at the same time.
    pub waves: u64,
    /// Instructions of the whole pipeline.
    pub instructions: u64,
    /// Multiply-adds per instruction of the hottest loop.
    pub mac_per_instruction: f64,
    /// Bytes that the hottest loop loads per instruction, for each invocation.
    pub load_bytes_per_instruction: f64,
    /// Branches of the whole pipeline.
    pub branches: u32,
}

impl Line {
    /// Names of the columns.
    pub const HEADER: &str = "kernel,variant,family,vgprs,spilled,lds,waves,instructions,mac_per_instruction,\
                              load_bytes_per_instruction,branches";

    /// Compiles a pipeline.
    ///
    /// # Errors
    /// What [`NullDevice::compile`] reports, with the pipeline's name.
    pub fn of(device: &NullDevice, family: &str, pipeline: &Pipeline) -> Result<Self, String> {
        let Pipeline { kernel, variant, wgsl, bindings } = pipeline;
        let compiled = device.compile(wgsl, *bindings).map_err(|e| format!("{kernel} {variant}: {e}"))?;
        Ok(Self::described(family, pipeline, &compiled))
    }

    fn described(family: &str, pipeline: &Pipeline, compiled: &Compiled) -> Self {
        // Each driver has names of its own.
        let statistic = |names: &[&str]| names.iter().filter_map(|name| compiled.statistics.get(*name)).sum::<u64>();
        let (vgprs, waves) = match Maker::of(family) {
            Maker::Amd => (statistic(&["VGPRs"]), statistic(&["Subgroups per SIMD"])),
            Maker::Intel { threads, .. } => (registers(&compiled.assembly), threads),
        };
        let [whole, hottest] = counts(&compiled.assembly);
        let instructions = f64::from(hottest.instructions.max(1));
        Self {
            kernel: pipeline.kernel.into(),
            variant: pipeline.variant.clone(),
            family: family.into(),
            vgprs,
            spilled: statistic(&["Spilled VGPRs", "Spilled SGPRs", "Spill Count"]),
            lds: statistic(&["LDS size", "Workgroup Memory Size"]),
            waves,
            instructions: statistic(&["Instructions", "Instruction Count"]),
            mac_per_instruction: f64::from(hottest.multiply_adds) / instructions,
            load_bytes_per_instruction: f64::from(hottest.load_bytes) / instructions,
            branches: whole.branches,
        }
    }

    /// Returns what is wrong with this line, given the recorded one: registers that are spilled, on Intel more than the
    /// recorded, or fewer multiply-adds per instruction than nine tenths of the recorded.
    pub fn complaint(&self, recorded: &Self) -> Option<String> {
        let Self { kernel, variant, family, spilled, mac_per_instruction: now, .. } = self;
        let before = recorded.mac_per_instruction;
        let allowed = match Maker::of(family) {
            Maker::Amd => 0,
            Maker::Intel { .. } => recorded.spilled,
        };
        let what = if *spilled > allowed {
            format!("{spilled} registers live in memory, {allowed} are allowed")
        } else if *now < 0.9 * before {
            format!("{now:.2} multiply-adds per instruction, {before:.2} are recorded")
        } else {
            return None;
        };
        Some(format!("{kernel} {variant} on {family}: {what}"))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, variant, family, vgprs, spilled, lds, waves, instructions, branches, .. } = self;
        let (mac, load) = (self.mac_per_instruction, self.load_bytes_per_instruction);
        write!(
            f,
            "{kernel},{variant},{family},{vgprs},{spilled},{lds},{waves},{instructions},{mac:.2},{load:.2},{branches}"
        )
    }
}

impl FromStr for Line {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let fields: [&str; 11] =
            line.split(',').collect::<Vec<_>>().try_into().map_err(|_| format!("not eleven fields: {line}"))?;
        let whole = |at: usize| fields[at].parse().map_err(|e| format!("{}: {e}", fields[at]));
        let share = |at: usize| fields[at].parse().map_err(|e| format!("{}: {e}", fields[at]));
        Ok(Self {
            kernel: fields[0].into(),
            variant: fields[1].into(),
            family: fields[2].into(),
            vgprs: whole(3)?,
            spilled: whole(4)?,
            lds: whole(5)?,
            waves: whole(6)?,
            instructions: whole(7)?,
            mac_per_instruction: share(8)?,
            load_bytes_per_instruction: share(9)?,
            branches: whole(10)? as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "matmul_f16,WEIGHT_TYPE=3 ROWS=64 COLS=64,navi21,128,0,14336,6,4770,1.38,1.12,66";

    #[test]
    fn a_line_is_read_as_it_is_written() {
        let line: Line = LINE.parse().unwrap();
        assert_eq!(line.to_string(), LINE);
        assert_eq!(Line::HEADER.split(',').count(), LINE.split(',').count());
        assert!("a,b".parse::<Line>().is_err());
    }

    #[test]
    fn spills_and_slower_code_are_complained_about() {
        let recorded: Line = LINE.parse().unwrap();
        let changed = |spilled, mac_per_instruction| Line { spilled, mac_per_instruction, ..recorded.clone() };
        assert_eq!(changed(0, 1.25).complaint(&recorded), None);
        assert!(changed(0, 1.24).complaint(&recorded).unwrap().contains("1.24 multiply-adds"));
        assert!(changed(1, 1.38).complaint(&recorded).unwrap().contains("1 registers"));
    }
}

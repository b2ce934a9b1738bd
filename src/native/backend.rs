//! Names of backends on command lines.

use crate::device::BackendChoice;
use clap::ValueEnum;
use clap::builder::PossibleValue;

impl ValueEnum for BackendChoice {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Auto, Self::Gpu, Self::Cpu, Self::Reference]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self {
            Self::Auto => ("auto", "The GPU where there is one, else the CPU"),
            Self::Gpu => ("gpu", "The GPU, or an error"),
            Self::Cpu => ("cpu", "The CPU"),
            Self::Reference => {
                ("reference", "The CPU with the reference kernels, which the others are compared with: slow")
            }
        };
        Some(PossibleValue::new(name).help(help))
    }
}

//! The families of graphics cards, and how the driver of each opens one that is not in the machine.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Who makes the cards of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// AMD: the driver is RADV, which knows the family by its name.
    Amd,
    /// Intel: the driver is ANV.
    Intel {
        /// PCI device number of a card of the family.
        device: u16,
        /// Subgroups that an execution unit holds at the same time, whichever registers they use.
        threads: u64,
    },
}

/// Families of Intel's cards: name, PCI device number of one, subgroups per execution unit.
const INTEL: [(&str, u16, u64); 5] = [
    ("skl", 0x1912, 7), // HD Graphics 530
    ("icl", 0x8a52, 7), // Iris Plus Graphics G7
    ("tgl", 0x9a49, 7), // Iris Xe Graphics of an 11th generation processor
    ("adl", 0x46a6, 7), // of a 12th
    ("dg2", 0x56a0, 8), // Arc A770
];

impl Maker {
    /// Returns the maker of a family; a name that is none of Intel's is one of RADV's.
    pub fn of(family: &str) -> Self {
        let intel = INTEL.iter().find(|(name, ..)| *name == family);
        intel.map_or(Self::Amd, |&(_, device, threads)| Self::Intel { device, threads })
    }

    /// Tells `program` which driver to open.
    ///
    /// # Errors
    /// A message where the driver is not installed.
    pub fn prepare(self, program: &mut Command, family: &str) -> Result<(), String> {
        let file = match self {
            Self::Amd => {
                program.env("RADV_FORCE_FAMILY", family).env("RADV_DEBUG", "nocache");
                driver_file("radeon_icd", "RADV, the Vulkan driver of AMD's cards,")?
            }
            Self::Intel { .. } => {
                program.env("INTEL_NO_HW", "1").env("MESA_SHADER_CACHE_DISABLE", "true");
                driver_file("intel_icd", "ANV, the Vulkan driver of Intel's cards,")?
            }
        };
        program.env("VK_DRIVER_FILES", &file).env("VK_ICD_FILENAMES", &file);
        Ok(())
    }
}

/// Returns the file by which the Vulkan loader finds a driver; its name begins with `start`.
fn driver_file(start: &str, driver: &str) -> Result<PathBuf, String> {
    let folders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(Path::new(folder)).ok()).flatten().flatten();
    let wanted = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.starts_with(start) && !name.contains("i686")
    };
    let missing = || format!("{driver} is not installed (Debian: mesa-vulkan-drivers)");
    files.map(|file| file.path()).find(wanted).ok_or_else(missing)
}

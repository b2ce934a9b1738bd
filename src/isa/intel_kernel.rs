//! A card of Intel's that is not in the machine, where the operating system lets this program show one.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod i915;

/// Shows the drivers of this process a card of Intel's with this PCI device number.
///
/// # Errors
/// A message where the driver cannot be shown one.
pub fn present(device: u16) -> Result<(), String> {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    i915::present(device);
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        Ok(())
    } else {
        Err(format!("{device:#x}: Intel's driver opens without a card on Linux on x86-64 only"))
    }
}

//! Exports what `intel_kernel/i915.rs` stands in for: a driver that is loaded looks its symbols up in the program first.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, wanted: &str| std::env::var(name).is_ok_and(|value| value == wanted);
    if !(is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ARCH", "x86_64")) {
        return;
    }
    for name in [
        "drmGetDevices2",
        "drmGetDevice2",
        "drmFreeDevice",
        "drmFreeDevices",
        "drmGetCap",
        "drmSyncobjCreate",
        "drmSyncobjDestroy",
        "drmIoctl",
        "ioctl",
    ] {
        println!("cargo:rustc-link-arg-bin=isa=-Wl,--export-dynamic-symbol={name}");
    }
}

//! The fuzz targets of LLaVA-web in one program, since each would link the whole engine: `FUZZ_TARGET=picture` chooses one,
//! `FUZZ_SEEDS=FOLDER` writes the seeds of all and ends. Everything else is libFuzzer's (`-help=1`).
#![no_main]

#[path = "../../common/counting.rs"]
mod counting;
mod seeds;
mod targets;
#[path = "../../common/torch.rs"]
mod torch;

use std::env::var;
use std::sync::OnceLock;
use targets::{TARGETS, Target};

#[global_allocator]
static COUNTING: counting::Counting = counting::Counting;

static CHOSEN: OnceLock<&Target> = OnceLock::new();

fn choose() {
    if let Ok(folder) = var("FUZZ_SEEDS") {
        seeds::write(folder.as_ref());
        std::process::exit(0);
    }
    let name = var("FUZZ_TARGET").unwrap_or_default();
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("FUZZ_TARGET is `{name}`; there are: {}", names.join(" ")));
    let _ = CHOSEN.set(target);
    counting::ABORT.store(true, std::sync::atomic::Ordering::Relaxed);
}

libfuzzer_sys::fuzz_target!(init: choose(), |data: &[u8]| {
    if let Some(target) = CHOSEN.get() {
        (target.run)(data);
    }
});

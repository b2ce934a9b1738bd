//! The pipelines of three models: LLaVA-1.5 7B in four bits, SmolVLM-256M in eight, and the model on the page.

use llava_web::device::Device;
use llava_web::error::Result;
use llava_web::format::blueprint::Blueprint;
use llava_web::gpu::Features;
use llava_web::measure::candidates;
use llava_web::model::load::WeightLoader;
use llava_web::native::Folder;
use llava_web::native::synthetic::{Format, ModelSize, Synthetic};
use llava_web::pass::Op;
use llava_web::tuning::Tuning;
use std::collections::BTreeMap;
use std::path::Path;

/// Rows of the context that passes are recorded for. No shader depends on it.
const CONTEXT: u32 = 1024;

/// A shader with its constants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Its constants: `NAME=VALUE`, with spaces between them.
    pub variant: String,
    /// The shader's text.
    pub wgsl: String,
    /// Number of its bindings, the two uniforms included.
    pub bindings: u32,
}

impl Pipeline {
    fn of(op: &Op) -> Self {
        let consts: Vec<String> = op.consts.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Self {
            kernel: op.kernel.name,
            variant: consts.join(" "),
            wgsl: op.wgsl(),
            bindings: 2 + op.kernel.access.len() as u32,
        }
    }
}

/// Returns every pipeline that one of the models records with one of the tuner's candidates, each once, in alphabetical
/// order. With `hardware`, only the candidates of adapters with fast barriers count.
///
/// # Errors
/// Those of opening the model on the page.
pub async fn pipelines(hardware: bool) -> Result<Vec<Pipeline>> {
    let features = Features { f16: true, timestamps: false, integer_dot: true };
    let chosen: Vec<Tuning> =
        candidates(features).into_iter().filter(|tuning| !hardware || tuning.tile.is_some()).collect();
    let scenes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../www/models/scenes");
    let (scenes, entry) = Folder::locate(&scenes, None, None)?;
    let mut blueprints = vec![Blueprint::open(&scenes, &entry).await?];
    for (size, format) in [(ModelSize::B7, Format::GgufQ4_0), (ModelSize::SmolVlm256M, Format::GgufQ8_0)] {
        let synthetic = Synthetic::new(size, format, 1)?;
        blueprints.push(Blueprint::open(&synthetic, &synthetic.entry()).await?);
    }
    let mut found = BTreeMap::new();
    for blueprint in blueprints {
        let mut loader = WeightLoader::new(Device::ledger_with(Tuning::HARDWARE), blueprint).await?;
        for tuning in &chosen {
            loader.device().set_tuning(*tuning);
            for op in loader.pipelines(CONTEXT).await? {
                let pipeline = Pipeline::of(&op);
                found.insert((pipeline.kernel, pipeline.variant.clone()), pipeline);
            }
        }
    }
    Ok(found.into_values().collect())
}

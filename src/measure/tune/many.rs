//! Products and attention of many rows: in tiles or not, multiplied as what, how many rows at once.

use super::super::{Clock, time_pass};
use super::{ENOUGH, TOLERANCE, error, noise, results};
use crate::device::Device;
use crate::error::{Kind, Result};
use crate::gpu::Features;
use crate::kernels::attention::{Heads, attention};
use crate::kernels::matmul::{Epilogue, matmul};
use crate::kernels::{CacheType, Kv, Rows, Weight};
use crate::pass::{Buf, Call, Pass};
use crate::quant::WeightType;
use crate::tuning::{Operands, Tuning, WorkgroupTile};

/// Tiles that are tried. Small ones keep many cores busy with few rows, large ones read less; 16-bit floats in large ones
/// would take more workgroup memory than WebGPU promises.
const TILES: [Option<WorkgroupTile>; 8] = [
    None,
    tile(64, 64, Operands::F32),
    tile(64, 128, Operands::F32),
    tile(128, 128, Operands::F32),
    tile(64, 64, Operands::F16),
    tile(64, 128, Operands::F16),
    tile(64, 64, Operands::Int8),
    tile(128, 128, Operands::Int8),
];

const fn tile(rows: u32, cols: u32, operands: Operands) -> Option<WorkgroupTile> {
    Some(WorkgroupTile { rows, cols, operands })
}

/// What products of many rows are multiplied as.
fn operands(tuning: &Tuning) -> Operands {
    tuning.tile.map_or(Operands::F32, |tile| tile.operands)
}

/// Rows of a prompt that one pass may read. More keep more cores busy, and an interruption waits longer.
const CHUNKS: [u32; 3] = [Tuning::CHUNK, 2 * Tuning::CHUNK, 4 * Tuning::CHUNK];

/// Whether a device with such features can compute what may be chosen here.
pub(super) fn is_candidate(tuning: &Tuning, features: Features) -> bool {
    tiles(features).any(|tile| tile == tuning.tile) && CHUNKS.contains(&tuning.chunk)
}

/// Those that a device can compute.
fn tiles(features: Features) -> impl Iterator<Item = Option<WorkgroupTile>> {
    TILES.into_iter().filter(move |tile| tile.is_none_or(|tile| features.supports(tile.operands)))
}

/// What rounds more, or is interrupted later, must take at most so much of the time.
const WORTH: f64 = 0.9;
/// The larger of what is tried: rows, and a matrix of so many rows and columns, or so many heads.
const ROWS: u32 = Tuning::CHUNK;
const OUTPUTS: u32 = 4096;
const HEADS: u32 = 8;
const COLS: u32 = 256;
/// Elements of a head: CLIP's.
const HEAD_SIZE: u32 = 64;

/// What is computed: a product with a matrix of so many rows, or an attention of so many heads.
#[derive(Debug, Clone, Copy)]
enum Work {
    Product { rows: u32, outputs: u32 },
    Attention { rows: u32, heads: u32 },
}

impl Work {
    /// Small and in no way a multiple of a tile, for the twin; then what is timed: a chunk of a prompt, as many tiles as
    /// a layer of a large model has, at an eighth of its depth.
    const PRODUCT: [Self; 2] =
        [Self::Product { rows: 72, outputs: 200 }, Self::Product { rows: ROWS, outputs: OUTPUTS }];
    const ATTENTION: [Self; 2] = [Self::Attention { rows: 72, heads: 2 }, Self::Attention { rows: ROWS, heads: HEADS }];

    fn words(self) -> usize {
        match self {
            Self::Product { rows, outputs } => (rows * outputs) as usize,
            Self::Attention { rows, heads } => (rows * heads * HEAD_SIZE) as usize,
        }
    }
}

/// The faster of `tuning` with other ways for many rows; none where all compute wrongly.
pub(super) async fn choose(
    device: &mut Device,
    twin: &mut Device,
    tuning: Tuning,
    now: Clock<'_>,
) -> Result<Option<Tuning>> {
    let on_twin = Trial::new(twin).await?;
    let trial = Trial::new(device).await?;
    let tiles: Vec<_> = tiles(device.features()).map(|tile| Tuning { tile, ..tuning }).collect();
    let wanted = on_twin.run(twin, tuning, Work::PRODUCT[0]).await?;
    let mut best = trial.fastest(device, &tiles, Work::PRODUCT, &wanted, now).await?;
    if let Some(tiled) = best {
        // Attention is f32, whatever products are.
        let keys = [false, true].map(|share_keys| Tuning { share_keys, ..tuning });
        let wanted = on_twin.run(twin, tuning, Work::ATTENTION[0]).await?;
        let shared = trial.fastest(device, &keys, Work::ATTENTION, &wanted, now).await?;
        best = shared.map(|keys| Tuning { share_keys: keys.share_keys, ..tiled });
    }
    if let Some(chosen) = &mut best {
        chosen.chunk = trial.chunk(device, *chosen, now).await?;
    }
    trial.buffers().into_iter().for_each(|buffer| device.free(buffer));
    Ok(best)
}

/// A matrix of pseudo-random nibbles, rows, keys and values, and room for the results.
struct Trial {
    w: Weight,
    x: Buf,
    k: Buf,
    v: Buf,
    unused: Buf,
    out: Buf,
}

impl Trial {
    async fn new(device: &mut Device) -> Result<Self> {
        let name = "tuning of many rows";
        let values = u64::from(OUTPUTS * COLS);
        let blocks = device.buffer(name, values / 8).await?;
        let scales = device.buffer(name, values / 64).await?;
        let (row, most) = (u64::from((HEADS * HEAD_SIZE).max(COLS)), u64::from(CHUNKS[CHUNKS.len() - 1]));
        let [x, k, v] = [
            device.buffer(name, most * row).await?,
            device.buffer(name, u64::from(ROWS) * row).await?,
            device.buffer(name, u64::from(ROWS) * row).await?,
        ];
        let unused = device.buffer(name, 4).await?;
        let out = device.buffer(name, most * u64::from(OUTPUTS)).await?;
        noise::words(device, blocks);
        noise::scales(device, scales);
        [x, k, v].into_iter().for_each(|buffer| noise::floats(device, buffer));
        let kind = WeightType::Q4;
        let w = Weight {
            kind,
            first_row: 0,
            rows: OUTPUTS,
            cols: COLS,
            plane_rows: OUTPUTS,
            plane_first: 0,
            blocks,
            scales,
        };
        Ok(Self { w, x, k, v, unused, out })
    }

    fn buffers(&self) -> [Buf; 7] {
        [self.w.blocks, self.w.scales, self.x, self.k, self.v, self.unused, self.out]
    }

    fn pass(&self, tuning: Tuning, work: Work) -> Pass {
        let mut pass = Pass::tuned("tuning", tuning);
        match work {
            Work::Product { rows, outputs } => {
                let w = Weight { rows: outputs, ..self.w };
                let m = Rows::Fixed(rows);
                matmul(&mut pass, m, self.x, w, None, self.unused, self.out, outputs, Epilogue::Store);
            }
            Work::Attention { rows, heads } => {
                let h = Heads { heads, kv_heads: heads, size: HEAD_SIZE, causal: false };
                let kv = Kv { k: self.k, v: self.v, stored: CacheType::F32 };
                attention(&mut pass, Rows::Fixed(rows), self.x, kv, self.out, h);
            }
        }
        pass
    }

    /// The quickest of these whose results are the twin's; those that round more come later.
    async fn fastest(
        &self,
        device: &mut Device,
        candidates: &[Tuning],
        works: [Work; 2],
        wanted: &[f32],
        now: Clock<'_>,
    ) -> Result<Option<Tuning>> {
        let mut best = (f64::INFINITY, None);
        for tuning in candidates {
            let ms = self.time(device, *tuning, works, wanted, now).await?;
            let as_exact = best.1.is_none_or(|best| operands(best) == operands(tuning));
            if ms < best.0 * if as_exact { 1.0 } else { WORTH } {
                best = (ms, Some(tuning));
            }
        }
        Ok(best.1.copied())
    }

    /// The rows that a product of them takes the least time for each; results were compared before.
    async fn chunk(&self, device: &mut Device, tuning: Tuning, now: Clock<'_>) -> Result<u32> {
        let mut best = (f64::INFINITY, Tuning::CHUNK);
        for chunk in CHUNKS {
            let pass = self.pass(tuning, Work::Product { rows: chunk, outputs: OUTPUTS });
            let ms = time_pass(device, pass, &Call::new(1, 0), ENOUGH, now).await?.ms / f64::from(chunk);
            if ms < WORTH * best.0 {
                best = (ms, chunk);
            }
        }
        Ok(best.1)
    }

    /// Milliseconds; without end where the results are not the twin's, or the driver refuses the shader.
    async fn time(
        &self,
        device: &mut Device,
        tuning: Tuning,
        [small, large]: [Work; 2],
        wanted: &[f32],
        now: Clock<'_>,
    ) -> Result<f64> {
        let tolerance = self.pass(tuning, small).ops.iter().map(|op| op.kernel.tolerance).fold(TOLERANCE, f64::max);
        match self.run(device, tuning, small).await {
            Ok(found) if error(&found, wanted) <= tolerance => {
                Ok(time_pass(device, self.pass(tuning, large), &Call::new(1, 0), ENOUGH, now).await?.ms)
            }
            Err(e) if e.kind != Kind::Gpu => Err(e),
            _ => Ok(f64::INFINITY),
        }
    }

    async fn run(&self, device: &mut Device, tuning: Tuning, work: Work) -> Result<Vec<f32>> {
        results(device, self.pass(tuning, work), self.out, work.words()).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::is_candidate;
    use super::*;
    use crate::device::BackendChoice;
    use crate::kernels::harness::gpu_or_skip;
    use pollster::block_on;

    #[test]
    fn a_right_candidate_is_chosen_and_everything_is_given_back() {
        if !gpu_or_skip() {
            return;
        }
        block_on(async {
            let mut device = Device::open(BackendChoice::Gpu).await.unwrap();
            let mut twin = Device::open(BackendChoice::Reference).await.unwrap();
            let begun = std::time::Instant::now();
            let now = || begun.elapsed().as_secs_f64() * 1e3;
            let chosen = choose(&mut device, &mut twin, Tuning::HARDWARE, &now).await.unwrap().unwrap();
            let features = device.features();
            assert!(is_candidate(&chosen, features), "{chosen:?}");
            assert!(!is_candidate(&Tuning { tile: tile(8, 64, Operands::F32), ..chosen }, features));
            assert!(!is_candidate(&Tuning { chunk: 0, ..chosen }, features));
            assert!(!is_candidate(&Tuning { chunk: 1024, ..Tuning::SOFTWARE }, features));
            let barriers = Tuning { share_keys: true, ..Tuning::SOFTWARE };
            assert!(!is_candidate(&barriers, features), "where they are dear");
            for (operands, lacking) in [
                (Operands::F16, Features { f16: false, ..features }),
                (Operands::Int8, Features { integer_dot: false, ..features }),
            ] {
                let tuning = Tuning { tile: tile(64, 64, operands), ..chosen };
                assert_eq!(is_candidate(&tuning, features), features.supports(operands));
                assert!(!is_candidate(&tuning, lacking), "remembered from elsewhere");
            }
            assert_eq!(device.allocated(), 0);
        });
    }
}

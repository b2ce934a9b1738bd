//! The tuning of prefill: the tile and operands of matrix products, rows per chunk.

use super::super::Clock;
use super::{MAX_SHARE, fastest, is_right, noise, results, times};
use crate::device::Device;
use crate::error::Result;
use crate::gpu::Features;
use crate::kernels::attention::{Heads, attention};
use crate::kernels::matmul::{Epilogue, matmul};
use crate::kernels::{CacheType, Kv, Rows, Weight};
use crate::pass::{Buf, Pass};
use crate::quant::WeightType;
use crate::tuning::{Operands, Tuning, WorkgroupTile};

/// Candidate tiles. Small ones keep many cores busy with few rows, and the smallest of f32 needs the fewest registers;
/// large ones read less. Larger ones of 16-bit floats would exceed WebGPU's default workgroup memory, and larger ones of
/// bytes its 256 invocations.
const TILES: [Option<WorkgroupTile>; 6] = [
    tile(64, 64, Operands::F32),
    tile(64, 128, Operands::F32),
    tile(128, 128, Operands::F32),
    tile(64, 64, Operands::F16),
    tile(64, 64, Operands::Int8),
    tile(64, 128, Operands::Int8),
];

const fn tile(rows: u32, cols: u32, operands: Operands) -> Option<WorkgroupTile> {
    Some(WorkgroupTile { rows, cols, operands })
}

/// Returns the operand type of a tuning's matrix products.
fn operands(tuning: &Tuning) -> Operands {
    tuning.tile.map_or(Operands::F32, |tile| tile.operands)
}

/// Candidate rows per chunk. More rows keep more cores busy and delay an interruption.
const CHUNKS: [u32; 3] = [Tuning::CHUNK, 2 * Tuning::CHUNK, 4 * Tuning::CHUNK];

/// Returns whether tile, attention and chunk are candidates for a device with these features.
pub(super) fn is_candidate(tuning: &Tuning, features: Features) -> bool {
    tiles(features).any(|tile| tile == tuning.tile) && tuning.share_keys && CHUNKS.contains(&tuning.chunk)
}

/// Iterates over the tiles that a device with these features supports.
pub(super) fn tiles(features: Features) -> impl Iterator<Item = Option<WorkgroupTile>> {
    TILES.into_iter().filter(move |tile| tile.is_none_or(|tile| features.supports(tile.operands)))
}

/// Rows of the timed trials.
const ROWS: u32 = Tuning::CHUNK;
/// Rows of the matrix.
const OUTPUTS: u32 = 4096;
/// Heads of the attention.
const HEADS: u32 = 2;
/// Columns of the matrix.
const COLS: u32 = 256;
/// Elements of a head, as in CLIP.
const HEAD_SIZE: u32 = 64;

/// Work of a trial.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// A product with a matrix of `outputs` rows.
    Product { rows: u32, outputs: u32 },
    /// Attention of [`HEADS`] heads.
    Attention { rows: u32 },
}

impl Work {
    /// The product that is compared with the twin's, small and no multiple of a tile, and the timed one: a chunk of a
    /// prompt with the tiles of a large model's layer at an eighth of its depth.
    const PRODUCT: [Self; 2] =
        [Self::Product { rows: 72, outputs: 200 }, Self::Product { rows: ROWS, outputs: OUTPUTS }];
    /// The attention that is compared.
    const ATTENTION: Self = Self::Attention { rows: 72 };

    fn words(self) -> usize {
        match self {
            Self::Product { rows, outputs } => (rows * outputs) as usize,
            Self::Attention { rows } => (rows * HEADS * HEAD_SIZE) as usize,
        }
    }
}

/// Returns `tuning` with the fastest tile and chunk; `None` where the results of all candidates, or those of attention,
/// are wrong.
pub(super) async fn choose(
    device: &mut Device,
    twin: &mut Device,
    tuning: Tuning,
    features: Features,
    now: Clock<'_>,
) -> Result<Option<Tuning>> {
    let on_twin = Trial::new(twin).await?;
    let trial = Trial::new(device).await?;
    let tiles: Vec<_> = tiles(features).map(|tile| Tuning { tile, ..tuning }).collect();
    let wanted = on_twin.run(twin, tuning, Work::PRODUCT[0]).await?;
    let mut best = trial.fastest(device, &tiles, Work::PRODUCT, &wanted, now).await?;
    // Attention is f32 with every operand type of the products. Without shared keys it would not fit the registers.
    let wanted = on_twin.run(twin, tuning, Work::ATTENTION).await?;
    if best.is_some() && !trial.is_right(device, tuning, Work::ATTENTION, &wanted).await? {
        best = None;
    }
    if let Some(chosen) = &mut best {
        chosen.chunk = trial.chunk(device, *chosen, now).await?;
    }
    trial.buffers().into_iter().for_each(|buffer| device.free(buffer));
    Ok(best)
}

/// A matrix of pseudo-random nibbles, rows, keys and values, and a buffer for the results.
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
        let name = "tuning of prefill";
        let values = u64::from(OUTPUTS * COLS);
        let blocks = device.buffer(name, values / 8).await?;
        let scales = device.buffer(name, values / 64).await?;
        let (row, max_rows) = (u64::from((HEADS * HEAD_SIZE).max(COLS)), u64::from(CHUNKS[CHUNKS.len() - 1]));
        let [x, k, v] = [
            device.buffer(name, max_rows * row).await?,
            device.buffer(name, u64::from(ROWS) * row).await?,
            device.buffer(name, u64::from(ROWS) * row).await?,
        ];
        let unused = device.buffer(name, 4).await?;
        let out = device.buffer(name, max_rows * u64::from(OUTPUTS)).await?;
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
            Work::Attention { rows } => {
                let h = Heads { heads: HEADS, kv_heads: HEADS, size: HEAD_SIZE, causal: false };
                let kv = Kv { k: self.k, v: self.v, stored: CacheType::F32 };
                attention(&mut pass, Rows::Fixed(rows), self.x, kv, self.out, h, None);
            }
        }
        pass
    }

    /// Returns the fastest candidate whose results equal the twin's. One with larger rounding errors must take at
    /// most [`MAX_SHARE`] of the best time.
    async fn fastest(
        &self,
        device: &mut Device,
        candidates: &[Tuning],
        [small, large]: [Work; 2],
        wanted: &[f32],
        now: Clock<'_>,
    ) -> Result<Option<Tuning>> {
        let mut right = Vec::new();
        for tuning in candidates {
            if self.is_right(device, *tuning, small, wanted).await? {
                right.push(*tuning);
            }
        }
        let passes: Vec<_> = right.iter().map(|tuning| self.pass(*tuning, large)).collect();
        let ms = times(device, &passes, now).await?;
        Ok(fastest(right.into_iter().zip(ms), operands))
    }

    /// Returns the rows per chunk with the least time per row.
    async fn chunk(&self, device: &mut Device, tuning: Tuning, now: Clock<'_>) -> Result<u32> {
        let passes = CHUNKS.map(|rows| self.pass(tuning, Work::Product { rows, outputs: OUTPUTS }));
        let ms = times(device, &passes, now).await?;
        let mut best = (f64::INFINITY, Tuning::CHUNK);
        for (chunk, ms) in CHUNKS.into_iter().zip(ms) {
            let ms = ms / f64::from(chunk);
            if ms < MAX_SHARE * best.0 {
                best = (ms, chunk);
            }
        }
        Ok(best.1)
    }

    async fn is_right(&self, device: &mut Device, tuning: Tuning, work: Work, wanted: &[f32]) -> Result<bool> {
        is_right(&self.pass(tuning, work), self.run(device, tuning, work).await, wanted)
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
    fn a_right_candidate_is_chosen_and_all_memory_is_freed() {
        if !gpu_or_skip() {
            return;
        }
        block_on(async {
            let mut device = Device::open(BackendChoice::Gpu).await.unwrap();
            let mut twin = Device::open(BackendChoice::Reference).await.unwrap();
            let (begun, features) = (std::time::Instant::now(), device.features());
            let now = || begun.elapsed().as_secs_f64() * 1e3;
            let chosen = choose(&mut device, &mut twin, Tuning::HARDWARE, features, &now).await;
            let chosen = chosen.unwrap().unwrap();
            assert!(is_candidate(&chosen, features), "{chosen:?}");
            assert!(!is_candidate(&Tuning { tile: tile(8, 64, Operands::F32), ..chosen }, features));
            assert!(!is_candidate(&Tuning { chunk: 0, ..chosen }, features));
            assert!(!is_candidate(&Tuning { chunk: 1024, ..Tuning::SOFTWARE }, features));
            let barriers = Tuning { share_keys: true, ..Tuning::SOFTWARE };
            assert!(!is_candidate(&barriers, features), "barriers are slow there");
            for (operands, lacking) in [
                (Operands::F16, Features { f16: false, ..features }),
                (Operands::Int8, Features { integer_dot: false, ..features }),
            ] {
                let tuning = Tuning { tile: tile(64, 64, operands), ..chosen };
                assert_eq!(is_candidate(&tuning, features), features.supports(operands));
                assert!(!is_candidate(&tuning, lacking), "a tuning of another device");
            }
            assert_eq!(device.allocated(), 0);
        });
    }
}

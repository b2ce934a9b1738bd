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

/// Candidate tiles. Small ones keep many cores busy with few rows, and the first needs the fewest registers; large ones
/// read less. Larger ones of 16-bit floats would exceed WebGPU's default workgroup memory, and larger ones of bytes its
/// 256 invocations.
const TILES: [WorkgroupTile; 7] = [
    WorkgroupTile::new(64, 64, Operands::F32),
    WorkgroupTile::new(64, 64, Operands::F32).unrolled(),
    WorkgroupTile::new(64, 128, Operands::F32).unrolled(),
    WorkgroupTile::new(128, 128, Operands::F32).unrolled(),
    WorkgroupTile::new(64, 64, Operands::F16),
    WorkgroupTile::new(64, 64, Operands::Int8),
    WorkgroupTile::new(64, 128, Operands::Int8),
];

/// Returns the operand type of a tuning's matrix products.
fn operands(tuning: &Tuning) -> Operands {
    tuning.tile.map_or(Operands::F32, |tile| tile.operands)
}

/// Candidate rows per chunk. More rows keep more cores busy and delay an interruption.
const CHUNKS: [u32; 3] = [Tuning::CHUNK, 2 * Tuning::CHUNK, 4 * Tuning::CHUNK];

/// Returns whether tile, attention and chunk are candidates for a device with these features.
pub(super) fn is_candidate(tuning: &Tuning, features: Features) -> bool {
    let known = |matrix: Matrix| matrix.tunings(*tuning, features).any(|candidate| candidate == *tuning);
    Matrix::ALL.into_iter().all(known) && tuning.share_keys && CHUNKS.contains(&tuning.chunk)
}

/// The two kinds of matrices, each with a tile of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matrix {
    /// Floats, which are multiplied in f32.
    Floats,
    /// Integers with scales.
    Integers,
}

impl Matrix {
    /// Both kinds.
    pub(super) const ALL: [Self; 2] = [Self::Floats, Self::Integers];

    /// Iterates over `tuning` with each tile that a device with these features supports.
    pub(super) fn tunings(self, tuning: Tuning, features: Features) -> impl Iterator<Item = Tuning> {
        let suits = move |tile: &WorkgroupTile| match self {
            Self::Floats => tile.operands == Operands::F32,
            Self::Integers => features.supports(tile.operands),
        };
        TILES.into_iter().filter(suits).map(move |tile| match self {
            Self::Floats => Tuning { float_tile: Some(tile), ..tuning },
            Self::Integers => Tuning { tile: Some(tile), ..tuning },
        })
    }
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
    Product { matrix: Matrix, rows: u32, outputs: u32 },
    /// Attention of [`HEADS`] heads.
    Attention { rows: u32 },
}

impl Work {
    /// The product that is compared with the twin's, small and no multiple of a tile, and the timed one: a chunk of a
    /// prompt with the tiles of a large model's layer at an eighth of its depth.
    fn products(matrix: Matrix) -> [Self; 2] {
        [Self::Product { matrix, rows: 72, outputs: 200 }, Self::Product { matrix, rows: ROWS, outputs: OUTPUTS }]
    }

    /// The attention that is compared.
    const ATTENTION: Self = Self::Attention { rows: 72 };

    fn words(self) -> usize {
        match self {
            Self::Product { rows, outputs, .. } => (rows * outputs) as usize,
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
    let mut best = Some(tuning);
    for matrix in Matrix::ALL {
        let Some(tuning) = best else { break };
        let tunings: Vec<_> = matrix.tunings(tuning, features).collect();
        let products = Work::products(matrix);
        let wanted = on_twin.run(twin, tuning, products[0]).await?;
        best = trial.fastest(device, &tunings, products, &wanted, now).await?;
    }
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

/// Pseudo-random matrices of floats and of nibbles, rows, keys and values, and a buffer for the results.
struct Trial {
    floats: Weight,
    nibbles: Weight,
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
        let halves = device.buffer(name, values / 2).await?;
        let blocks = device.buffer(name, values / 8).await?;
        let scales = device.buffer(name, values / 64).await?;
        let (row, max_rows) = (u64::from((HEADS * HEAD_SIZE).max(COLS)), u64::from(CHUNKS[CHUNKS.len() - 1]));
        let [x, k, v] = [
            device.buffer(name, max_rows * row).await?,
            device.buffer(name, u64::from(ROWS) * row).await?,
            device.buffer(name, u64::from(ROWS) * row).await?,
        ];
        let [unused, no_scales] = [device.buffer(name, 4).await?, device.buffer(name, 4).await?];
        let out = device.buffer(name, max_rows * u64::from(OUTPUTS)).await?;
        noise::words(device, blocks);
        noise::scales(device, scales);
        noise::halves(device, halves);
        [x, k, v].into_iter().for_each(|buffer| noise::floats(device, buffer));
        let nibbles = Weight {
            kind: WeightType::Q4,
            first_row: 0,
            rows: OUTPUTS,
            cols: COLS,
            plane_rows: OUTPUTS,
            plane_first: 0,
            blocks,
            scales,
        };
        let floats = Weight { kind: WeightType::F16, blocks: halves, scales: no_scales, ..nibbles };
        Ok(Self { floats, nibbles, x, k, v, unused, out })
    }

    fn buffers(&self) -> [Buf; 9] {
        let Self { floats, nibbles, x, k, v, unused, out } = *self;
        [floats.blocks, floats.scales, nibbles.blocks, nibbles.scales, x, k, v, unused, out]
    }

    fn pass(&self, tuning: Tuning, work: Work) -> Pass {
        let mut pass = Pass::tuned("tuning", tuning);
        match work {
            Work::Product { matrix, rows, outputs } => {
                let w = if matrix == Matrix::Floats { self.floats } else { self.nibbles };
                let w = Weight { rows: outputs, ..w };
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
        let work = |rows| Work::Product { matrix: Matrix::Integers, rows, outputs: OUTPUTS };
        let passes = CHUNKS.map(|rows| self.pass(tuning, work(rows)));
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
            let unknown = Some(WorkgroupTile::new(8, 64, Operands::F32));
            assert!(!is_candidate(&Tuning { tile: unknown, ..chosen }, features));
            assert!(!is_candidate(&Tuning { float_tile: unknown, ..chosen }, features));
            assert!(!is_candidate(&Tuning { float_tile: None, ..chosen }, features));
            let bytes = Some(WorkgroupTile::new(64, 64, Operands::Int8));
            assert!(!is_candidate(&Tuning { float_tile: bytes, ..chosen }, features), "of floats");
            assert!(!is_candidate(&Tuning { chunk: 0, ..chosen }, features));
            assert!(!is_candidate(&Tuning { chunk: 1024, ..Tuning::SOFTWARE }, features));
            let barriers = Tuning { share_keys: true, ..Tuning::SOFTWARE };
            assert!(!is_candidate(&barriers, features), "barriers are slow there");
            for (operands, lacking) in [
                (Operands::F16, Features { f16: false, ..features }),
                (Operands::Int8, Features { integer_dot: false, ..features }),
            ] {
                let tuning = Tuning { tile: Some(WorkgroupTile::new(64, 64, operands)), ..chosen };
                assert_eq!(is_candidate(&tuning, features), features.supports(operands));
                assert!(!is_candidate(&tuning, lacking), "a tuning of another device");
            }
            assert_eq!(device.allocated(), 0);
        });
    }
}

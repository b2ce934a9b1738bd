//! The tuner: picks a GPU's fastest tuning by measurement, among candidates whose results equal the twin's.

use super::{Clock, normalised_error};
use crate::device::{BackendChoice, Device};
use crate::error::{Error, Kind, Result};
use crate::gpu::Features;
use crate::kernels::calibrate::{DOT4, FMA, fma};
use crate::kernels::matvec::{Placeholders, RowInput, RowOutput, matvec};
use crate::kernels::rms_norm::rms_norm;
use crate::kernels::{Rows, Weight};
use crate::pass::{Buf, Call, Pass};
use crate::quant::WeightType;
use crate::tuning::{Operands, Tuning, WorkgroupTile};
use serde::Serialize;

mod alternation;
mod noise;
mod prefill;

use alternation::times;

/// Rows and columns of the matrix of the first trial: large enough to keep a real GPU busy for a moment, small enough
/// for a CPU.
const SIDE: u32 = 1024;
/// Rows and columns of the matrices of the second trial, which only a GPU with fast barriers runs: four of them are more
/// than most GPUs keep in their caches, as the weights of a model are.
const LARGE_SIDE: u32 = 4096;
/// Consecutive mat-vecs of a trial, as in a decoding step.
const CHAIN: usize = 4;
/// Largest normalised mean square error against the twin: f32 sums of 1024 products.
const TOLERANCE: f64 = 1e-9;

/// Largest share of the best time at which a candidate with larger rounding errors or a larger chunk is chosen.
const MAX_SHARE: f64 = 0.9;
/// Largest multiple of the time of a multiply-add that a dot product of four bytes may take where it is an instruction.
/// NVIDIA's take twice as long; where one is made of others, it takes six times as long at least.
const MAX_DOT_TIME: f64 = 3.0;

/// The two kinds of adapters, each with its other candidates: they differ in whether mat-vecs normalise, in the
/// invocations that share a column quad, and in the column quads of a workgroup. Only the candidates of the faster kind
/// are tried, since a software adapter compiles a candidate longer than it runs it.
const KINDS: [(Tuning, &[Tuning]); 2] = [
    (Tuning::SOFTWARE, &[Tuning { fuse_norm: true, ..Tuning::SOFTWARE }]),
    (
        Tuning::HARDWARE,
        &[
            Tuning { lanes: 8, split: 32, ..Tuning::HARDWARE },
            Tuning { lanes: 16, split: 8, ..Tuning::HARDWARE },
            Tuning { lanes: 32, split: 4, ..Tuning::HARDWARE },
        ],
    ),
];

/// Returns the candidates of a kind for the mat-vecs of a device with these features. Bytes pay where barriers are fast.
fn rows(kind: Tuning, more: &[Tuning], features: Features) -> Vec<Tuning> {
    let floats = [kind].into_iter().chain(more.iter().copied());
    let bytes = floats.clone().filter(|row| row.tile.is_some() && features.integer_dot);
    floats.chain(bytes.map(|row| Tuning { row_operands: Operands::Int8, ..row })).collect()
}

/// Returns whether this is one of the candidates for a device with these features. A remembered tuning comes from
/// outside and needs the check.
pub fn is_candidate(tuning: &Tuning, features: Features) -> bool {
    KINDS.iter().any(|(kind, more)| {
        let Tuning { tile, float_tile, share_keys, chunk, .. } = *kind;
        let row = Tuning { tile, float_tile, share_keys, chunk, ..*tuning };
        let known_prefill = row == *tuning || kind.tile.is_some() && prefill::is_candidate(tuning, features);
        known_prefill && rows(*kind, more, features).contains(&row)
    })
}

/// One way of a GPU to compute everything, for comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tier {
    /// `plain`: every invocation works alone. `tiles`, `f16`, `int8`: workgroups share tiles, multiplied in this type.
    /// `int8` multiplies single rows in bytes, too.
    pub name: &'static str,
    /// The tuning that passes are recorded with.
    pub tuning: Tuning,
}

/// Returns the tiers that a device with these features supports: together they run every kernel.
pub fn tiers(features: Features) -> Vec<Tier> {
    let tiled = |name, operands| {
        let tile = Tuning::HARDWARE.tile.map(|tile| WorkgroupTile { operands, ..tile });
        let row_operands = if operands == Operands::Int8 { operands } else { Operands::F32 };
        let tuning = Tuning { row_operands, tile, ..Tuning::HARDWARE };
        features.supports(operands).then_some(Tier { name, tuning })
    };
    let plain = Some(Tier { name: "plain", tuning: Tuning::SOFTWARE });
    let tiled = [tiled("tiles", Operands::F32), tiled("f16", Operands::F16), tiled("int8", Operands::Int8)];
    [plain].into_iter().chain(tiled).flatten().collect()
}

/// Returns all candidates of a device with these features that differ in more than the rows per chunk, which no shader
/// depends on.
pub fn candidates(features: Features) -> Vec<Tuning> {
    let of_kind = |(kind, more): (Tuning, &'static [Tuning])| {
        rows(kind, more, features).into_iter().flat_map(move |row| match row.tile {
            None => vec![row],
            Some(_) => prefill::Matrix::ALL.into_iter().flat_map(|m| m.tunings(row, features)).collect(),
        })
    };
    KINDS.into_iter().flat_map(of_kind).collect()
}

/// Sets a GPU's tuning, unless it is set, to the candidate that runs a decoding step's mat-vecs fastest. Where that
/// candidate uses barriers, the tile and chunk of prefill are tuned, too; on adapters without fast barriers
/// that would take long and gain nothing. Takes a second or two; does nothing on a CPU.
///
/// # Errors
/// [`Kind::Gpu`] when the results of every candidate are wrong; what the device reports.
pub async fn tune(device: &mut Device, now: Clock<'_>) -> Result<()> {
    if device.wants_tuning() {
        let tuning = choose(device, now).await?;
        device.set_tuning(tuning);
    }
    Ok(())
}

async fn choose(device: &mut Device, now: Clock<'_>) -> Result<Tuning> {
    let mut twin = Device::open(BackendChoice::Reference).await?;
    let wanted = Trial::new(&mut twin, SIDE, 1).await?.run(&mut twin, Tuning::SOFTWARE).await?;
    let trial = Trial::new(device, SIDE, 1).await?;
    let mut features = device.features();
    let right = trial.right(device, &KINDS.map(|(kind, _)| kind), &wanted).await?;
    let mut best = trial.fastest(device, right, now).await?;
    if let Some((kind, more)) = KINDS.iter().find(|(kind, _)| Some(*kind) == best) {
        let barriers = kind.tile.is_some();
        features.integer_dot = features.integer_dot && barriers && has_fast_dots(device, trial.out, now).await?;
        let right = trial.right(device, &rows(*kind, more, features), &wanted).await?;
        if barriers {
            let large = Trial::new(device, LARGE_SIDE, CHAIN as u32).await?;
            best = large.fastest(device, right, now).await?;
            large.free(device);
        } else {
            best = trial.fastest(device, right, now).await?;
        }
    }
    if let Some(tuning) = best.filter(|tuning| tuning.tile.is_some()) {
        best = prefill::choose(device, &mut twin, tuning, features, now).await?;
        if best.is_none() {
            best = trial.right(device, &[Tuning::SOFTWARE], &wanted).await?.pop();
        }
    }
    trial.free(device);
    best.ok_or_else(|| {
        let error = Error::new(Kind::Gpu, "tuning", "this GPU, or its driver, computes wrong results");
        error.hint("use the CPU backend")
    })
}

/// Returns the [`normalised_error`] of `found`.
fn error(found: &[f32], wanted: &[f32]) -> f64 {
    normalised_error(found.iter().zip(wanted).map(|(a, b)| [f64::from(*a), f64::from(*b)]))
}

/// Returns whether the results of a pass equal the twin's; not where the driver refused the shader.
fn is_right(pass: &Pass, found: Result<Vec<f32>>, wanted: &[f32]) -> Result<bool> {
    let tolerance = pass.ops.iter().map(|op| op.kernel.tolerance).fold(TOLERANCE, f64::max);
    match found {
        Ok(found) => Ok(error(&found, wanted) <= tolerance),
        Err(e) if e.kind == Kind::Gpu => Ok(false),
        Err(e) => Err(e),
    }
}

/// Returns the fastest candidate. One with larger rounding errors than those before it must take at most [`MAX_SHARE`]
/// of the best time.
fn fastest(candidates: impl Iterator<Item = (Tuning, f64)>, operands: fn(&Tuning) -> Operands) -> Option<Tuning> {
    let mut best: Option<(Tuning, f64)> = None;
    for (tuning, ms) in candidates {
        let share = |best: Tuning| if operands(&best) == operands(&tuning) { 1.0 } else { MAX_SHARE };
        if best.is_none_or(|(best, least)| ms < least * share(best)) {
            best = Some((tuning, ms));
        }
    }
    best.map(|(tuning, _)| tuning)
}

/// Returns whether the GPU has an instruction for dot products of bytes. Without one a shader that multiplies bytes is
/// slow, and takes long to compile. (Not where the driver refuses them, either.) Overwrites `out`.
async fn has_fast_dots(device: &mut Device, out: Buf, now: Clock<'_>) -> Result<bool> {
    let passes = [&FMA, &DOT4].map(|kernel| {
        let mut pass = Pass::new("dot products");
        fma(&mut pass, kernel, out, out.words as u32 / 4);
        pass
    });
    match times(device, &passes, now).await {
        Ok(ms) => Ok(ms[1] <= MAX_DOT_TIME * ms[0]),
        Err(e) if e.kind == Kind::Gpu => Ok(false),
        Err(e) => Err(e),
    }
}

/// Runs `pass` and returns the first `words` words of `out`, which are NaN before.
async fn results(device: &mut Device, pass: Pass, out: Buf, words: usize) -> Result<Vec<f32>> {
    device.upload(out, 0, &vec![0xff; words * 4]);
    let pass = device.prepare(pass).await?;
    device.replay(&[pass], &Call::new(1, 0))?;
    device.release(pass);
    device.read_back_f32(out, 0, words).await
}

/// Square matrices of pseudo-random nibbles below one another, a row, and buffers for the results.
struct Trial {
    /// The first of the matrices.
    w: Weight,
    /// Number of matrices.
    stack: u32,
    x: Buf,
    gamma: Buf,
    normed: Buf,
    out: Buf,
    placeholders: Placeholders,
}

impl Trial {
    async fn new(device: &mut Device, rows: u32, stack: u32) -> Result<Self> {
        let (side, name) = (u64::from(rows), "tuning");
        let blocks = device.buffer(name, u64::from(stack) * side * side / 8).await?;
        let scales = device.buffer(name, u64::from(stack) * side * side / 64).await?;
        let [x, gamma] = [device.buffer(name, side).await?, device.buffer(name, side).await?];
        // Large enough to keep a GPU busy with chains of dot products.
        let [normed, out] = [device.buffer(name, side).await?, device.buffer(name, 64 * side).await?];
        let placeholders = Placeholders::new(device).await?;
        noise::words(device, blocks);
        noise::scales(device, scales);
        [x, gamma].into_iter().for_each(|buffer| noise::floats(device, buffer));
        let w = Weight {
            kind: WeightType::Q4,
            first_row: 0,
            rows,
            cols: rows,
            plane_rows: stack * rows,
            plane_first: 0,
            blocks,
            scales,
        };
        Ok(Self { w, stack, x, gamma, normed, out, placeholders })
    }

    fn free(self, device: &mut Device) {
        let Placeholders(placeholders) = self.placeholders;
        let own = [self.w.blocks, self.w.scales, self.x, self.gamma, self.normed, self.out];
        own.into_iter().chain(placeholders).for_each(|buffer| device.free(buffer));
    }

    fn pass(&self, tuning: Tuning) -> Pass {
        let mut pass = Pass::tuned("tuning", tuning);
        let (x, gamma, eps) = (self.x, self.gamma, 1e-5);
        for i in 0..CHAIN as u32 {
            let w = Weight { plane_first: i % self.stack * self.w.rows, ..self.w };
            let input = if tuning.fuse_norm {
                RowInput::Norm { x, gamma, eps, head_row: false }
            } else {
                rms_norm(&mut pass, Rows::Fixed(1), x, gamma, self.normed, w.cols, eps);
                RowInput::Plain(self.normed)
            };
            matvec(&mut pass, input, w, RowOutput::Store(self.out), self.placeholders);
        }
        pass
    }

    /// Returns the candidates whose results equal the twin's.
    async fn right(&self, device: &mut Device, candidates: &[Tuning], wanted: &[f32]) -> Result<Vec<Tuning>> {
        let mut right = Vec::new();
        for tuning in candidates {
            if is_right(&self.pass(*tuning), self.run(device, *tuning).await, wanted)? {
                right.push(*tuning);
            }
        }
        Ok(right)
    }

    /// Returns the fastest candidate; `None` where there is none.
    async fn fastest(&self, device: &mut Device, candidates: Vec<Tuning>, now: Clock<'_>) -> Result<Option<Tuning>> {
        let passes: Vec<_> = candidates.iter().map(|tuning| self.pass(*tuning)).collect();
        let ms = times(device, &passes, now).await?;
        Ok(fastest(candidates.into_iter().zip(ms), |tuning| tuning.row_operands))
    }

    async fn run(&self, device: &mut Device, tuning: Tuning) -> Result<Vec<f32>> {
        results(device, self.pass(tuning), self.out, SIDE as usize).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::harness::gpu_or_skip;
    use pollster::block_on;

    #[test]
    fn a_right_candidate_is_chosen_and_all_memory_is_freed() {
        if !gpu_or_skip() {
            return;
        }
        let mut device = block_on(Device::open(BackendChoice::Gpu)).unwrap();
        let begun = std::time::Instant::now();
        let chosen = block_on(choose(&mut device, &|| begun.elapsed().as_secs_f64() * 1e3)).unwrap();
        let features = device.features();
        assert!(is_candidate(&chosen, features) && !is_candidate(&Tuning { lanes: 7, ..chosen }, features));
        assert_eq!(device.allocated(), 0);
    }

    #[test]
    fn every_tier_is_a_candidate() {
        let all = Features { f16: true, timestamps: false, integer_dot: true };
        let names = |features| tiers(features).into_iter().map(|tier| tier.name).collect::<Vec<_>>();
        assert_eq!(names(all), ["plain", "tiles", "f16", "int8"]);
        assert_eq!(names(Features::default()), ["plain", "tiles"]);
        assert!(tiers(all).iter().all(|tier| is_candidate(&tier.tuning, all)));
    }

    #[test]
    fn every_candidate_passes_the_check_of_a_remembered_tuning() {
        let features = Features { f16: true, timestamps: false, integer_dot: true };
        let all = candidates(features);
        assert!(all.len() > 20 && all.iter().all(|tuning| is_candidate(tuning, features)));
        assert!(all.contains(&Tuning::SOFTWARE) && all.contains(&Tuning::HARDWARE));
        let plain = candidates(Features::default());
        assert!(plain.len() < all.len() && plain.iter().all(|tuning| is_candidate(tuning, Features::default())));
    }

    #[test]
    fn wrong_results_are_noticed() {
        assert!(error(&[1.0, 2.0], &[1.0, 2.0]) <= TOLERANCE);
        assert!(error(&[1.0, 2.001], &[1.0, 2.0]) > TOLERANCE);
        assert!(error(&[1.0, f32::NAN], &[1.0, 2.0]) > TOLERANCE);
    }
}

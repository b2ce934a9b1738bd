//! Compares an operation on the GPU, or its fast CPU version, with its twin. Tests only.
//!
//! Outputs start as NaN (or as given values), guard words follow every output, the error is the normalised mean
//! square error plus a bound per element, and the harness is itself tested to fail on a wrong answer.

use crate::cpu::{Level, Three, has_fast_version};
use crate::device::{BackendChoice, Device};
use crate::error::Kind;
use crate::kernels::{CacheType, Weight};
use crate::pass::{Buf, Call, Pass};
use crate::quant::{Encoding, WeightType, plane_bytes, quantize, repack, stored_bytes};
use pollster::block_on;

/// Guard words after each output, which no kernel may change.
const GUARD: u64 = 64;
/// The value of a guard word: a NaN that no kernel produces.
const GUARD_WORD: u32 = 0x7fc0_dead;
/// The initial value of outputs: another NaN.
const UNWRITTEN: u32 = 0x7fc0_beef;

/// Returns whether the machine has a GPU. Without one a comparison is skipped with a message, unless `CI` or
/// `LLAVA_REQUIRE_GPU` is set: then the test fails.
pub(crate) fn gpu_or_skip() -> bool {
    match block_on(Device::open(BackendChoice::Gpu)) {
        Ok(_) => true,
        Err(e)
            if e.kind == Kind::NoGpu && ["CI", "LLAVA_REQUIRE_GPU"].iter().all(|v| std::env::var_os(v).is_none()) =>
        {
            eprintln!("SKIPPED: no adapter, and neither CI nor LLAVA_REQUIRE_GPU is set ({e})");
            false
        }
        Err(e) => panic!("a test needs a GPU: {e}"),
    }
}

/// One comparison: buffers with contents, a pass over them, and which of them are outputs.
pub struct Case {
    name: String,
    /// The pass, recorded by the test.
    pub pass: Pass,
    /// The values that differ from replay to replay.
    pub call: Call,
    contents: Vec<Vec<u32>>,
    /// Per output: the buffer, the number of words that are compared, and their type.
    outputs: Vec<(usize, u64, CacheType)>,
    state: u64,
}

impl Case {
    pub fn new(name: String) -> Self {
        Self { name, pass: Pass::new("test"), call: Call::new(1, 0), contents: vec![], outputs: vec![], state: 1 }
    }

    /// Returns `n` values, uniform in ±`scale` and reproducible (a 64-bit LCG, high bits).
    pub fn floats(&mut self, n: u64, scale: f32) -> Vec<f32> {
        let mut next = || {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((self.state >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale
        };
        (0..n).map(|_| next()).collect()
    }

    fn add(&mut self, words: Vec<u32>) -> Buf {
        let words = if words.is_empty() { vec![0] } else { words };
        self.contents.push(words);
        Buf { id: self.contents.len() as u32 - 1, words: self.contents.last().map_or(0, |w| w.len() as u64) }
    }

    pub fn random(&mut self, n: u64, scale: f32) -> Buf {
        let floats = self.floats(n, scale);
        self.floats_of(&floats)
    }

    pub fn floats_of(&mut self, floats: &[f32]) -> Buf {
        self.add(floats.iter().map(|v| v.to_bits()).collect())
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> Buf {
        self.add(bytemuck::pod_collect_to_vec(bytes))
    }

    /// Adds a random tile with values up to about 0.5: quantised floats, or for the types of GGUF files random blocks.
    pub fn weight(&mut self, kind: WeightType, first_row: u32, rows: u32, cols: u32) -> Weight {
        let planes = if WeightType::FROM_FLOATS.contains(&kind) {
            quantize(kind, rows, cols, &self.floats(u64::from(rows * cols), 0.5)).unwrap()
        } else {
            let encoding = Encoding::ALL.into_iter().find(|e| e.exact() == kind).unwrap();
            let (values, bytes) = encoding.block();
            let noise = self.floats(u64::from(rows * cols / values * bytes), 128.0);
            let mut blocks: Vec<u8> = noise.iter().map(|v| *v as i8 as u8).collect();
            // The f16 scales, by their place in a block.
            let scales: &[(usize, f32)] = match kind {
                WeightType::Q4_1 => &[(0, 0.05), (2, -0.4)],
                WeightType::Q5_1 => &[(0, -0.03), (2, 0.45)],
                WeightType::Q4K | WeightType::Q5K => &[(0, 6e-4), (2, 7e-3)],
                _ => &[(208, 2e-4)],
            };
            for (i, block) in blocks.chunks_exact_mut(bytes as usize).enumerate() {
                for (at, scale) in scales {
                    let scale = half::f16::from_f32(scale * (1.0 + (i % 7) as f32 / 8.0));
                    block[*at..at + 2].copy_from_slice(&scale.to_le_bytes());
                }
            }
            let mut planes = vec![0; stored_bytes(kind, rows, cols).unwrap() as usize];
            repack(encoding, rows, cols, &blocks, None, &mut planes).unwrap();
            planes
        };
        let (blocks, scales) = planes.split_at(plane_bytes(kind, rows, cols).unwrap().0 as usize);
        let (blocks, scales) = (self.bytes(blocks), self.bytes(scales));
        Weight { kind, first_row, rows, cols, plane_rows: rows, plane_first: 0, blocks, scales }
    }

    /// Adds an output of `n` words. They start as NaN, or as random values up to `scale`.
    pub fn output(&mut self, n: u64, scale: Option<f32>) -> Buf {
        let mut words = match scale {
            Some(scale) => self.floats(n, scale).iter().map(|v| v.to_bits()).collect(),
            None => vec![UNWRITTEN; n as usize],
        };
        words.extend([GUARD_WORD; GUARD as usize]);
        let buffer = self.add(words);
        self.outputs.push((buffer.id as usize, n, CacheType::F32));
        buffer
    }

    /// Adds random keys or values.
    pub fn cache(&mut self, stored: CacheType, n: u64, scale: f32) -> Buf {
        let floats = self.floats(n, scale);
        let mut words = match stored {
            CacheType::F32 => bytemuck::cast_vec(floats),
            CacheType::F16 => {
                let half = |pair: &[f32], i: usize| u32::from(half::f16::from_f32(pair[i]).to_bits());
                floats.chunks_exact(2).map(|pair| half(pair, 0) | half(pair, 1) << 16).collect()
            }
        };
        words.resize(stored.words(n) as usize, 0);
        self.add(words)
    }

    /// Adds a [`cache`](Self::cache) that is an output: the kernel writes parts of it.
    pub fn cache_output(&mut self, stored: CacheType, n: u64, scale: f32) -> Buf {
        let buffer = self.cache(stored, n, scale);
        let words = &mut self.contents[buffer.id as usize];
        words.extend([GUARD_WORD; GUARD as usize]);
        self.outputs.push((buffer.id as usize, buffer.words, stored));
        Buf { words: buffer.words + GUARD, ..buffer }
    }

    /// Returns the outputs after running on `device`.
    fn run(&self, mut device: Device) -> Vec<Vec<u32>> {
        block_on(async {
            for words in &self.contents {
                let buffer = device.buffer("test", words.len() as u64).await.unwrap();
                device.upload(buffer, 0, bytemuck::cast_slice(words));
            }
            let pass = device.prepare(self.pass.clone()).await.unwrap();
            device.replay(&[pass], &self.call).unwrap();
            let mut outputs = Vec::new();
            for (id, n, stored) in &self.outputs {
                let buffer = Buf { id: *id as u32, words: *n + GUARD };
                let words = device.read_back(buffer, 0, buffer.words as usize).await.unwrap();
                let (output, guard) = words.split_at(*n as usize);
                assert!(
                    guard.iter().all(|w| *w == GUARD_WORD),
                    "{}: wrote past output {id} ({})",
                    self.name,
                    device.adapter()
                );
                outputs.push(match stored {
                    CacheType::F32 => output.to_vec(),
                    CacheType::F16 => {
                        let halves: &[half::f16] = bytemuck::cast_slice(output);
                        halves.iter().map(|h| h.to_f32().to_bits()).collect()
                    }
                });
            }
            outputs
        })
    }

    fn run_on(&self, choice: BackendChoice) -> Vec<Vec<u32>> {
        self.run(block_on(Device::open(choice)).unwrap())
    }

    /// Asserts that the GPU's outputs lie within `nmse` of the twin's, and each within `bound · (1 + |value|)`.
    pub fn check(&self, nmse: f64, bound: f64) {
        if gpu_or_skip() {
            self.check_outputs("GPU", &self.run_on(BackendChoice::Gpu), nmse, bound);
        }
    }

    /// Asserts the same with a bound for each output.
    pub fn check_each(&self, nmse: f64, bounds: &[f64]) {
        assert_eq!(self.outputs.len(), bounds.len(), "{}: bounds", self.name);
        if gpu_or_skip() {
            let (got, wanted) = (self.run_on(BackendChoice::Gpu), self.run_on(BackendChoice::Reference));
            for ((got, wanted), bound) in got.iter().zip(&wanted).zip(bounds) {
                compare(got, wanted, nmse, *bound).unwrap_or_else(|why| panic!("{} by GPU: {why}", self.name));
            }
        }
    }

    /// Asserts the same of the fast CPU version, at every instruction level of this machine; and that three threads compute
    /// the bits of one.
    pub fn check_cpu(&self, nmse: f64, bound: f64) {
        assert!(self.pass.ops.iter().all(|op| has_fast_version(op.kernel)), "{}: nothing to compare", self.name);
        for level in Level::available() {
            self.check_outputs(level.name(), &self.run(Device::cpu(level)), nmse, bound);
        }
        let mut three = Device::cpu(Level::best());
        three.set_thread_pool(Box::new(Three));
        assert_eq!(self.run(three), self.run(Device::cpu(Level::best())), "{} on three threads", self.name);
    }

    fn check_outputs(&self, by: &str, got: &[Vec<u32>], nmse: f64, bound: f64) {
        for (got, twin) in got.iter().zip(self.run_on(BackendChoice::Reference)) {
            if let Err(why) = compare(got, &twin, nmse, bound) {
                panic!("{} by {by}: {why}", self.name);
            }
        }
    }

    /// Returns the outputs of the twins, as floats.
    pub fn reference(&self) -> Vec<Vec<f32>> {
        self.run_on(BackendChoice::Reference).into_iter().map(bytemuck::cast_vec).collect()
    }

    /// Asserts that the GPU's outputs equal the twin's, word for word.
    pub fn check_words(&self) {
        if !gpu_or_skip() {
            return;
        }
        assert_eq!(self.run_on(BackendChoice::Gpu), self.run_on(BackendChoice::Reference), "{}", self.name);
    }
}

fn compare(got: &[u32], wanted: &[u32], nmse: f64, bound: f64) -> Result<(), String> {
    let (mut error, mut power) = (0f64, 0f64);
    for (i, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        if *got == UNWRITTEN && *wanted == UNWRITTEN {
            continue; // written by neither
        }
        let (g, w) = (f64::from(f32::from_bits(*got)), f64::from(f32::from_bits(*wanted)));
        let difference = (g - w).abs();
        if difference.is_nan() || difference > bound * (1.0 + w.abs()) {
            return Err(format!("element {i}: {g} instead of {w}"));
        }
        error += difference * difference;
        power += w * w;
    }
    if error > nmse * power {
        return Err(format!("NMSE {:e} above {nmse:e}", error / power));
    }
    Ok(())
}

#[test]
fn the_harness_fails_on_wrong_answers() {
    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let right = bits(&[1.0, -2.0, 3.0]);
    assert!(compare(&right, &right, 0.0, 0.0).is_ok());
    assert!(compare(&bits(&[1.0, -2.0, 3.1]), &right, 1.0, 1e-3).is_err(), "one element off");
    assert!(compare(&bits(&[1.001, -2.002, 3.003]), &right, 1e-9, 1.0).is_err(), "all slightly off");
    assert!(compare(&bits(&[1.0, -2.0, f32::NAN]), &right, 1.0, 1e9).is_err(), "NaN");
    assert!(compare(&[right[0], right[1], UNWRITTEN], &right, 1.0, 1e9).is_err(), "not written");
}

#[test]
fn every_shader_is_valid_and_declares_what_its_kernel_says() {
    use super::*;
    use naga::valid::Capabilities;
    let kernels = [
        &activation::SILU_MUL,
        &attention::ATTENTION,
        &attention::ATTENTION_KEPT,
        &attention_step::ATTENTION_STEP,
        &attention_step::ATTENTION_STEP_SHARED,
        &attention_step::ATTENTION_STEP_KEPT,
        &attention_step::ATTENTION_STEP_SHARED_KEPT,
        &attention_step::ATTENTION_MERGE,
        &attention_step::ATTENTION_MERGE_KEPT,
        &attention::ATTENTION_TILED,
        &attention_weights::ATTENTION_WEIGHTS,
        &calibrate::COPY,
        &calibrate::DOT4,
        &calibrate::FMA,
        &calibrate::FMA_F16,
        &depthwise::DEPTHWISE,
        &embed_rows::EMBED_ROWS,
        &excite::EXCITE,
        &layer_norm::LAYER_NORM,
        &matmul::MATMUL,
        &matmul_tiled::MATMUL_F16,
        &matmul_tiled::MATMUL_INT8,
        &matmul_tiled::MATMUL_TILED,
        &matvec::MATVEC,
        &matvec::MATVEC_INT8,
        &mean_pool::MEAN_POOL,
        &patches::PATCHES,
        &process_logits::PROCESS_LOGITS,
        &pixel_shuffle::PIXEL_SHUFFLE,
        &rms_norm::RMS_NORM,
        &rope::ROPE,
        &sample::SAMPLE,
        &select_rows::SELECT_ROWS,
        &vision_embed::VISION_EMBED,
    ];
    for kernel in kernels {
        let module = naga::front::wgsl::parse_str(kernel.wgsl).unwrap_or_else(|e| panic!("{}: {e}", kernel.name));
        naga::valid::Validator::new(
            naga::valid::ValidationFlags::all(),
            Capabilities::SHADER_FLOAT16_IN_FLOAT32 | Capabilities::SHADER_FLOAT16,
        )
        .validate(&module)
        .unwrap_or_else(|e| panic!("{}: {e:?}", kernel.name));
        assert_eq!(module.entry_points[0].workgroup_size, kernel.workgroup, "{}", kernel.name);
        // Firefox sets a variable of a loop's body that has no initial value to zero once, not in every round.
        let inner = kernel.wgsl.lines().filter(|line| line.starts_with("        ") && line.trim().starts_with("var "));
        inner.for_each(|line| assert!(line.contains('='), "{}: `{}` has no initial value", kernel.name, line.trim()));
        let mut access = vec![None; kernel.access.len()];
        for (_, global) in module.global_variables.iter() {
            if let naga::AddressSpace::Storage { access: a } = global.space {
                let binding = global.binding.as_ref().map_or(0, |b| b.binding as usize);
                access[binding - 2] = Some(a.contains(naga::StorageAccess::STORE));
            }
        }
        let declared: Vec<_> = kernel.access.iter().map(|a| Some(*a == crate::pass::Access::ReadWrite)).collect();
        assert_eq!(access, declared, "{}: bindings", kernel.name);
        assert!(kernel.access.len() <= 8, "{}: WebGPU promises 8 storage buffers", kernel.name);
    }
}

//! Recorded passes of a small model, on a device without memory.

use super::connector::Mlp;
use super::*;
use crate::config::ConnectorKind;
use crate::kernels::Weight;
use crate::pass::Buf;
use crate::quant::{WeightType, plane_bytes};
use crate::tuning::Tuning;
use attention::Attention;
use decoder::DecoderBlock;
use linear::Linear;
use pollster::block_on;
use vision_tower::{ClassRow, LayerNorm, VisionBlock};

/// How the matrices of a decoder block lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Planes {
    /// `q`, `k`, `v` in shared planes, and `gate`, `up`: as on a GPU.
    Stacked,
    /// Each matrix has planes of its own.
    Single,
    /// Each matrix is cut into two tiles.
    Tiled,
}

/// Makes weights for a model without loading any.
struct Factory {
    device: Device,
    unused: Buf,
    unused_scales: Buf,
}

impl Factory {
    fn new(mut device: Device) -> Self {
        let unused = block_on(device.buffer("unused", 1)).unwrap();
        let unused_scales = block_on(device.buffer("unused scales", 1)).unwrap();
        Self { device, unused, unused_scales }
    }

    fn vector(&mut self, words: u32) -> Buf {
        block_on(self.device.buffer("vector", u64::from(words))).unwrap()
    }

    fn planes(&mut self, rows: u32, cols: u32) -> Weight {
        let (blocks, scales) = plane_bytes(WeightType::Q4, rows, cols).unwrap();
        let blocks = block_on(self.device.buffer("blocks", blocks / 4)).unwrap();
        let scales = match scales {
            0 => self.unused_scales,
            bytes => block_on(self.device.buffer("scales", bytes / 4)).unwrap(),
        };
        let kind = WeightType::Q4;
        Weight { kind, first_row: 0, rows, cols, plane_rows: rows, plane_first: 0, blocks, scales }
    }

    fn linear(&mut self, rows: u32, cols: u32, bias: bool, planes: Planes) -> Linear {
        let tiles = match planes {
            Planes::Tiled => {
                let half = rows / 2;
                let second = Weight { first_row: half, ..self.planes(half, cols) };
                vec![self.planes(half, cols), second]
            }
            _ => vec![self.planes(rows, cols)],
        };
        let bias = bias.then(|| self.vector(rows));
        Linear { tiles, bias, outputs: rows, unused: self.unused }
    }

    /// Matrices of as many columns, together in one plane or not.
    fn group<const N: usize>(&mut self, rows: [u32; N], cols: u32, bias: bool, planes: Planes) -> [Linear; N] {
        if planes != Planes::Stacked {
            return rows.map(|rows| self.linear(rows, cols, bias, planes));
        }
        let whole = self.planes(rows.iter().sum(), cols);
        let mut plane_first = 0;
        rows.map(|rows| {
            let tile = Weight { rows, plane_first, ..whole };
            plane_first += rows;
            let bias = bias.then(|| self.vector(rows));
            Linear { tiles: vec![tile], bias, outputs: rows, unused: self.unused }
        })
    }

    fn layer_norm(&mut self, width: u32) -> LayerNorm {
        LayerNorm { weight: self.vector(width), bias: self.vector(width) }
    }

    fn components(&mut self, config: &Config, planes: Planes) -> Components {
        let (v, t) = (&config.vision, &config.text);
        let (c, h) = (v.hidden_size, t.hidden_size);
        let columns = v.patch_columns();
        let patch_embedding = self.linear(c, columns, false, Planes::Single);
        let vision_block = |f: &mut Self| VisionBlock {
            layer_norm1: f.layer_norm(c),
            self_attn: Attention {
                q_proj: f.linear(c, c, true, Planes::Single),
                k_proj: f.linear(c, c, true, Planes::Single),
                v_proj: f.linear(c, c, true, Planes::Single),
                o_proj: f.linear(c, c, true, Planes::Single),
                row_vectors: None,
            },
            layer_norm2: f.layer_norm(c),
            fc1: f.linear(v.intermediate_size, c, true, Planes::Single),
            fc2: f.linear(c, v.intermediate_size, true, Planes::Single),
        };
        let vision_tower = VisionTower {
            patch_embedding,
            class_row: Some(ClassRow { class_embedding: self.vector(c), pre_layrnorm: self.layer_norm(c) }),
            position_embedding: self.vector(v.rows() * c),
            blocks: (0..config.vision_blocks).map(|_| vision_block(self)).collect(),
            post_layernorm: None,
        };
        let ConnectorKind::Mlp2x(activation) = config.connector else { panic!("the usual connector") };
        let connector = Connector::Mlp(Mlp {
            linear_1: self.linear(h, c, true, Planes::Single),
            linear_2: Some((activation, self.linear(h, h, true, Planes::Single))),
        });
        let (q, kv) = (t.num_attention_heads * t.head_dim, t.num_key_value_heads * t.head_dim);
        let block = |f: &mut Self| {
            let [q_proj, k_proj, v_proj] = f.group([q, kv, kv], h, t.attention_bias, planes);
            let [gate_proj, up_proj] = f.group([t.intermediate_size; 2], h, false, planes);
            DecoderBlock {
                input_layernorm: f.vector(h),
                self_attn: Attention {
                    q_proj,
                    k_proj,
                    v_proj,
                    o_proj: f.linear(h, q, false, planes),
                    row_vectors: t.attention_bias.then(|| f.vector(h + q + 2 * kv)),
                },
                post_attention_layernorm: f.vector(h),
                gate_proj,
                up_proj,
                down_proj: f.linear(h, t.intermediate_size, false, planes),
            }
        };
        let decoder = Decoder {
            embed_tokens: self.linear(t.vocab_size, h, false, planes),
            blocks: (0..t.num_hidden_layers).map(|_| block(self)).collect(),
            norm: self.vector(h),
            lm_head: self.linear(t.vocab_size, h, false, planes),
        };
        Components { vision_tower, connector, decoder, newline: None }
    }
}

fn recorded(tuning: Option<Tuning>, planes: Planes) -> Passes<Pass> {
    recorded_as("llama", tuning, planes)
}

fn recorded_as(decoder: &str, tuning: Option<Tuning>, planes: Planes) -> Passes<Pass> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/mha/config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    config["text_config"]["model_type"] = decoder.into();
    let config = Config::parse(config.to_string().as_bytes(), None).unwrap();
    let mut factory = Factory::new(tuning.map_or_else(Device::ledger, Device::ledger_with));
    let components = factory.components(&config, planes);
    let cache_type = Model::usual_cache_type(&config);
    block_on(Recorded::new(&config, &mut factory.device, &components, 512, cache_type)).unwrap().passes
}

/// Names of the kernels of a pass, in order, without the rows' lookup at its beginning.
fn kernels(pass: &Pass) -> Vec<&'static str> {
    pass.ops.iter().map(|op| op.kernel.name).skip_while(|name| *name == "embed_rows").collect()
}

/// The two blocks of a pass are alike: the kernels of one.
fn block(pass: &Pass) -> Vec<&'static str> {
    let kernels = kernels(pass);
    let (first, second) = kernels.split_at(kernels.len() / 2);
    assert_eq!(first, second);
    first.to_vec()
}

#[test]
fn a_step_is_fused_as_tuned() {
    let hardware = recorded(Some(Tuning::HARDWARE), Planes::Stacked);
    let shared = ["attention_step_shared", "attention_merge"];
    assert_eq!(block(&hardware.step), [&["matvec"], &shared[..], &["matvec"; 3]].concat());
    assert_eq!(kernels(&hardware.head), ["matvec"], "the mat-vec selects and normalises its row");
    let software = recorded(Some(Tuning::SOFTWARE), Planes::Stacked);
    let (norm, attention) = (["rms_norm", "matvec"], ["attention_step", "attention_merge"]);
    assert_eq!(block(&software.step), [&norm[..], &attention, &["matvec"], &norm, &["matvec"]].concat());
    assert_eq!(kernels(&software.head), ["select_rows", "rms_norm", "matvec"]);
}

#[test]
fn matrices_without_a_stack_take_a_dispatch_each() {
    let step = recorded(Some(Tuning::HARDWARE), Planes::Single).step;
    let attention = ["matvec", "matvec", "matvec", "attention_step_shared", "attention_merge", "matvec"];
    assert_eq!(block(&step), [&attention[..], &["matvec", "matvec", "silu_mul", "matvec"]].concat());
    // A tile may end within a head: attention is computed as in prefill.
    let tiled = recorded(Some(Tuning::HARDWARE), Planes::Tiled).step;
    assert!(kernels(&tiled).contains(&"rope") && !kernels(&tiled).contains(&"attention_step_shared"));
}

#[test]
fn prefill_is_never_fused_and_a_cpu_steps_as_it_prefills() {
    let tunings = [None, Some(Tuning::SOFTWARE), Some(Tuning::HARDWARE)];
    for (tuning, planes) in tunings.into_iter().zip([Planes::Single, Planes::Stacked, Planes::Stacked]) {
        let passes = recorded(tuning, planes);
        let prefill = block(&passes.prefill);
        assert_eq!(prefill.len(), 12, "{prefill:?}");
        assert!(!prefill.contains(&"matvec"));
        if tuning.is_none() {
            assert_eq!(block(&passes.step), prefill);
            assert_eq!(kernels(&passes.head), ["select_rows", "rms_norm", "matmul"]);
        }
        assert_eq!(kernels(&passes.sample), ["sample"]);
        assert_eq!(kernels(&passes.process), ["process_logits", "sample"]);
    }
}

/// Biases of `q`, `k` and `v` are part of their products.
#[test]
fn biases_take_no_dispatch() {
    let tunings = [None, Some(Tuning::SOFTWARE), Some(Tuning::HARDWARE)];
    for (tuning, planes) in tunings.into_iter().flat_map(|t| [Planes::Single, Planes::Stacked].map(|p| (t, p))) {
        let [plain, biased] = ["llama", "qwen2"].map(|decoder| recorded_as(decoder, tuning, planes));
        assert_eq!(kernels(&biased.step), kernels(&plain.step), "{tuning:?} {planes:?}");
        assert_eq!(kernels(&biased.prefill), kernels(&plain.prefill), "{tuning:?} {planes:?}");
        let first = biased.step.ops.iter().filter(|op| op.consts.contains(&("BIAS", 1)));
        let products = if tuning.is_none() {
            0
        } else if planes == Planes::Stacked {
            2
        } else {
            6
        };
        assert_eq!(first.count(), products, "{tuning:?} {planes:?}");
        assert!(!plain.step.ops.iter().any(|op| op.consts.contains(&("BIAS", 1))));
    }
}

#[test]
fn passes_are_paired_in_order() {
    let numbers = Passes { encode: 1, prefill: 2, step: 3, head: 4, sample: 5, process: 6 };
    assert_eq!(numbers.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    let pairs = PASS_NAMES.zip(numbers);
    assert_eq!((pairs.encode, pairs.process), (("encode", 1), ("process", 6)));
    assert_eq!(numbers.map(|n| 2 * n).head, 8);
}

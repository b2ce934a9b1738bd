//! The numbers of `src/docs/one_token.md`: the shipped weights read and multiplied by code that shares nothing with the
//! engine, in f64, up to the logits, which are then compared with the engine's.

use llava_web::device::BackendChoice;
use llava_web::engine::{GenerateOptions, SilentObserver};
use llava_web::native::load_model;
use llava_web::prompt::Message;
use pollster::block_on;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Rows of values.
type Matrix = Vec<Vec<f64>>;

const HEADS: usize = 4;
const HEAD_SIZE: usize = 48;
const STAR: usize = 73;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The shipped checkpoint: one shard, every tensor in one tile.
struct Checkpoint {
    tensors: Vec<Value>,
    shard: Vec<u8>,
}

impl Checkpoint {
    fn open(folder: &Path) -> Self {
        let manifest: Value = serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
        let shard = folder.join(manifest["shards"][0]["file"].as_str().unwrap());
        Self { tensors: manifest["tensors"].as_array().unwrap().clone(), shard: std::fs::read(shard).unwrap() }
    }

    /// Its type, shape and bytes. Names are without the prefix of the decoder.
    fn find(&self, name: &str) -> (&str, Vec<usize>, &[u8]) {
        let full =
            if name == "lm_head" { "language_model.lm_head".into() } else { format!("language_model.model.{name}") };
        let tensor =
            self.tensors.iter().find(|t| t["name"] == format!("{full}.weight")).unwrap_or_else(|| panic!("{full}"));
        let shape = tensor["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
        let [offset, bytes] = ["offset", "bytes"].map(|key| tensor["tiles"][0][key].as_u64().unwrap() as usize);
        (tensor["type"].as_str().unwrap(), shape, &self.shard[offset..offset + bytes])
    }

    fn vector(&self, name: &str) -> Vec<f64> {
        let bytes = self.find(name).2;
        bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
    }

    /// Quant and scale of an element of a q8 matrix.
    fn q8(&self, name: &str, row: usize, col: usize) -> [f64; 2] {
        let (_, shape, bytes) = self.find(name);
        q8(bytes, [shape[0], shape[1]], row, col)
    }

    fn matrix(&self, name: &str) -> Matrix {
        let (kind, shape, bytes) = self.find(name);
        let [n, k] = [shape[0], shape[1]];
        let value = |row: usize, col: usize| match kind {
            "f16" => f16(bytes, (col / 8 * n + row) * 8 + col % 8),
            "q8" => q8(bytes, [n, k], row, col).iter().product(),
            other => panic!("{name} is {other}"),
        };
        (0..n).map(|row| (0..k).map(|col| value(row, col)).collect()).collect()
    }
}

fn q8(bytes: &[u8], [n, k]: [usize; 2], row: usize, col: usize) -> [f64; 2] {
    let quant = bytes[(col / 16 * n + row) * 16 + col % 16] as i8;
    [f64::from(quant), f16(&bytes[n * k..], col / 32 * n + row)]
}

fn f16(bytes: &[u8], index: usize) -> f64 {
    half::f16::from_le_bytes(bytes[2 * index..2 * index + 2].try_into().unwrap()).to_f64()
}

fn times(x: &Matrix, w: &Matrix) -> Matrix {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum();
    x.iter().map(|row| w.iter().map(|w| dot(row, w)).collect()).collect()
}

fn add(x: &mut Matrix, y: Matrix) {
    x.iter_mut().flatten().zip(y.into_iter().flatten()).for_each(|(x, y)| *x += y);
}

fn rms(row: &[f64]) -> f64 {
    (row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64 + 1e-5).sqrt()
}

fn norm(x: &Matrix, weight: &[f64]) -> Matrix {
    x.iter().map(|row| row.iter().zip(weight).map(|(x, w)| x / rms(row) * w).collect()).collect()
}

/// Rotary positions: pairs `i`, `i + D/2` of each head.
fn rotate(x: &mut Matrix) {
    for (position, row) in x.iter_mut().enumerate() {
        for head in row.chunks_exact_mut(HEAD_SIZE) {
            let (first, second) = head.split_at_mut(HEAD_SIZE / 2);
            for (i, (a, b)) in first.iter_mut().zip(second).enumerate() {
                let angle = position as f64 * 10000f64.powf(-2.0 * i as f64 / HEAD_SIZE as f64);
                (*a, *b) = (*a * angle.cos() - *b * angle.sin(), *b * angle.cos() + *a * angle.sin());
            }
        }
    }
}

/// Causal attention; the scores and weights of the last row in head 0 besides.
fn attention(q: &Matrix, k: &Matrix, v: &Matrix) -> (Matrix, Vec<f64>, Vec<f64>) {
    let mut mixed = vec![vec![0.0; HEADS * HEAD_SIZE]; q.len()];
    let mut last = (Vec::new(), Vec::new());
    for head in (0..HEADS).rev() {
        let of = |x: &Matrix, row: usize| x[row][head * HEAD_SIZE..][..HEAD_SIZE].to_vec();
        for (row, mixed) in mixed.iter_mut().enumerate() {
            let score =
                |s: usize| of(q, row).iter().zip(of(k, s)).map(|(q, k)| q * k).sum::<f64>() / (HEAD_SIZE as f64).sqrt();
            let scores: Vec<f64> = (0..=row).map(score).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
            let weights: Vec<f64> = scores.iter().map(|s| (s - largest).exp() / total).collect();
            for (s, weight) in weights.iter().enumerate() {
                let out = &mut mixed[head * HEAD_SIZE..][..HEAD_SIZE];
                out.iter_mut().zip(of(v, s)).for_each(|(out, v)| *out += weight * v);
            }
            last = (scores, weights);
        }
    }
    (mixed, last.0, last.1)
}

/// The decoder over rows of input embeds: logits of the last row. Notes what the page shows.
fn decode(checkpoint: &Checkpoint, mut x: Matrix, seen: &mut BTreeMap<&'static str, f64>) -> Vec<f64> {
    for layer in 0..4 {
        let name = |part: &str| format!("layers.{layer}.{part}");
        let weight = |part: &str| checkpoint.matrix(&name(part));
        let y = norm(&x, &checkpoint.vector(&name("input_layernorm")));
        let [mut q, mut k, v] = ["q", "k", "v"].map(|p| times(&y, &weight(&format!("self_attn.{p}_proj"))));
        let before = k[STAR].clone();
        rotate(&mut q);
        rotate(&mut k);
        let (mixed, scores, weights) = attention(&q, &k, &v);
        if layer == 0 {
            let [quant, scale] = checkpoint.q8("layers.0.self_attn.k_proj", 0, 0);
            seen.extend([
                ("rms", rms(&x[STAR])),
                ("input_layernorm[0]", checkpoint.vector(&name("input_layernorm"))[0]),
                ("normed[0]", y[STAR][0]),
                ("k_proj quant[0, 0]", quant),
                ("k_proj scale[0, 0]", scale),
                ("k_proj[0, 0]", quant * scale),
                ("k[0] before rotation", before[0]),
                ("k[24] before rotation", before[24]),
                ("k[0] after rotation", k[STAR][0]),
                ("score", scores[STAR]),
                ("attention weight", weights[STAR]),
            ]);
        }
        add(&mut x, times(&mixed, &weight("self_attn.o_proj")));
        let y = norm(&x, &checkpoint.vector(&name("post_attention_layernorm")));
        let [gate, up] = ["gate", "up"].map(|p| times(&y, &weight(&format!("mlp.{p}_proj"))));
        let silu = |(g, u): (&f64, &f64)| g / (1.0 + (-g).exp()) * u;
        let hidden: Matrix = gate.iter().zip(&up).map(|(g, u)| g.iter().zip(u).map(silu).collect()).collect();
        add(&mut x, times(&hidden, &weight("mlp.down_proj")));
        let after = ["hidden after layer 1", "", "", "hidden after layer 4"][layer];
        seen.insert(after, x[STAR][0]);
    }
    let last = norm(&vec![x.pop().unwrap()], &checkpoint.vector("norm"));
    times(&last, &checkpoint.matrix("lm_head")).remove(0)
}

/// The page's block of numbers: label, value, decimals.
fn numbers_of_the_page() -> Vec<(String, f64, usize)> {
    let page = std::fs::read_to_string(root().join("src/docs/one_token.md")).unwrap();
    let block = page.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let line = |line: &str| {
        let (label, rest) = line.split_at(30);
        let value = rest.split_whitespace().next().unwrap();
        let decimals = value.split_once('.').map_or(0, |(_, digits)| digits.len());
        (label.trim().to_string(), value.parse().unwrap(), decimals)
    };
    block.lines().map(line).collect()
}

#[test]
fn the_page_shows_the_numbers_that_the_weights_give() {
    let folder = root().join("www/models/scenes");
    let checkpoint = Checkpoint::open(&folder);
    let image = std::fs::read(root().join("www/examples/shapes.png")).unwrap();
    let mut engine = block_on(load_model(&folder, None, BackendChoice::Reference, None)).unwrap();
    let stages = block_on(engine.vision_outputs(&image)).unwrap();
    let [pixels, features, embeds] = [0, 1, 2].map(|i| &stages[i].2);
    let picture = block_on(engine.encode(&image, &[], &mut SilentObserver)).unwrap();
    let question = [Message::user(&[picture.id], "What color is the star?")];
    let options = GenerateOptions { keep_logits: true, ..GenerateOptions::default() };
    let answer = block_on(engine.generate(&question, &options, &mut SilentObserver)).unwrap();
    assert_eq!(answer.text, "The star is green.");
    assert_eq!(answer.prompt_ids[STAR], 358);

    let mut seen = BTreeMap::from([
        ("pixel_values[0, 64, 64]", f64::from(pixels[64 * 128 + 64])),
        ("image_features[27, 0]", f64::from(features[27 * 128])),
        ("image_embeds[27, 0]", f64::from(embeds[27 * 192])),
    ]);
    let table = checkpoint.matrix("embed_tokens");
    let mut patches = embeds.chunks_exact(192);
    let row = |id: &u32| match id {
        3 => patches.next().unwrap().iter().map(|v| f64::from(*v)).collect(),
        id => table[*id as usize].clone(),
    };
    let x: Matrix = answer.prompt_ids.iter().map(row).collect();
    seen.insert("embed_tokens[358, 0]", x[STAR][0]);
    let logits = decode(&checkpoint, x, &mut seen);

    // The engine's, f32 sums of the reference kernels.
    let power: f64 = logits.iter().map(|x| x * x).sum();
    let error: f64 = logits.iter().zip(&answer.logits[0]).map(|(a, b)| (a - f64::from(*b)).powi(2)).sum();
    assert!(error / power < 1e-12, "NMSE {:e}", error / power);

    let mut sorted = logits.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    assert_eq!(sorted[0], logits[323], "the first word is `The`");
    seen.extend([("logit of \"The\"", sorted[0]), ("second largest logit", sorted[1])]);
    seen.insert("logit of \"green\"", f64::from(answer.logits[3][408]));
    let page = numbers_of_the_page();
    let mut wrong = Vec::new();
    for (label, value, decimals) in &page {
        let found = seen.get(label.as_str()).unwrap_or_else(|| panic!("nothing computes `{label}`"));
        if (found - value).abs() > 0.5001 * 10f64.powi(-(*decimals as i32)) {
            wrong.push(format!("{label:30} is {found:.decimals$}, not {value:.decimals$}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(page.len(), 20);
}

//! Imported parts against PyTorch (`tests/golden/generate_parts.py`): logits, gradients of one batch, three AdamW steps.

use super::super::params::{AdamRule, Params, floats};
use super::super::patches::patch_rows;
use super::batches::{SequenceBatch, batch};
use super::export;
use super::import::{self, Parts};
use super::lora::{self, LoraPlan};
use super::model;
use super::recipe::trains;
use super::sequences::Sequence;
use crate::measure::normalised_error;
use crate::prompt::PromptItem;
use crate::quant::{Encoding, decode};
use burn::tensor::Device;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::PathBuf;

type Golden = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/parts").join(name)
}

fn golden() -> Golden {
    let bytes = std::fs::read(folder("golden.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let one = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let encoding = if view.dtype() == Dtype::F16 { Encoding::F16 } else { Encoding::F32 };
        (name, (view.shape().to_vec(), decode(encoding, view.data()).unwrap()))
    };
    file.tensors().into_iter().map(one).collect()
}

/// PyTorch's `[N, K]` is `[K, N]` here; tables and vectors are the same.
fn ours(name: &str, (shape, values): &(Vec<usize>, Vec<f32>)) -> Vec<f32> {
    if shape.len() < 2 || name.contains("embed_tokens") {
        return values.clone();
    }
    let (n, k) = (shape[0], values.len() / shape[0]);
    (0..n * k).map(|i| values[i % n * k + i / n]).collect()
}

/// Opens a tower and the decoder, with the connector of the golden model.
fn open(tower: &str, golden: &Golden) -> Parts {
    let params = Params::new(Device::flex());
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut parts = import::open(&folder(tower), &folder("llama"), None, params, &mut rng).unwrap();
    for name in ["linear_1.weight", "linear_1.bias", "linear_2.weight", "linear_2.bias"] {
        let name = format!("multi_modal_projector.{name}");
        let shape = parts.params.shape(&name).unwrap();
        parts.params.set(name.clone(), shape, ours(&name, &golden[&name]));
    }
    parts
}

/// The batch of `SEQUENCES` in generate_parts.py.
fn sequences(tower: &str, parts: &Parts, golden: &Golden) -> SequenceBatch {
    let token = |ids: &[u32]| ids.iter().map(|id| PromptItem::Token(*id)).collect::<Vec<_>>();
    let with = |before: &[u32], after: &[u32]| [token(before), vec![PromptItem::Image(0)], token(after)].concat();
    let v = &parts.config.vision;
    let pixels = &golden[&format!("{tower}.pixels")].1;
    let pictures: Vec<Vec<f32>> = pixels
        .chunks(pixels.len() / 2)
        .map(|pixels| patch_rows(pixels, v.image_size as usize, v.patch_size as usize))
        .collect();
    let samples = [
        (Sequence { items: with(&[1, 5], &[6, 7, 8, 2]), answers: vec![4..7] }, pictures[0].clone()),
        (Sequence { items: token(&[1, 9, 10, 11, 12, 2, 13, 14, 15, 2]), answers: vec![3..6, 8..10] }, Vec::new()),
        (Sequence { items: with(&[1], &[20, 21, 22]), answers: vec![2..5] }, pictures[1].clone()),
    ];
    batch(&samples, parts.config.feature_rows() as usize)
}

fn nmse(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    normalised_error(got.iter().zip(want).map(|(g, w)| [f64::from(*g), f64::from(*w)]))
}

#[test]
fn logits_of_imported_parts_are_pytorchs() {
    let golden = golden();
    for tower in ["clip", "siglip"] {
        let parts = open(tower, &golden);
        let b = sequences(tower, &parts, &golden);
        let leaves = parts.params.leaves(|_| false);
        let logits = floats(model::logits(&leaves, &parts.config, &b, parts.params.device()));
        let error = nmse(&logits, &golden[&format!("{tower}.logits")].1);
        eprintln!("{tower}: NMSE of the logits {error:.1e}");
        assert!(error <= 1e-9, "{tower}: {error}");
    }
}

/// Computes the gradients of stage 2, and the loss.
fn gradients(parts: &Parts, b: &SequenceBatch) -> (BTreeMap<String, super::super::params::Matrix>, f32) {
    let leaves = parts.params.leaves(|name| trains(1, false, name));
    let loss = model::loss(&leaves, &parts.config, b, b.targets.len(), parts.params.device());
    let mut gradients = loss.backward();
    (leaves.gradients(&mut gradients), floats(loss)[0])
}

#[test]
fn gradients_and_steps_are_pytorchs() {
    let golden = golden();
    let mut parts = open("clip", &golden);
    let b = sequences("clip", &parts, &golden);
    let (found, loss) = gradients(&parts, &b);
    assert!((loss - golden["loss"].1[0]).abs() < 1e-5, "{loss} {:?}", golden["loss"].1);
    let named: Vec<&String> = golden.keys().filter(|name| name.starts_with("grad.")).collect();
    assert_eq!(found.len(), named.len());
    let mut worst = 0.0f64;
    for name in named {
        let own = &name["grad.".len()..];
        let error = nmse(&floats(found[own].clone()), &ours(own, &golden[name]));
        assert!(error <= 1e-6, "{own}: {error}");
        worst = worst.max(error);
    }
    let rule = AdamRule { decay: 0.1, beta_2: 0.999, share: 1.0 };
    for _ in 0..3 {
        let (found, _) = gradients(&parts, &b);
        parts.params.step_with(vec![found], &rule, |_| 1e-2);
    }
    let (mut after, mut compared) = (0.0f64, 0);
    for name in golden.keys().filter(|name| name.starts_with("after.")) {
        let own = &name["after.".len()..];
        let error = nmse(&parts.params.get(own).unwrap().1, &ours(own, &golden[name]));
        assert!(error <= 1e-5, "{own}: {error}");
        after = after.max(error);
        compared += 1;
    }
    eprintln!("largest NMSE of a gradient {worst:.1e}, of a parameter after three steps {after:.1e}");
    assert!(compared > 10, "{compared}");
}

/// The gradients of the parts of a batch add up to those of the whole.
#[test]
fn accumulated_gradients_are_those_of_the_batch() {
    let golden = golden();
    let parts = open("clip", &golden);
    let whole = sequences("clip", &parts, &golden);
    let one = |answers: Vec<std::ops::Range<usize>>, ids: &[u32]| {
        (Sequence { items: ids.iter().map(|id| PromptItem::Token(*id)).collect(), answers }, Vec::new())
    };
    let samples = [one(vec![3..6], &[1, 9, 10, 11, 12, 2]), one(vec![1..3], &[1, 7, 2])];
    let rows = parts.config.feature_rows() as usize;
    let together = batch(&samples, rows);
    let total = together.targets.len();
    let of = |b: &SequenceBatch| {
        let leaves = parts.params.leaves(|name| trains(1, false, name) && !name.starts_with("multi_modal"));
        let loss = model::loss(&leaves, &parts.config, b, total, parts.params.device());
        leaves.gradients(&mut loss.backward())
    };
    let all = of(&together);
    let split: Vec<_> = samples.chunks(1).map(|sample| of(&batch(sample, rows))).collect();
    for (name, wanted) in all {
        let sum = split[0][&name].clone() + split[1][&name].clone();
        let error = nmse(&floats(sum), &floats(wanted));
        assert!(error <= 1e-9, "{name}: {error}");
    }
    assert!(whole.images == 2 && together.images == 0);
}

#[test]
fn adapters_change_nothing_at_first_and_are_merged_exactly() {
    let golden = golden();
    let mut parts = open("clip", &golden);
    let b = sequences("clip", &parts, &golden);
    let run = |parts: &Parts| {
        floats(model::logits(&parts.params.leaves(|_| false), &parts.config, &b, parts.params.device()))
    };
    let before = run(&parts);
    let targets = lora::TARGETS.map(str::to_owned).to_vec();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let unknown = LoraPlan { rank: 4, alpha: 8.0, targets: vec!["nose".to_owned()] };
    assert!(lora::add(&mut parts.params, &unknown, &mut rng).is_err());
    lora::add(&mut parts.params, &LoraPlan { rank: 4, alpha: 8.0, targets }, &mut rng).unwrap();
    assert!(nmse(&run(&parts), &before) <= 1e-12);
    let frozen = parts.params.get("language_model.model.layers.0.self_attn.q_proj.weight");
    let rule = AdamRule { decay: 0.0, beta_2: 0.999, share: 1.0 };
    let mut losses = Vec::new();
    for _ in 0..5 {
        let leaves = parts.params.leaves(|name| trains(1, true, name));
        let loss = model::loss(&leaves, &parts.config, &b, b.targets.len(), parts.params.device());
        let gradients = leaves.gradients(&mut loss.backward());
        losses.push(floats(loss)[0]);
        parts.params.step_with(vec![gradients], &rule, |_| 1e-2);
    }
    assert!(losses[4] < losses[0], "{losses:?}");
    assert_eq!(frozen, parts.params.get("language_model.model.layers.0.self_attn.q_proj.weight"));
    let trained = run(&parts);
    assert!(nmse(&trained, &before) > 1e-6);
    lora::merge(&mut parts.params);
    assert!(parts.params.names().all(|name| !name.contains("lora")));
    assert!(nmse(&run(&parts), &trained) <= 1e-9);
}

/// The exported mmproj, and the hub's layout, are read back as the same parts.
#[test]
fn exports_are_read_back() {
    let golden = golden();
    let out = std::env::temp_dir().join(format!("llava-web-parts-{}", std::process::id()));
    for tower in ["clip", "siglip"] {
        let mut parts = open(tower, &golden);
        let b = sequences(tower, &parts, &golden);
        let run = |parts: &Parts| {
            floats(model::logits(&parts.params.leaves(|_| false), &parts.config, &b, parts.params.device()))
        };
        let before = run(&parts);
        export::hub(&mut parts, &out.join("hub")).unwrap();
        let params = Params::new(Device::flex());
        let hub = out.join("hub");
        let again = import::open(&hub, &hub, None, params, &mut ChaCha8Rng::seed_from_u64(9)).unwrap();
        assert_eq!((again.config.vision_blocks, &again.config.text), (2, &parts.config.text), "{tower}");
        for name in parts.params.names().filter(|name| !name.starts_with("multi_modal")) {
            assert_eq!(parts.params.get(name), again.params.get(name), "{tower}: {name}");
        }
        assert!(nmse(&run(&parts), &before) <= 1e-12);
        let bytes = export::mmproj(&parts.config, &parts.params).unwrap();
        let crate::format::gguf::Parsed::Header(header) =
            crate::format::gguf::parse(&bytes, bytes.len() as u64).unwrap()
        else {
            panic!("{tower}: no header")
        };
        assert!(header.tensors.iter().any(|t| t.name == "mm.2.weight" && t.shape == [32, 32]), "{tower}");
        assert_eq!(header.tensors.iter().filter(|t| t.name.ends_with("ln1.weight")).count(), 2, "{tower}");
    }
    std::fs::remove_dir_all(&out).ok();
}

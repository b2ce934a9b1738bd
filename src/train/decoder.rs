//! The connector and the LLaMA decoder, over a prefix shared by several conversations.
//!
//! A batch holds `B` pictures. For each, the prefix `<s>USER: <image>` (`Tp` rows) is computed once, and `K`
//! conversations (`L` rows each) continue from it, each seeing the prefix and itself only, at the positions
//! it would have alone. This is exactly training on `B · K` separate conversations, at about a third of the
//! work, and no conversation can read its answer from another one.

use super::layers::{cross_entropy, join_heads, linear, rms_norm, split_heads, weigh};
use super::params::{Leaves, Matrix, Params};
use super::questions::Kind;
use super::shape::ModelShape;
use super::tower::{self, Texts};
use super::whiten;
use burn::tensor::{Device, Int, Tensor, TensorData, activation, module};
use rand_chacha::ChaCha8Rng;

const LM: &str = "language_model.model";
/// The output head.
pub const HEAD: &str = "language_model.lm_head.weight";
const CONNECTOR: &str = "multi_modal_projector";

/// What stands where a conversation's picture is.
pub enum Sight {
    /// `[B · P, 3 · p · p]` pixel values by patch.
    Patches(Vec<f32>),
    /// Text pretraining: a description instead of the picture, padded with 0.
    Words(Texts),
}

/// One answer in a batch.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What its question is about.
    pub kind: Kind,
    /// Range in `rows` and `targets`.
    pub span: std::ops::Range<usize>,
    /// Whether it is the last of its conversation (never in a chain of unrelated questions).
    pub last: bool,
}

/// `B` pictures with `K` conversations each.
pub struct DialogueBatch {
    /// `B`.
    pub images: usize,
    /// `K`.
    pub branches: usize,
    /// `L`.
    pub length: usize,
    /// Ids before the picture, the same for all.
    pub lead: Vec<i32>,
    /// The pictures.
    pub sight: Sight,
    /// `[B · K · L]`, padded with 0.
    pub ids: Vec<i32>,
    /// Rows of `ids` whose next token is to be predicted ..
    pub rows: Vec<i32>,
    /// .. and that token.
    pub targets: Vec<i32>,
    /// Which of them belong together.
    pub answers: Vec<Answer>,
}

/// Makes the connector's and the decoder's parameters.
pub fn init(p: &mut Params, s: &ModelShape, rng: &mut ChaCha8Rng) {
    let (c, h, f) = (s.vision_width, s.hidden, s.mlp);
    whiten::init(p, s);
    p.normal(format!("{CONNECTOR}.linear_1.weight"), [c, h], (c as f32).powf(-0.5), rng);
    p.constant(format!("{CONNECTOR}.linear_1.bias"), [1, h], 0.0);
    p.normal(format!("{CONNECTOR}.linear_2.weight"), [h, h], 0.5 * (h as f32).powf(-0.5), rng);
    p.constant(format!("{CONNECTOR}.linear_2.bias"), [1, h], 0.0);
    p.normal(format!("{LM}.embed_tokens.weight"), [s.vocab, h], 0.3, rng);
    let wide = (h as f32).powf(-0.5) * 0.8;
    let residual = wide / (2.0 * s.layers as f32).sqrt();
    for i in 0..s.layers {
        let name = format!("{LM}.layers.{i}");
        for which in ["q", "k", "v", "o"] {
            let deviation = if which == "o" { residual } else { wide };
            p.normal(format!("{name}.self_attn.{which}_proj.weight"), [h, h], deviation, rng);
        }
        for which in ["gate", "up"] {
            p.normal(format!("{name}.mlp.{which}_proj.weight"), [h, f], wide, rng);
        }
        p.normal(format!("{name}.mlp.down_proj.weight"), [f, h], residual, rng);
        p.constant(format!("{name}.input_layernorm.weight"), [1, h], 1.0);
        p.constant(format!("{name}.post_attention_layernorm.weight"), [1, h], 1.0);
    }
    p.constant(format!("{LM}.norm.weight"), [1, h], 1.0);
    p.normal(HEAD.to_owned(), [h, s.vocab], 0.02, rng);
}

/// Image features `[B · P, C]` → image embeds `[B · P, H]`: linear, exact GELU, linear, on features in the
/// basis of [`whiten`].
pub fn connect(p: &Leaves, features: Matrix) -> Matrix {
    let white = (features - p.get(whiten::MEAN)).matmul(p.get(whiten::BASIS));
    let hidden = activation::gelu(linear(p, &format!("{CONNECTOR}.linear_1"), white, true));
    linear(p, &format!("{CONNECTOR}.linear_2"), hidden, true)
}

/// Rotary tables of the batch's rows, and the matrix that rotates halves.
struct Rope {
    cos: Matrix,
    sin: Matrix,
    turn: Matrix,
    size: usize,
}

impl Rope {
    fn new(s: &ModelShape, positions: &[usize], device: &Device) -> Self {
        let (size, heads) = (s.hidden / s.heads, s.heads);
        let half = size / 2;
        let longest = positions.iter().max().map_or(1, |p| p + 1);
        let table = |f: fn(f32) -> f32| -> Matrix {
            let by_position: Vec<f32> = (0..longest)
                .flat_map(|p| {
                    let row: Vec<f32> =
                        (0..size).map(|d| f(p as f32 * 10000f32.powf(-((d % half) as f32) / half as f32))).collect();
                    row.repeat(heads)
                })
                .collect();
            let width = size * heads;
            let rows = positions.iter().flat_map(|p| &by_position[p * width..(p + 1) * width]).copied();
            Tensor::from_data(TensorData::new(rows.collect(), [positions.len(), width]), device)
        };
        // (x · turn)[d] = −x[d + D/2] in the first half, x[d − D/2] in the second.
        let mut turn = vec![0.0; size * size];
        for d in 0..half {
            turn[(d + half) * size + d] = -1.0;
            turn[d * size + d + half] = 1.0;
        }
        let turn = Tensor::from_data(TensorData::new(turn, [size, size]), device);
        Self { cos: table(f32::cos), sin: table(f32::sin), turn, size }
    }

    fn apply(&self, x: Matrix) -> Matrix {
        let [rows, width] = x.dims();
        let turned = x.clone().reshape([rows * width / self.size, self.size]).matmul(self.turn.clone());
        x * self.cos.clone() + turned.reshape([rows, width]) * self.sin.clone()
    }
}

/// Masks (0 or −10⁴ to be added to scores).
struct Masks {
    prefix: Tensor<4>,
    hidden: Option<Tensor<4>>,
    branch: Tensor<4>,
}

fn causal(n: usize, device: &Device) -> Tensor<4> {
    let values = (0..n * n).map(|i| if i % n > i / n { -1e4 } else { 0.0 }).collect::<Vec<f32>>();
    Tensor::from_data(TensorData::new(values, [1, 1, n, n]), device)
}

/// Attention of all rows: prefixes over themselves, branches over their prefix and themselves.
fn attend(q: Matrix, k: Matrix, v: Matrix, s: &ModelShape, b: &DialogueBatch, tp: usize, masks: &Masks) -> Matrix {
    let (heads, h, split) = (s.heads, s.hidden, b.images * tp);
    let total = q.dims()[0];
    let parts = |x: Matrix| (x.clone().slice([0..split, 0..h]), x.slice([split..total, 0..h]));
    let ((qp, qb), (kp, kb), (vp, vb)) = (parts(q), parts(k), parts(v));
    let (kp, vp) = (split_heads(kp, b.images, heads), split_heads(vp, b.images, heads));
    let own = weigh(split_heads(qp, b.images, heads), kp.clone(), vp.clone(), Some(masks.prefix.clone()));
    let prefix = join_heads(own.0 / own.1);
    if b.branches == 0 {
        return prefix;
    }
    let n = b.images * b.branches;
    let (far, far_sum) = weigh(split_heads(qb.clone(), b.images, heads), kp, vp, masks.hidden.clone());
    let near = weigh(
        split_heads(qb, n, heads),
        split_heads(kb, n, heads),
        split_heads(vb, n, heads),
        Some(masks.branch.clone()),
    );
    // `[.., N, .., D]` of both, brought to `[rows, N, D]`.
    let size = h / heads;
    let rows = n * b.length;
    let flat = |x: Tensor<4>, d: usize| -> Tensor<3> { x.swap_dims(1, 2).reshape([rows, heads, d]) };
    let sum = flat(far, size) + flat(near.0, size);
    let weight = flat(far_sum, 1) + flat(near.1, 1);
    Tensor::cat(vec![prefix, (sum / weight).reshape([rows, h])], 0)
}

/// What a batch's conversations continue from.
struct Prefix {
    rows: Matrix,
    masks: Masks,
    positions: Vec<usize>,
}

/// Hidden states after the last norm at the batch's `rows`.
///
/// # Shapes
/// → `[rows, H]`.
fn hidden(p: &Leaves, s: &ModelShape, b: &DialogueBatch, prefix: Prefix, device: &Device) -> Matrix {
    let Prefix { rows: prefix, masks, positions } = prefix;
    let tp = prefix.dims()[0] / b.images;
    let embed = p.get(&format!("{LM}.embed_tokens.weight"));
    let mut x = prefix;
    if b.branches > 0 {
        let n = b.ids.len();
        let ids: Tensor<2, Int> = Tensor::from_data(TensorData::new(b.ids.clone(), [1, n]), device);
        x = Tensor::cat(vec![x, module::embedding(embed, ids).reshape([n, s.hidden])], 0);
    }
    let rope = Rope::new(s, &positions, device);
    for i in 0..s.layers {
        let name = format!("{LM}.layers.{i}");
        let normed = rms_norm(p, &format!("{name}.input_layernorm"), x.clone());
        let project = |which: &str| linear(p, &format!("{name}.self_attn.{which}_proj"), normed.clone(), false);
        let scale = 1.0 / (rope.size as f32).sqrt();
        let (q, k) = (rope.apply(project("q").mul_scalar(scale)), rope.apply(project("k")));
        let mut mixed = attend(q, k, project("v"), s, b, tp, &masks);
        if i + 1 == s.layers {
            // After the last attention only the rows that are asked for matter.
            let at: Vec<i32> = b.rows.iter().map(|r| r + (b.images * tp) as i32).collect();
            let at = Tensor::<1, Int>::from_data(TensorData::new(at, [b.rows.len()]), device);
            (x, mixed) = (x.select(0, at.clone()), mixed.select(0, at));
        }
        x = x + linear(p, &format!("{name}.self_attn.o_proj"), mixed, false);
        let normed = rms_norm(p, &format!("{name}.post_attention_layernorm"), x.clone());
        let gate = linear(p, &format!("{name}.mlp.gate_proj"), normed.clone(), false);
        let up = linear(p, &format!("{name}.mlp.up_proj"), normed, false);
        let gated = gate.clone() * activation::sigmoid(gate) * up;
        x = x + linear(p, &format!("{name}.mlp.down_proj"), gated, false);
    }
    rms_norm(p, &format!("{LM}.norm"), x)
}

/// Embeds what stands before the conversations; the position of every row, theirs included.
fn prefix(p: &Leaves, s: &ModelShape, b: &DialogueBatch, device: &Device) -> Prefix {
    let (h, lead) = (s.hidden, b.lead.len());
    let embed = |ids: Vec<i32>| -> Matrix {
        let n = ids.len();
        let ids: Tensor<2, Int> = Tensor::from_data(TensorData::new(ids, [1, n]), device);
        module::embedding(p.get(&format!("{LM}.embed_tokens.weight")), ids).reshape([n, h])
    };
    let (sight, seen, lengths) = match &b.sight {
        Sight::Patches(patches) => {
            let shape = [b.images * s.patches(), 3 * s.patch_size * s.patch_size];
            let pixels = Tensor::from_data(TensorData::new(patches.clone(), shape), device);
            let features = tower::features(p, s, pixels, b.images, false).patches;
            (connect(p, features), s.patches(), vec![s.patches(); b.images])
        }
        Sight::Words(texts) => {
            let real = texts.ids.chunks(texts.length).map(|row| row.iter().filter(|&&id| id != 0).count());
            (embed(texts.ids.clone()), texts.length, real.collect())
        }
    };
    let tp = lead + seen;
    let front: Tensor<3> = embed(b.lead.clone()).reshape([1, lead, h]).expand([b.images, lead, h]);
    let rows = Tensor::cat(vec![front, sight.reshape([b.images, seen, h])], 1).reshape([b.images * tp, h]);
    let hidden = matches!(b.sight, Sight::Words(_)).then(|| {
        let hide = lengths.iter().flat_map(|&n| (0..tp).map(move |t| if t < lead + n { 0.0 } else { -1e4 }));
        Tensor::from_data(TensorData::new(hide.collect::<Vec<f32>>(), [b.images, 1, 1, tp]), device)
    });
    let mut positions: Vec<usize> = (0..b.images).flat_map(|_| 0..tp).collect();
    for n in &lengths {
        (0..b.branches).for_each(|_| positions.extend(lead + n..lead + n + b.length));
    }
    let masks = Masks { prefix: causal(tp, device), hidden, branch: causal(b.length.max(1), device) };
    Prefix { rows, masks, positions }
}

/// Logits `[rows, V]` at the batch's `rows`.
pub fn logits(p: &Leaves, s: &ModelShape, b: &DialogueBatch, device: &Device) -> Matrix {
    hidden(p, s, b, prefix(p, s, b, device), device).matmul(p.get(HEAD))
}

/// Mean cross-entropy over the answers' tokens.
pub fn loss(p: &Leaves, s: &ModelShape, b: &DialogueBatch, device: &Device) -> Tensor<1> {
    let targets = Tensor::from_data(TensorData::new(b.targets.clone(), [b.targets.len()]), device);
    cross_entropy(logits(p, s, b, device), targets)
}

//! The connector and the LLaMA decoder, over a prefix shared by several conversations.
//!
//! A batch holds `B` pictures. The prefix `<s>USER: <image>` of each (`Tp` rows) is computed once. `K` conversations
//! (`L` rows each) branch from it. Each conversation attends to the prefix and to itself only, at the positions that it
//! has without the others. The loss therefore equals that of `B · K` separate conversations, at about a third of the
//! work.

use super::layers::{PartialAttention, cross_entropy, join_heads, linear, rms_norm, split_heads};
use super::model_shape::ModelShape;
use super::params::{Leaves, Matrix, Params};
use super::tower::{self, TokenBatch};
use super::whitening;
use crate::scenes::questions::QuestionKind;
use burn::tensor::{Device, Int, Tensor, TensorData, activation, module};
use rand_chacha::ChaCha8Rng;

const LM: &str = "language_model.model";
/// The output head.
pub const HEAD: &str = "language_model.lm_head.weight";
const CONNECTOR: &str = "multi_modal_projector";

/// The input at the image position of a conversation.
#[derive(Clone)]
pub enum ImageInput {
    /// `[B · P, 3 · p · p]` pixel values by patch.
    Patches(Vec<f32>),
    /// A written description in place of the picture, padded with 0; for text pretraining.
    Description(TokenBatch),
}

/// The location of one answer in a batch.
#[derive(Debug, Clone)]
pub struct AnswerSpan {
    /// The kind of its question.
    pub kind: QuestionKind,
    /// Range of its tokens in `rows` and `targets`.
    pub span: std::ops::Range<usize>,
    /// Whether it is the last answer of its conversation; false in a chain of unrelated questions.
    pub last: bool,
}

/// A batch of `B` pictures with `K` conversations each.
#[derive(Clone)]
pub struct DialogueBatch {
    /// `B`, pictures.
    pub images: usize,
    /// `K`, conversations per picture.
    pub branches: usize,
    /// `L`, tokens per conversation, padding included.
    pub length: usize,
    /// Ids before the image position, the same for all.
    pub lead: Vec<i32>,
    /// The pictures or their descriptions.
    pub image_input: ImageInput,
    /// Ids of the conversations `[B · K · L]`, padded with 0.
    pub ids: Vec<i32>,
    /// Indices into `ids` whose next token is predicted.
    pub rows: Vec<i32>,
    /// The next token of each of `rows`.
    pub targets: Vec<i32>,
    /// The answers that `rows` and `targets` consist of.
    pub answers: Vec<AnswerSpan>,
}

/// Initializes the connector, or replaces it by a fresh one.
pub fn init_connector(p: &mut Params, s: &ModelShape, rng: &mut ChaCha8Rng) {
    let (c, h) = (s.vision_width, s.hidden);
    whitening::init(p, s);
    p.normal(format!("{CONNECTOR}.linear_1.weight"), [c, h], (c as f32).powf(-0.5), rng);
    p.constant(format!("{CONNECTOR}.linear_1.bias"), [1, h], 0.0);
    p.normal(format!("{CONNECTOR}.linear_2.weight"), [h, h], 0.5 * (h as f32).powf(-0.5), rng);
    p.constant(format!("{CONNECTOR}.linear_2.bias"), [1, h], 0.0);
}

/// Initializes the parameters of the connector and the decoder.
pub fn init(p: &mut Params, s: &ModelShape, rng: &mut ChaCha8Rng) {
    let (h, f) = (s.hidden, s.mlp);
    init_connector(p, s, rng);
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

/// Computes image embeds from image features: whitening, linear, exact GELU, linear.
///
/// # Shapes
/// `[B · P, C]` → `[B · P, H]`.
pub fn connect(p: &Leaves, features: Matrix) -> Matrix {
    let white = (features - p.get(whitening::MEAN)).matmul(p.get(whitening::BASIS));
    let hidden = activation::gelu(linear(p, &format!("{CONNECTOR}.linear_1"), white, true));
    linear(p, &format!("{CONNECTOR}.linear_2"), hidden, true)
}

/// Cosine and sine tables of the rotary embedding per row, and the matrix that swaps halves.
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
        let at: Vec<i32> = positions.iter().map(|&p| p as i32).collect();
        let at: Tensor<1, Int> = Tensor::from_data(TensorData::new(at, [positions.len()]), device);
        // A table by position, and its rows by row: only the table is made here.
        let table = |f: fn(f32) -> f32| -> Matrix {
            let by_position: Vec<f32> = (0..longest)
                .flat_map(|p| {
                    let row: Vec<f32> =
                        (0..size).map(|d| f(p as f32 * 10000f32.powf(-((d % half) as f32) / half as f32))).collect();
                    row.repeat(heads)
                })
                .collect();
            let by_position: Matrix = Tensor::from_data(TensorData::new(by_position, [longest, size * heads]), device);
            by_position.select(0, at.clone())
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

/// Attention masks: 0, or −10⁴ where a score is hidden; added to the scores.
struct Masks {
    /// Causal, over the prefix.
    prefix: Tensor<4>,
    /// Hides the padding of descriptions from the branches.
    padding: Option<Tensor<4>>,
    /// Causal, over a branch.
    branch: Tensor<4>,
}

/// Returns the causal mask of `n` rows, `[1, 1, n, n]`.
fn causal(n: usize, device: &Device) -> Tensor<4> {
    let values = (0..n * n).map(|i| if i % n > i / n { -1e4 } else { 0.0 }).collect::<Vec<f32>>();
    Tensor::from_data(TensorData::new(values, [1, 1, n, n]), device)
}

/// Computes the attention of all rows: each prefix over itself, each branch over its prefix and itself.
fn attend(q: Matrix, k: Matrix, v: Matrix, s: &ModelShape, b: &DialogueBatch, tp: usize, masks: &Masks) -> Matrix {
    let (heads, h, split) = (s.heads, s.hidden, b.images * tp);
    let total = q.dims()[0];
    let parts = |x: Matrix| (x.clone().slice([0..split, 0..h]), x.slice([split..total, 0..h]));
    let ((qp, qb), (kp, kb), (vp, vb)) = (parts(q), parts(k), parts(v));
    let (kp, vp) = (split_heads(kp, b.images, heads), split_heads(vp, b.images, heads));
    let queries = split_heads(qp, b.images, heads);
    let own = PartialAttention::new(queries, kp.clone(), vp.clone(), Some(masks.prefix.clone()));
    let prefix = join_heads(own.whole());
    if b.branches == 0 {
        return prefix;
    }
    let n = b.images * b.branches;
    let far = PartialAttention::new(split_heads(qb.clone(), b.images, heads), kp, vp, masks.padding.clone());
    let near = PartialAttention::new(
        split_heads(qb, n, heads),
        split_heads(kb, n, heads),
        split_heads(vb, n, heads),
        Some(masks.branch.clone()),
    );
    // Both come as `[.., N, .., D]` and are added as `[rows, N, D]`, each as if it had the larger of the two maxima.
    let size = h / heads;
    let rows = n * b.length;
    let flat = |x: Tensor<4>, d: usize| -> Tensor<3> { x.swap_dims(1, 2).reshape([rows, heads, d]) };
    let [far_most, near_most] = [far.most, near.most].map(|most| flat(most, 1));
    let most = far_most.clone().max_pair(near_most.clone());
    let [far_share, near_share] = [far_most, near_most].map(|own| (own - most.clone()).exp());
    let sum = flat(far.sum, size) * far_share.clone() + flat(near.sum, size) * near_share.clone();
    let total = flat(far.total, 1) * far_share + flat(near.total, 1) * near_share;
    Tensor::cat(vec![prefix, (sum / total).reshape([rows, h])], 0)
}

/// The rows before the conversations of a batch.
struct Prefix {
    rows: Matrix,
    masks: Masks,
    /// Position of every row, those of the conversations included.
    positions: Vec<usize>,
}

/// Computes the hidden states after the last norm at the batch's `rows`.
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
            // After the last attention only the requested rows are needed.
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

/// Embeds the prefixes and makes the masks and positions of all rows.
fn prefix(p: &Leaves, s: &ModelShape, b: &DialogueBatch, device: &Device) -> Prefix {
    let (h, lead) = (s.hidden, b.lead.len());
    let embed = |ids: Vec<i32>| -> Matrix {
        let n = ids.len();
        let ids: Tensor<2, Int> = Tensor::from_data(TensorData::new(ids, [1, n]), device);
        module::embedding(p.get(&format!("{LM}.embed_tokens.weight")), ids).reshape([n, h])
    };
    let (image, image_rows, lengths) = match &b.image_input {
        ImageInput::Patches(patches) => {
            let shape = [b.images * s.patches(), 3 * s.patch_size * s.patch_size];
            let pixels = Tensor::from_data(TensorData::new(patches.clone(), shape), device);
            let features = tower::features(p, s, pixels, b.images, false).patches;
            (connect(p, features), s.patches(), vec![s.patches(); b.images])
        }
        ImageInput::Description(texts) => {
            let real = texts.ids.chunks(texts.length).map(|row| row.iter().filter(|&&id| id != 0).count());
            (embed(texts.ids.clone()), texts.length, real.collect())
        }
    };
    let tp = lead + image_rows;
    let front: Tensor<3> = embed(b.lead.clone()).reshape([1, lead, h]).expand([b.images, lead, h]);
    let rows = Tensor::cat(vec![front, image.reshape([b.images, image_rows, h])], 1).reshape([b.images * tp, h]);
    let padding = matches!(b.image_input, ImageInput::Description(_)).then(|| {
        let hide = lengths.iter().flat_map(|&n| (0..tp).map(move |t| if t < lead + n { 0.0 } else { -1e4 }));
        Tensor::from_data(TensorData::new(hide.collect::<Vec<f32>>(), [b.images, 1, 1, tp]), device)
    });
    let mut positions: Vec<usize> = (0..b.images).flat_map(|_| 0..tp).collect();
    for n in &lengths {
        (0..b.branches).for_each(|_| positions.extend(lead + n..lead + n + b.length));
    }
    let masks = Masks { prefix: causal(tp, device), padding, branch: causal(b.length.max(1), device) };
    Prefix { rows, masks, positions }
}

/// Computes the logits at the batch's `rows`, `[rows, V]`.
pub fn logits(p: &Leaves, s: &ModelShape, b: &DialogueBatch, device: &Device) -> Matrix {
    hidden(p, s, b, prefix(p, s, b, device), device).matmul(p.get(HEAD))
}

/// Computes the mean cross-entropy of the batch's `targets`.
pub fn loss(p: &Leaves, s: &ModelShape, b: &DialogueBatch, device: &Device) -> Tensor<1> {
    let targets = Tensor::from_data(TensorData::new(b.targets.clone(), [b.targets.len()]), device);
    cross_entropy(logits(p, s, b, device), targets)
}

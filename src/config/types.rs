//! The checked configuration, as every later layer reads it.

use super::llava_next::most_tiles;
use serde::{Deserialize, Serialize};

/// Rows of LLaVA-1.5's context in training.
const USUAL_CONTEXT: u32 = 2048;

/// The whole model: `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Config {
    /// The vision tower.
    pub vision: VisionConfig,
    /// The decoder.
    pub text: TextConfig,
    /// The connector between the two.
    pub connector: ConnectorKind,
    /// Number of blocks of the tower that are run: `vision_feature_layer` resolved against the depth
    /// (−2 of 24 → 23 blocks). Later blocks and `post_layernorm` are never loaded.
    pub vision_blocks: u32,
    /// `default` drops the class token's row, `full` keeps it.
    pub keep_class_row: bool,
    /// Id of the `<image>` token. It marks a place and is never embedded.
    pub image_token_index: u32,
    /// The tiles of a picture, and their rows in the prompt.
    pub layout: PictureLayout,
}

/// The tiles of a picture, and the order of their rows in the prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureLayout {
    /// One tile.
    Single,
    /// Tiles with marks between them, the whole picture last (Idefics3, SmolVLM).
    Marked,
    /// The whole picture, then its tiles as one map without the rows and columns of the border; the embed
    /// `image_newline` ends each row of the map (LLaVA-1.6, "anyres").
    Anyres {
        /// `image_grid_pinpoints`: height and width of each possible map, pixels.
        candidates: Vec<[u32; 2]>,
    },
}

/// `vision_config`: CLIP or SigLIP.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VisionConfig {
    /// The kind of tower.
    pub tower: TowerKind,
    /// The features are normalised by the tower's last norm (Idefics3); elsewhere they are a block's output.
    pub post_layernorm: bool,
    /// Side of the square input, pixels.
    pub image_size: u32,
    /// Side of a patch, pixels.
    pub patch_size: u32,
    /// `C`.
    pub hidden_size: u32,
    /// MLP width.
    pub intermediate_size: u32,
    /// Blocks in the checkpoint (not all are run, see [`Config::vision_blocks`]).
    pub num_hidden_layers: u32,
    /// Attention heads.
    pub num_attention_heads: u32,
    /// LayerNorm epsilon.
    pub layer_norm_eps: f32,
    /// Activation of the MLP.
    pub hidden_act: Activation,
}

/// Kinds of vision towers. Their blocks are alike; what comes before the first one differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TowerKind {
    /// CLIP: a class row before the patches, a norm before the first block.
    Clip,
    /// SigLIP: neither of them, and a bias in the patch embedding.
    Siglip,
}

impl TowerKind {
    /// Whether a class row comes before the patches.
    pub fn has_class_row(self) -> bool {
        self == Self::Clip
    }

    /// Whether the rows are normalised before the first block.
    pub fn has_pre_norm(self) -> bool {
        self == Self::Clip
    }

    /// Whether the patch embedding has a bias.
    pub fn has_patch_bias(self) -> bool {
        self == Self::Siglip
    }
}

/// `text_config`: LLaMA, Mistral or Qwen2.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TextConfig {
    /// `H`.
    pub hidden_size: u32,
    /// `F`, the MLP width.
    pub intermediate_size: u32,
    /// Blocks.
    pub num_hidden_layers: u32,
    /// `N`, query heads.
    pub num_attention_heads: u32,
    /// Key and value heads; fewer than `N` means grouped-query attention.
    pub num_key_value_heads: u32,
    /// `D`, the size of a head.
    pub head_dim: u32,
    /// `V`.
    pub vocab_size: u32,
    /// RMSNorm epsilon.
    pub rms_norm_eps: f32,
    /// `q`, `k` and `v` have biases (Qwen2); no other matrix of the decoder has one.
    pub attention_bias: bool,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// Longest context, tokens: no longer than a sliding window, within which attention is the ordinary one.
    pub max_position_embeddings: u32,
    /// Mistral's sliding window where it is what ends the context, tokens.
    pub sliding_window: Option<u32>,
    /// The output head is the embedding table.
    pub tie_word_embeddings: bool,
    /// Token put before every prompt.
    pub bos_token_id: u32,
    /// Tokens that end an answer.
    pub eos_token_ids: Vec<u32>,
}

/// Pointwise activations of the tower's MLP and the connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x · sigmoid(1.702 x)`.
    QuickGelu,
    /// Exact: `x · Φ(x)` with erf.
    Gelu,
    /// `x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`: transformers' `gelu_pytorch_tanh`.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
}

/// Rows and columns of image embeds that [`ConnectorKind::LdpV2`] makes.
pub const LDP_V2_SIDE: u32 = 12;

/// `mm_projector_type` of the original code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectorKind {
    /// One matrix (LLaVA).
    Linear,
    /// Linear, activation, linear (LLaVA-1.5: `mlp2x_gelu`).
    Mlp2x(Activation),
    /// Squares of `factor · factor` features side by side, then one matrix without bias (Idefics3).
    PixelShuffle {
        /// Side of a square, features; it divides the side of the grid.
        factor: u32,
    },
    /// The same with GELU, then two mobile blocks, the second with stride 2 (MobileVLM: `ldpnet`).
    Ldp,
    /// The same with GELU, then pooling to 12 × 12 and a depthwise convolution (MobileVLM V2: `ldpnetv2`).
    LdpV2,
}

impl VisionConfig {
    /// Patches along a side. Pixels right of and below the last whole patch are not used.
    pub fn grid(&self) -> u32 {
        self.image_size / self.patch_size
    }

    /// `P`, patches per image.
    pub fn patches(&self) -> u32 {
        self.grid() * self.grid()
    }

    /// Rows of the tower: `P`, or `P + 1` with a class row.
    pub fn rows(&self) -> u32 {
        self.patches() + u32::from(self.tower.has_class_row())
    }

    /// Columns of the patch embedding as stored: `3·p·p` rounded up to a multiple of 32 (588 → 608), so that every
    /// weight type fits.
    pub fn patch_columns(&self) -> u32 {
        (3 * self.patch_size * self.patch_size).next_multiple_of(32)
    }

    /// Size of a head.
    pub fn head_dim(&self) -> u32 {
        self.hidden_size / self.num_attention_heads
    }
}

impl Config {
    /// Rows of the tower's features: `P`, or `P + 1` with the class row.
    pub fn feature_rows(&self) -> u32 {
        self.vision.patches() + u32::from(self.keep_class_row)
    }

    /// Whether the decoder has a learned embed for the end of a row of patches.
    pub fn has_newline(&self) -> bool {
        matches!(self.layout, PictureLayout::Anyres { .. })
    }

    /// Returns the usual context, rows: what LLaVA-1.5 was trained at, or twice that for a picture of five tiles.
    pub fn usual_context(&self) -> u32 {
        let rows = if self.has_newline() { 2 * USUAL_CONTEXT } else { USUAL_CONTEXT };
        rows.min(self.text.max_position_embeddings)
    }

    /// Returns the number of tiles whose embeds are kept for a context of `context` rows: those that fit it, and at
    /// least those of one picture.
    pub fn tile_slots(&self, context: u32) -> u32 {
        let picture = match &self.layout {
            PictureLayout::Single | PictureLayout::Marked => 1,
            PictureLayout::Anyres { candidates } => most_tiles(candidates, self.vision.image_size),
        };
        (context / self.tile_rows()).max(picture)
    }

    /// Rows of the connector's output for one tile: a picture is one tile, or several.
    pub fn tile_rows(&self) -> u32 {
        match self.connector {
            ConnectorKind::Linear | ConnectorKind::Mlp2x(_) => self.feature_rows(),
            ConnectorKind::PixelShuffle { factor } => (self.vision.grid() / factor).pow(2),
            ConnectorKind::Ldp => self.vision.grid().div_ceil(2).pow(2),
            // Whatever the tower's grid: `TokenDownLayer((12, 12))` of MobileVLM.
            ConnectorKind::LdpV2 => LDP_V2_SIDE * LDP_V2_SIDE,
        }
    }
}

/// Way of making a picture square: `preprocessor_config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SquarePolicy {
    /// Paste on a square of the mean colour, then resize, as LLaVA-1.5 does.
    Pad,
    /// Resize the shorter side, then cut out the centre: the Hugging Face default; loses the borders.
    Crop,
    /// Resize to the square, whatever the aspect: SigLIP's processors.
    Stretch,
}

//! The checked configuration, as every later layer reads it.

use serde::{Deserialize, Serialize};

/// The whole model: `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Config {
    /// The CLIP vision tower.
    pub vision: VisionConfig,
    /// The LLaMA decoder.
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
}

/// `vision_config`: CLIP.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VisionConfig {
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

/// `text_config`: LLaMA.
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
    /// The same with GELU, then two mobile blocks, the second with stride 2 (MobileVLM: `ldpnet`).
    Ldp,
    /// The same with GELU, then pooling to 12 × 12 and a depthwise convolution (MobileVLM V2: `ldpnetv2`).
    LdpV2,
}

impl VisionConfig {
    /// Patches per row and per column.
    pub fn grid(&self) -> u32 {
        self.image_size / self.patch_size
    }

    /// `P`, patches per image.
    pub fn patches(&self) -> u32 {
        self.grid() * self.grid()
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

    /// Rows of the connector's output for one tile: a picture is one tile, or several.
    pub fn tile_rows(&self) -> u32 {
        match self.connector {
            ConnectorKind::Linear | ConnectorKind::Mlp2x(_) => self.feature_rows(),
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
}

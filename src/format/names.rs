//! Which tensors a configuration needs: names, shapes, roles, in the order in which inference uses them.
//!
//! Canonical names are those of the llava-hf files on the hub. They are the names in manifests, in errors and in the
//! loader. A family of models has one file here: [`llava`] lists its tensors and translates every other spelling. The
//! fields of its configuration have one file in `src/config/`.

mod expected;
pub mod ldp;
pub mod llava;
mod matched;

pub use expected::{Component, Expected, Role, group};
pub use llava::{
    CONNECTOR, DECODER, EMBED_TOKENS, LM_HEAD, PATCH_EMBEDDING, VISION_TOWER, canonical, expected, is_clip_text,
    is_skipped,
};
pub use matched::{Found, Holder, matched, without_unit_sides};

//! Which tensors a configuration needs: names, shapes, roles, in the order in which inference uses them.
//!
//! Canonical names are those of the llava-hf files on the hub. They are the names in manifests, in errors and in the
//! loader. A family of models has one file here: [`llava`] lists the tensors and translates LLaVA's other spellings,
//! `idefics3` those of Idefics3. The fields of its configuration have one file in `src/config/`.

mod expected;
mod idefics3;
pub mod ldp;
pub mod llava;
mod matched;

pub use expected::{Component, Expected, Role, group};
pub use llava::{
    CONNECTOR, DECODER, EMBED_TOKENS, LM_HEAD, PATCH_EMBEDDING, VISION_TOWER, expected, is_clip_text, is_skipped,
};
pub use matched::{Found, Holder, matched, without_unit_sides};

/// Returns the canonical name of a checkpoint's key, whatever its family. A key of no known layout is returned
/// unchanged: the check of tensors refuses it.
pub fn canonical(key: &str) -> String {
    idefics3::canonical(key).unwrap_or_else(|| llava::canonical(key))
}

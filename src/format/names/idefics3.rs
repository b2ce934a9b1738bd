//! Idefics3 and SmolVLM: their spellings of the canonical names.

use super::llava::{CONNECTOR, DECODER, VISION_TOWER};

/// Prefix in a checkpoint → prefix of the canonical name.
///
/// # Source
/// `Idefics3ForConditionalGeneration` and `SmolVLMForConditionalGeneration` of transformers, as 5.23.0 saves them and
/// as the published SmolVLM-500M has them. `lm_head.weight` is spelled as in LLaVA.
const PREFIXES: [(&str, &str); 3] = [
    ("model.text_model.", DECODER),
    ("model.vision_model.", VISION_TOWER),
    ("model.connector.modality_projection.proj.", CONNECTOR),
];

/// Returns the canonical name of a key; `None` where the key is not Idefics3's own.
pub(super) fn canonical(key: &str) -> Option<String> {
    let (rest, ours) = PREFIXES.iter().find_map(|(theirs, ours)| Some((key.strip_prefix(theirs)?, *ours)))?;
    let layer = if ours == CONNECTOR { "linear_1." } else { "" };
    Some(format!("{ours}{layer}{rest}"))
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::format::names::{Component, Expected, LM_HEAD, PATCH_EMBEDDING, Role, canonical, expected, is_skipped};

    fn config(json: &str) -> Config {
        Config::parse(json.as_bytes(), None).unwrap()
    }

    /// SmolVLM-500M-Instruct: 489 tensors. The published mmproj has 108 783 360 bytes: these as Q8_0, patch embedding,
    /// positions and vectors as f32, and a header of 13 056 bytes.
    #[test]
    fn smolvlm_500m_has_its_published_size() {
        let config = config(
            r#"{"model_type": "idefics3", "scale_factor": 4, "image_token_id": 49190,
                "vision_config": {"hidden_size": 768, "num_attention_heads": 12, "image_size": 512, "patch_size": 16},
                "text_config": {"hidden_size": 960, "intermediate_size": 2560, "num_hidden_layers": 32,
                    "num_attention_heads": 15, "num_key_value_heads": 5, "vocab_size": 49280}}"#,
        );
        let list = expected(&config);
        assert_eq!(list.len(), 489);
        assert!(list.windows(2).all(|w| w[0].component <= w[1].component), "in order of use");
        let bytes = |e: &&Expected| match e.role {
            Role::Matrix if e.name != PATCH_EMBEDDING => e.parameters() / 32 * 34,
            _ => e.parameters() * 4,
        };
        let mmproj: u64 = list.iter().filter(|e| e.component <= Component::Connector).map(|e| bytes(&e)).sum();
        assert_eq!(mmproj, 108_783_360 - 13_056);
        assert_eq!((config.vision.patches(), config.tile_rows()), (1024, 64));
        // SigLIP's pooling is in some files and is not run; a norm before the blocks belongs to another tower.
        assert!(is_skipped(&config, "vision_tower.vision_model.head.attention.in_proj_weight"));
        assert!(!is_skipped(&config, "vision_tower.vision_model.pre_layrnorm.weight"));
    }

    #[test]
    fn the_names_of_transformers_become_canonical() {
        for (key, name) in [
            ("model.text_model.layers.3.mlp.up_proj.weight", "language_model.model.layers.3.mlp.up_proj.weight"),
            ("model.text_model.embed_tokens.weight", "language_model.model.embed_tokens.weight"),
            ("model.vision_model.post_layernorm.bias", "vision_tower.vision_model.post_layernorm.bias"),
            (
                "model.vision_model.embeddings.patch_embedding.bias",
                "vision_tower.vision_model.embeddings.patch_embedding.bias",
            ),
            ("model.connector.modality_projection.proj.weight", "multi_modal_projector.linear_1.weight"),
            ("lm_head.weight", LM_HEAD),
            ("model.connector.other.weight", "model.connector.other.weight"),
        ] {
            assert_eq!(canonical(key), name);
        }
    }
}

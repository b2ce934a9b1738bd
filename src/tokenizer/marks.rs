//! Special tokens that chat templates put around turns.

/// Every special token of the prompt templates. In typed text none of them becomes a special token.
pub const MARKS: [&str; 15] = [
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
    "<end_of_utterance>",
    "<fake_token_around_image>",
    "<global-img>",
    "<|system|>",
    "[INST]",
    "[/INST]",
    END_OF_TEXT,
];
/// The end of an answer of LLaMA's line, Vicuna and Mistral among them.
pub(crate) const END_OF_TEXT: &str = "</s>";

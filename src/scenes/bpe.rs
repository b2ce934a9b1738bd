//! The byte-level BPE tokenizer of the small model, trained on generated conversations.
//!
//! The file is Hugging Face's `tokenizer.json`. All 256 bytes are in the vocabulary, so every text has
//! ids. Words of the questions are mostly one token each.

use super::drawn::training_scene;
use super::questions::{self, QuestionKind};
use super::scene::{TRAIN_SEED, scene_rng};
use crate::error::{Error, Kind, Result};
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

/// `V`: special tokens, bytes and merges; a multiple of 32.
pub const VOCAB_SIZE: usize = 640;
/// Id of the unknown token, which also pads.
pub const UNK: u32 = 0;
/// Id of the token that begins every prompt.
pub const BOS: u32 = 1;
/// Id of the token that ends every answer.
pub const EOS: u32 = 2;
/// Id of the token at the image position; it is never embedded.
pub const IMAGE: u32 = 3;
/// The special tokens, in the order of their ids.
pub const SPECIALS: [&str; 4] = ["<unk>", "<s>", "</s>", "<image>"];

fn error(e: impl std::fmt::Display) -> Error {
    Error::new(Kind::Tokenizer, "tokenizer", e.to_string())
}

/// Trains the tokenizer on conversations about `scenes` scenes of the training seed.
///
/// # Errors
/// [`Kind::Tokenizer`] when the library returns an error.
pub fn train(seed: u64, scenes: u64) -> Result<Tokenizer> {
    let mut lines = Vec::new();
    for i in 0..scenes {
        let mut rng = scene_rng(TRAIN_SEED | seed, i);
        let scene = training_scene(&mut rng);
        for kind in QuestionKind::ALL {
            if let Some(conversation) = questions::conversation(&scene, kind, &mut rng) {
                for turn in conversation.turns {
                    lines.push(format!("USER: \n{} ASSISTANT: {}", turn.question, turn.answer));
                }
            }
        }
    }
    let specials = SPECIALS.map(|s| AddedToken::from(s, true)).to_vec();
    let mut trainer: tokenizers::models::TrainerWrapper = BpeTrainerBuilder::new()
        .vocab_size(VOCAB_SIZE)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(specials.clone())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build()
        .into();
    let model = BPE::builder().unk_token("<unk>".to_owned()).build().map_err(error)?;
    let mut tokenizer = Tokenizer::new(model);
    let bytes = ByteLevel::default().add_prefix_space(false);
    tokenizer.with_pre_tokenizer(Some(bytes));
    tokenizer.with_decoder(Some(bytes));
    tokenizer.train(&mut trainer, lines.into_iter()).map_err(error)?;
    tokenizer.add_special_tokens(specials).map_err(error)?;
    Ok(tokenizer)
}

/// Tokenizes one segment of a prompt, without special tokens.
///
/// # Errors
/// [`Kind::Tokenizer`] when the library returns an error.
pub fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
    Ok(tokenizer.encode(text, false).map_err(error)?.get_ids().to_vec())
}

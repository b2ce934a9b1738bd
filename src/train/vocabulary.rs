//! The byte-level BPE tokenizer, trained on generated text.
//!
//! The file is Hugging Face's `tokenizer.json`. All 256 bytes are in the vocabulary, so any text a person
//! types has ids; words that the scenes use are mostly one token each.

use super::questions::{self, Kind};
use super::scenes::{TRAIN_SEED, sample, scene_rng};
use crate::error::{Error, Kind as ErrorKind, Result};
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

/// `V`: specials, bytes and merges; a multiple of 32.
pub const SIZE: usize = 640;
/// Also pads.
pub const UNK: u32 = 0;
/// Begins every prompt.
pub const BOS: u32 = 1;
/// Ends every answer.
pub const EOS: u32 = 2;
/// Marks the picture's place; never embedded.
pub const IMAGE: u32 = 3;
/// The special tokens, in the order of their ids.
pub const SPECIALS: [&str; 4] = ["<unk>", "<s>", "</s>", "<image>"];

fn error(e: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Tokenizer, "tokenizer", e.to_string())
}

/// Trains the tokenizer on conversations about `scenes` scenes of the training seed.
///
/// # Errors
/// [`ErrorKind::Tokenizer`] when the library refuses.
pub fn train(seed: u64, scenes: u64) -> Result<Tokenizer> {
    let mut lines = Vec::new();
    for i in 0..scenes {
        let mut rng = scene_rng(TRAIN_SEED | seed, i);
        let scene = sample(&mut rng);
        for kind in Kind::ALL {
            if let Some(conversation) = questions::conversation(&scene, kind, &mut rng) {
                for turn in conversation.turns {
                    lines.push(format!("USER: \n{} ASSISTANT: {}", turn.question, turn.answer));
                }
            }
        }
    }
    let specials = SPECIALS.map(|s| AddedToken::from(s, true)).to_vec();
    let mut trainer: tokenizers::models::TrainerWrapper = BpeTrainerBuilder::new()
        .vocab_size(SIZE)
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

/// Ids of one segment of a prompt; never a special token.
///
/// # Errors
/// [`ErrorKind::Tokenizer`] when the library refuses.
pub fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
    Ok(tokenizer.encode(text, false).map_err(error)?.get_ids().to_vec())
}

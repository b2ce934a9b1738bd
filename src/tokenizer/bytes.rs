//! The bytes of a token.

use super::Tokenizer;
use tokenizers::DecoderWrapper;

impl Tokenizer {
    /// Returns a token's text as bytes, which may be a part of a character. The bytes of all tokens of a text in order
    /// are those of the text; LLaMA's tokenizer puts a space before it. A special token has the bytes of its spelling, an
    /// id without a token none.
    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        let Some(token) = self.read_as(id).and_then(|id| self.inner.id_to_token(id)) else { return Vec::new() };
        if self.inner.get_added_tokens_decoder().contains_key(&id) {
            return token.into_bytes();
        }
        if self.inner.get_decoder().is_some_and(is_byte_level) {
            return letters_as_bytes(&token).unwrap_or_else(|| token.into_bytes());
        }
        match token.get(3..5).filter(|_| self.is_byte(id)).map(|digits| u8::from_str_radix(digits, 16)) {
            Some(Ok(byte)) => vec![byte],
            _ => token.replace('▁', " ").into_bytes(),
        }
    }
}

fn is_byte_level(decoder: &DecoderWrapper) -> bool {
    match decoder {
        DecoderWrapper::ByteLevel(_) => true,
        DecoderWrapper::Sequence(steps) => steps.get_decoders().iter().any(is_byte_level),
        _ => false,
    }
}

/// Returns the bytes that the letters of a byte-level vocabulary stand for; `None` where a letter stands for none.
fn letters_as_bytes(token: &str) -> Option<Vec<u8>> {
    // GPT-2 writes printable bytes of Latin-1 as themselves, and the n-th of the others as U+0100 + n.
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let byte = |letter: char| match u32::from(letter) {
        code @ 0..0x100 => Some(code as u8).filter(|byte| printable(*byte)),
        code => (0..=255u8).filter(|byte| !printable(*byte)).nth((code - 0x100) as usize),
    };
    token.chars().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use crate::tokenizer::tests::{byte_level, llama_like};
    use proptest::prelude::*;

    #[test]
    fn special_tokens_have_their_spelling() {
        let (llama, level) = (llama_like(), byte_level());
        assert_eq!(level.token_bytes(level.eos()), b"</s>");
        assert_eq!(llama.token_bytes(llama.image()), b"<image>");
        assert_eq!(llama.token_bytes(1 << 30), b"");
    }

    proptest! {
        #[test]
        fn bytes_of_tokens_are_those_of_the_text(text in "[a-i €é😀\n\u{7f}\u{ad}]{0,16}") {
            let bytes = |t: &crate::tokenizer::Tokenizer| -> Vec<u8> {
                t.encode_text(&text).unwrap().iter().flat_map(|id| t.token_bytes(*id)).collect()
            };
            prop_assert_eq!(bytes(&byte_level()), text.as_bytes());
            let with_space = if text.is_empty() { String::new() } else { format!(" {text}") };
            prop_assert_eq!(bytes(&llama_like()), with_space.as_bytes());
        }
    }
}

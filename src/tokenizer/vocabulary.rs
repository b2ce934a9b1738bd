//! The vocabulary as a grammar needs it: the bytes of every token.

use super::Tokenizer;
use tokenizers::DecoderWrapper;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;

impl Tokenizer {
    /// Packs the bytes that each token adds to an answer, none for those without text, and the tokens `ends` that end
    /// one.
    ///
    /// Layout, little-endian: u32 tokens, u32 ends, u32 [`drops_first_space`](Self::drops_first_space), the ends as
    /// u32, then each token as u16 length and bytes. `src/grammar/vocabulary.rs` parses it.
    pub fn pack_vocabulary(&self, ends: &[u32]) -> Vec<u8> {
        let ends: Vec<u32> = ends.iter().copied().filter(|id| *id < self.vocab_size).collect();
        let header = [self.vocab_size, ends.len() as u32, self.drops_first_space().into()];
        let mut packed: Vec<u8> = header.iter().chain(&ends).flat_map(|number| number.to_le_bytes()).collect();
        for id in 0..self.vocab_size {
            let bytes = if self.is_silent(id) { Vec::new() } else { self.token_bytes(id) };
            // A longer text is none that an answer would have.
            let length = u16::try_from(bytes.len()).unwrap_or(0);
            packed.extend(length.to_le_bytes());
            packed.extend(&bytes[..length.into()]);
        }
        packed
    }

    /// Whether the text of an answer lacks the space that its first token begins with, as in LLaMA's tokenizers.
    pub fn drops_first_space(&self) -> bool {
        fn drops(decoder: &DecoderWrapper) -> bool {
            match decoder {
                DecoderWrapper::Strip(strip) => strip.content == ' ' && strip.start > 0,
                DecoderWrapper::Metaspace(metaspace) => metaspace.prepend_scheme != PrependScheme::Never,
                DecoderWrapper::Sequence(steps) => steps.get_decoders().iter().any(drops),
                _ => false,
            }
        }
        self.inner.get_decoder().is_some_and(drops)
    }
}

#[cfg(test)]
mod tests {
    use crate::tokenizer::Tokenizer;
    use crate::tokenizer::tests::{byte_level, llama_like};

    /// Returns the header and the tokens of a packed vocabulary.
    fn unpack(packed: &[u8]) -> (Vec<u32>, Vec<Vec<u8>>) {
        let number = |at: usize| u32::from_le_bytes(packed[at..at + 4].try_into().unwrap());
        let header: Vec<u32> = (0..3 + number(4) as usize).map(|i| number(4 * i)).collect();
        let (mut tokens, mut at) = (Vec::new(), 4 * header.len());
        while at < packed.len() {
            let end = at + 2 + usize::from(u16::from_le_bytes([packed[at], packed[at + 1]]));
            tokens.push(packed[at + 2..end].to_vec());
            at = end;
        }
        (header, tokens)
    }

    fn check(tokenizer: &Tokenizer, drops: bool) {
        let (header, tokens) = unpack(&tokenizer.pack_vocabulary(&[tokenizer.eos(), 1 << 30]));
        assert_eq!(
            header,
            [tokenizer.vocab_size, 1, drops.into(), tokenizer.eos()],
            "an end without a token is left out"
        );
        assert_eq!(tokens.len(), tokenizer.vocab_size as usize);
        for special in [tokenizer.bos(), tokenizer.eos(), tokenizer.image()] {
            assert!(tokens[special as usize].is_empty(), "{special} is no text");
        }
        let ids = tokenizer.encode_text("ab é€ <s>").unwrap();
        let text: Vec<u8> = ids.iter().flat_map(|id| tokens[*id as usize].clone()).collect();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(if drops { &text[1..] } else { &text }, tokenizer.decode(&ids));
    }

    #[test]
    fn a_packed_vocabulary_spells_what_is_decoded() {
        check(&llama_like(), true);
        check(&byte_level(), false);
    }
}

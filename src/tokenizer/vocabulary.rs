//! The bytes of each token, for constraints on answers.

use super::Tokenizer;
use serde_json::Value;
use std::collections::HashMap;

/// A step of a decoder, as far as one token's bytes depend on it.
enum Step {
    /// A text is replaced by another.
    Replace(String, String),
    /// `<0x41>` is a byte.
    ByteFallback,
    /// Each letter stands for a byte.
    ByteLevel,
}

impl Tokenizer {
    /// Returns the bytes that each token of the vocabulary adds to an answer; empty for those without text. The first
    /// token of an answer may lose a space ([`drops_first_space`](Self::drops_first_space)).
    pub fn token_bytes(&self) -> Vec<Vec<u8>> {
        let steps = self.decoder_steps();
        let letters = byte_letters();
        let bytes = |id: u32| -> Option<Vec<u8>> {
            let text = self.inner.id_to_token(self.read_as(id).filter(|_| !self.is_silent(id))?)?;
            Some(steps.iter().fold(text.into_bytes(), |bytes, step| step.apply(bytes, &letters)))
        };
        (0..self.vocab_size).map(|id| bytes(id).unwrap_or_default()).collect()
    }

    /// Whether the text of an answer lacks the space that its first token begins with, as in LLaMA's tokenizers.
    pub fn drops_first_space(&self) -> bool {
        let drops = |step: &Value| match step["type"].as_str() {
            Some("Strip") => step["content"] == " " && step["start"].as_u64() > Some(0),
            Some("Metaspace") => step["prepend_scheme"] != "never",
            _ => false,
        };
        self.decoders().iter().any(drops)
    }

    /// Packs the bytes of each token for a grammar, with the tokens `ends` that end an answer.
    ///
    /// Layout, little-endian: u32 tokens, u32 ends, u32 [`drops_first_space`](Self::drops_first_space), the ends as
    /// u32, then each token as u16 length and bytes. `src/grammar/vocabulary.rs` parses it.
    pub fn pack_vocabulary(&self, ends: &[u32]) -> Vec<u8> {
        let ends: Vec<u32> = ends.iter().copied().filter(|id| *id < self.vocab_size).collect();
        let header = [self.vocab_size, ends.len() as u32, self.drops_first_space().into()];
        let mut packed: Vec<u8> = header.iter().chain(&ends).flat_map(|number| number.to_le_bytes()).collect();
        for token in self.token_bytes() {
            // A longer text is none that an answer would have.
            let length = u16::try_from(token.len()).unwrap_or(0);
            packed.extend(length.to_le_bytes());
            packed.extend(&token[..length.into()]);
        }
        packed
    }

    /// Returns the steps of the decoder, as JSON.
    fn decoders(&self) -> Vec<Value> {
        let decoder = self.inner.get_decoder().and_then(|decoder| serde_json::to_value(decoder).ok());
        let mut waiting: Vec<Value> = decoder.into_iter().collect();
        let mut steps = Vec::new();
        while let Some(mut step) = waiting.pop() {
            match step["decoders"].take() {
                Value::Array(inner) => waiting.extend(inner.into_iter().rev()),
                _ => steps.push(step),
            }
        }
        steps
    }

    fn decoder_steps(&self) -> Vec<Step> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let step = |step: Value| match step["type"].as_str()? {
            "Replace" => Some(Step::Replace(text(&step["pattern"]["String"])?, text(&step["content"])?)),
            "Metaspace" => Some(Step::Replace(text(&step["replacement"])?, " ".into())),
            "ByteFallback" => Some(Step::ByteFallback),
            "ByteLevel" => Some(Step::ByteLevel),
            _ => None,
        };
        self.decoders().into_iter().filter_map(step).collect()
    }
}

impl Step {
    fn apply(&self, bytes: Vec<u8>, letters: &HashMap<char, u8>) -> Vec<u8> {
        // Only a byte of ByteFallback, which nothing follows that changes it, is no text.
        let Ok(text) = std::str::from_utf8(&bytes) else { return bytes };
        match self {
            Step::Replace(from, _) if from.is_empty() => bytes,
            Step::Replace(from, to) => text.replace(from.as_str(), to).into_bytes(),
            Step::ByteFallback => {
                let digits = text.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
                let byte = digits.filter(|digits| digits.len() == 2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
                byte.map_or(bytes, |byte| vec![byte])
            }
            // A token with another letter is text as it is.
            Step::ByteLevel => text.chars().map(|letter| letters.get(&letter).copied()).collect::<Option<_>>().unwrap_or(bytes),
        }
    }
}

/// Returns the byte that each letter of byte-level tokens stands for: printable bytes themselves, and the letters from
/// U+0100 on for the others, in order. Source: GPT-2's `bytes_to_unicode`.
fn byte_letters() -> HashMap<char, u8> {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let others = (0..=255u8).filter(|byte| !printable(byte)).zip('\u{100}'..).map(|(byte, letter)| (letter, byte));
    (0..=255u8).filter(printable).map(|byte| (char::from(byte), byte)).chain(others).collect()
}

//! `tokenizer.model`: a SentencePiece vocabulary, which original LLaVA checkpoints have in place of tokenizer.json.
//!
//! It becomes the metadata of a GGUF file, which hold the same: pieces, scores and kinds. Only the list of pieces is
//! read. Text is normalised in LLaMA's way, as for every model that has such a file.
//!
//! # Source
//! `sentencepiece_model.proto`: `ModelProto.pieces = 1 { piece = 1, score = 2, type = 3 }`; the wire format of
//! Protocol Buffers.

use crate::error::Result;
use crate::format::gguf::{Gguf, Strings, Value};
use crate::{ensure, fail};
use std::collections::BTreeMap;

const FILE: &str = "tokenizer.model";
/// Most pieces.
const MAX_PIECES: usize = 1 << 20;

/// Parses the file into the `tokenizer.ggml.*` metadata that a GGUF file would have.
///
/// # Errors
/// [`Kind::Tokenizer`](crate::error::Kind::Tokenizer) for what is no such file.
pub fn parse(bytes: &[u8]) -> Result<Gguf> {
    let (mut tokens, mut scores, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = bytes;
    while !rest.is_empty() {
        let (field, value) = field(&mut rest)?;
        let (1, Field::Bytes(mut piece)) = (field, value) else { continue };
        ensure!(tokens.len() < MAX_PIECES, Tokenizer, FILE, "has more than {MAX_PIECES} pieces");
        // protobuf leaves out what has its default: an empty text, 0, NORMAL.
        let (mut text, mut score, mut kind) = ("", 0f32, 1i32);
        while !piece.is_empty() {
            match self::field(&mut piece)? {
                (1, Field::Bytes(bytes)) => match std::str::from_utf8(bytes) {
                    Ok(utf8) => text = utf8,
                    Err(_) => fail!(Tokenizer, FILE, "piece {} is no UTF-8", tokens.len()),
                },
                (2, Field::Fixed(bits)) => score = f32::from_bits(bits),
                (3, Field::Int(n)) if (1..=6).contains(&n) => kind = n as i32,
                _ => {}
            }
        }
        tokens.push(text);
        scores.push(score);
        kinds.push(kind);
    }
    ensure!(!tokens.is_empty(), Tokenizer, FILE, "holds no pieces: it is no SentencePiece model");
    let mut metadata = BTreeMap::new();
    let mut put = |key: &str, value: Value| drop(metadata.insert(format!("tokenizer.ggml.{key}"), value));
    put("model", "llama".into());
    put("tokens", Value::Strings(tokens.into_iter().collect::<Strings>()));
    put("scores", scores.as_slice().into());
    put("token_type", kinds.as_slice().into());
    Ok(Gguf { metadata, tensors: Vec::new() })
}

/// A field's value in the wire format.
enum Field<'a> {
    Int(u64),
    Fixed(u32),
    Bytes(&'a [u8]),
    Skipped,
}

/// Takes the next field off `rest`.
fn field<'a>(rest: &mut &'a [u8]) -> Result<(u64, Field<'a>)> {
    let tag = varint(rest)?;
    let value = match tag & 7 {
        0 => Field::Int(varint(rest)?),
        1 => {
            take(rest, 8)?;
            Field::Skipped
        }
        2 => {
            let length = varint(rest)?;
            Field::Bytes(take(rest, length)?)
        }
        5 => Field::Fixed(take(rest, 4)?.try_into().map_or(0, u32::from_le_bytes)),
        other => fail!(Tokenizer, FILE, "wire type {other}: it is no SentencePiece model"),
    };
    Ok((tag >> 3, value))
}

fn varint(rest: &mut &[u8]) -> Result<u64> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        n |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Ok(n);
        }
    }
    fail!(Tokenizer, FILE, "a number of more than 64 bits: it is no SentencePiece model")
}

fn take<'a>(rest: &mut &'a [u8], count: u64) -> Result<&'a [u8]> {
    ensure!(count <= rest.len() as u64, Tokenizer, FILE, "ends early: {count} bytes are wanted, {} there", rest.len());
    let (taken, left) = rest.split_at(count as usize);
    *rest = left;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A `ModelProto` of these pieces, with fields that are skipped around them.
    fn model(pieces: &[(&str, f32, u8)]) -> Vec<u8> {
        let mut bytes = vec![(2 << 3) | 2, 3, 9, 9, 9];
        for (text, score, kind) in pieces {
            let mut piece = vec![(1 << 3) | 2, text.len() as u8];
            piece.extend(text.as_bytes());
            piece.push((2 << 3) | 5);
            piece.extend(score.to_le_bytes());
            if *kind != 1 {
                piece.extend([3 << 3, *kind]);
            }
            bytes.extend([(1 << 3) | 2, piece.len() as u8]);
            bytes.extend(piece);
        }
        bytes.extend([(5 << 3) | 1, 0, 0, 0, 0, 0, 0, 0, 0, 6 << 3, 0x80, 1]);
        bytes
    }

    #[test]
    fn pieces_become_what_a_gguf_file_would_say() {
        let parsed = parse(&model(&[("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("▁a", -1.5, 1)])).unwrap();
        let Value::Strings(tokens) = &parsed.metadata["tokenizer.ggml.tokens"] else { panic!() };
        assert_eq!(tokens.iter().collect::<Vec<_>>(), ["<unk>", "<s>", "▁a"]);
        for (key, wanted) in [("scores", [0.0, 0.0, -1.5]), ("token_type", [2.0, 3.0, 1.0])] {
            let Value::Numbers(numbers) = &parsed.metadata[&format!("tokenizer.ggml.{key}")] else { panic!() };
            assert_eq!(numbers.iter().collect::<Vec<_>>(), wanted);
        }
    }

    #[test]
    fn what_is_no_model_is_refused() {
        let whole = model(&[("a", 0.0, 1)]);
        for bytes in [&[][..], b"{}", &whole[..whole.len() - 1], &[0xff; 12], &[10, 0xff, 0xff, 0xff, 0xff, 15]] {
            assert_eq!(parse(bytes).unwrap_err().kind, crate::error::Kind::Tokenizer, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }
    }
}

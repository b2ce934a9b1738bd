//! A stand-in mmproj, so that the reader of GGUF pairs reads a decoder alone.

use crate::error::{Error, Kind, Result};
use crate::format::gguf::write::{TensorSpec, file};
use crate::format::gguf::{Parsed, parse};
use crate::format::source::{Source, exactly};
use crate::native::Folder;
use crate::quant::Encoding;

/// Name of the file that [`Pair`] adds to a folder.
pub const MMPROJ: &str = "mmproj-stand-in.gguf";

/// A folder, and an mmproj in memory.
pub struct Pair {
    /// The folder.
    pub folder: Folder,
    /// The mmproj's bytes.
    pub mmproj: Vec<u8>,
}

impl Source for Pair {
    async fn size(&self, name: &str) -> Result<Option<u64>> {
        if name == MMPROJ { Ok(Some(self.mmproj.len() as u64)) } else { self.folder.size(name).await }
    }

    async fn read(&self, name: &str, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        if name != MMPROJ {
            return self.folder.read(name, offset, bytes).await;
        }
        let range = offset as usize..(offset + bytes) as usize;
        self.mmproj.get(range).map(<[u8]>::to_vec).ok_or_else(|| Error::new(Kind::Io, MMPROJ, "ends early"))
    }
}

/// Reads the width of a GGUF's embedding table.
pub async fn width_of(folder: &Folder, name: &str) -> Result<u32> {
    let size = folder.size(name).await?.ok_or_else(|| Error::new(Kind::Io, name, "is not there"))?;
    let mut wanted = size.min(1 << 20);
    loop {
        match parse(&exactly(folder, name, 0, wanted).await?, size)? {
            Parsed::More(least) => wanted = least,
            Parsed::Header(header) => {
                let table = header.tensors.iter().find(|t| t.name == "token_embd.weight");
                let width = table.and_then(|t| t.shape.last().copied());
                return width.ok_or_else(|| Error::new(Kind::Tensor, name, "has no embedding table"));
            }
        }
    }
}

/// Makes the smallest mmproj of a CLIP whose connector has `width` outputs.
pub fn stand_in_mmproj(width: u32) -> Result<Vec<u8>> {
    let (c, p) = (32, 8);
    let mut tensors = vec![
        ("v.class_embd".to_owned(), vec![c]),
        ("v.patch_embd.weight".to_owned(), vec![c, 3, p, p]),
        ("v.position_embd.weight".to_owned(), vec![2, c]),
        ("mm.0.weight".to_owned(), vec![width, c]),
        ("mm.0.bias".to_owned(), vec![width]),
        ("mm.2.weight".to_owned(), vec![width, width]),
        ("mm.2.bias".to_owned(), vec![width]),
    ];
    for (stem, shape) in [
        ("v.pre_ln", vec![c]),
        ("v.blk.0.ln1", vec![c]),
        ("v.blk.0.ln2", vec![c]),
        ("v.blk.0.attn_q", vec![c, c]),
        ("v.blk.0.attn_k", vec![c, c]),
        ("v.blk.0.attn_v", vec![c, c]),
        ("v.blk.0.attn_out", vec![c, c]),
        ("v.blk.0.ffn_up", vec![c, c]),
        ("v.blk.0.ffn_down", vec![c, c]),
    ] {
        tensors.push((format!("{stem}.weight"), shape));
        tensors.push((format!("{stem}.bias"), vec![c]));
    }
    let specs: Vec<TensorSpec> =
        tensors.into_iter().map(|(name, shape)| TensorSpec { name, encoding: Encoding::F16, shape }).collect();
    let mut metadata = vec![("general.architecture".to_owned(), "clip".into())];
    for key in ["has_vision_encoder", "has_llava_projector"] {
        metadata.push((format!("clip.{key}"), true.into()));
    }
    metadata.push(("clip.projector_type".to_owned(), "mlp".into()));
    for (key, value) in [("image_size", p), ("patch_size", p), ("attention.head_count", 1u32), ("block_count", 1)] {
        metadata.push((format!("clip.vision.{key}"), value.into()));
    }
    file(&metadata, &specs, |spec| vec![0; spec.bytes().unwrap_or(0) as usize])
}

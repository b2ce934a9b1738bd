//! Where the answer looks: the attention of the rows that chose its tokens, over the pictures of the prompt.
//!
//! A token is chosen by the row before it, and its map is that row's attention: the mean over the heads, for each
//! layer. The row before the first token is the last row of the prompt, which is computed as a step for that purpose.
//! Tokens that an answer begins with have maps too, so that an answer without maps gets them by a repetition in which
//! nothing is sampled.

use super::cache::Row;
use super::picture_table::Picture;
use super::{Answer, Engine, Event, Observer, Prefilled};
use crate::device::Readback;
use crate::error::Result;
use crate::preprocess::Region;
use crate::tokenizer::StreamDecoder;
use serde::{Serialize, Serializer};

/// A picture of a prompt, and the rectangle that each of its rows stands for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttentionPicture {
    /// SHA-256 of the file, by which messages name the picture.
    pub id: String,
    /// Width of the upright picture, pixels.
    pub width: u32,
    /// Height of the upright picture, pixels.
    pub height: u32,
    /// Positions of its rows in the context.
    pub positions: Vec<u32>,
    /// The rectangles of its rows, in the order of the rows. Tiles overlap the whole picture, where there are several;
    /// and rectangles reach beyond it, where it has a border.
    pub regions: Vec<Region>,
}

/// The attention by which a token was chosen. For each layer, `weights` and `rest` sum to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenAttention {
    /// Index of the token, counted from the first of the answer; those that the answer begins with included.
    pub index: u32,
    /// The token.
    pub id: u32,
    /// Text that it adds to the answer: whole characters, perhaps none.
    pub text: String,
    /// `L`, number of layers.
    pub layers: u32,
    /// `[L, P]`: the weights of the picture rows, those of the first picture first. In JavaScript, the bytes of 32-bit
    /// floats.
    #[serde(serialize_with = "as_bytes")]
    pub weights: Vec<f32>,
    /// `[L]`: the sum of the weights of all other rows.
    pub rest: Vec<f32>,
}

fn as_bytes<S: Serializer>(floats: &[f32], to: S) -> std::result::Result<S::Ok, S::Error> {
    to.serialize_bytes(bytemuck::cast_slice(floats))
}

/// A token of an answer.
pub(super) struct Chosen {
    /// Index in the answer.
    pub index: usize,
    pub id: u32,
    /// Text that it adds.
    pub text: String,
}

impl Chosen {
    /// The next token of an answer.
    pub fn new(answer: &Answer, id: u32, text: &str) -> Self {
        Self { index: answer.ids.len(), id, text: text.into() }
    }
}

/// The pictures of a prompt, whose attention is reported.
#[derive(Default)]
pub(super) struct PictureRows {
    list: Vec<AttentionPicture>,
    /// The attention by which the first sampled token is chosen, on its way to the host.
    pub first: Option<Readback>,
}

impl PictureRows {
    /// Lists the positions of all their rows.
    fn positions(&self) -> Vec<usize> {
        self.list.iter().flat_map(|picture| &picture.positions).map(|position| *position as usize).collect()
    }
}

impl TokenAttention {
    /// Reads the weights `[rows, L]` of a step.
    fn new(token: Chosen, weights: &[f32], layers: u32, pictures: &PictureRows) -> Self {
        let l = layers as usize;
        let mut all = vec![0f64; l];
        for row in weights.chunks_exact(l) {
            all.iter_mut().zip(row).for_each(|(sum, weight)| *sum += f64::from(*weight));
        }
        let positions = pictures.positions();
        let of_pictures: Vec<f32> =
            (0..l).flat_map(|layer| positions.iter().map(move |row| weights[row * l + layer])).collect();
        let count = positions.len();
        let seen = |layer: usize| of_pictures[layer * count..][..count].iter().map(|w| f64::from(*w)).sum::<f64>();
        let rest = all.iter().enumerate().map(|(layer, all)| (all - seen(layer)).max(0.0) as f32).collect();
        let Chosen { index, id, text } = token;
        Self { index: index as u32, id, text, layers, weights: of_pictures, rest }
    }
}

impl Engine {
    /// Finds the pictures of a prompt, and sends them to the observer.
    pub(super) fn attention_pictures<O: Observer>(&self, rows: &[Row], observer: &mut O) -> PictureRows {
        let mut found = PictureRows::default();
        // The rectangles of the last picture, and how many of its rows are still to come.
        let (mut regions, mut left) = (Vec::new(), 0);
        for (row, position) in rows.iter().zip(0..) {
            let Row::Image(id, embed) = *row else { continue };
            let Some(picture) = self.pictures.get(id) else { continue };
            if left == 0 {
                regions = self.regions(picture);
                left = picture.embeds();
                let [width, height] = picture.size;
                let id = picture.sha256.clone();
                found.list.push(AttentionPicture { id, width, height, positions: vec![], regions: vec![] });
            }
            left -= 1;
            if let (Some(last), Some(region)) = (found.list.last_mut(), regions.get(embed as usize)) {
                last.regions.push(*region);
                last.positions.push(position);
            }
        }
        observer.event(Event::AttentionPictures { pictures: found.list.clone() });
        found
    }

    /// Returns the rectangle of each row of a picture's embeds, counted through its tiles.
    fn regions(&self, picture: &Picture) -> Vec<Region> {
        let config = &self.model.config;
        let rows = config.tile_rows();
        let class_row = u32::from(config.keep_class_row && rows == config.feature_rows());
        let side = (rows - class_row).isqrt();
        // Of a square that is no multiple of the patch, the tower leaves out the last pixels.
        let vision = &config.vision;
        let covered = (vision.grid() * vision.patch_size) as f32 / vision.image_size as f32;
        let cell = |tile: &Region, row: u32| match row.checked_sub(class_row) {
            Some(patch) => tile.cell(patch / side, patch % side, covered / side as f32),
            None => *tile,
        };
        let [width, height] = picture.size;
        let tiles = self.preprocess.regions(width, height);
        tiles.iter().flat_map(|tile| (0..rows).map(move |row| cell(tile, row))).collect()
    }

    /// Prefills `rows`, of which the first `prompt` are the prompt, and sends the attention by which each token behind
    /// it was chosen; that of the next token is in `pictures.first`. The row before the first of these is computed again
    /// where it was cached.
    pub(super) async fn prefill_attending<O: Observer>(
        &mut self,
        rows: &[Row],
        prompt: usize,
        pictures: &mut PictureRows,
        observer: &mut O,
    ) -> Result<Prefilled> {
        self.recall_rows(rows).await?;
        let first = prompt.saturating_sub(1);
        let prefilled = self.prefill_rows(&rows[..first], false, observer).await?;
        if prefilled.cancelled {
            return Ok(prefilled);
        }
        self.cache.truncate(first);
        let mut stream = StreamDecoder::default();
        for (at, row) in rows.iter().enumerate().skip(first) {
            let (id, last) = (self.input_id(*row)?, at + 1 == rows.len());
            self.reserve_rows(at as u32 + 1).await?;
            self.model.prefill(&[id], at as u32, last.then_some(0))?;
            self.cache.extend([*row], last);
            pictures.first = self.model.start_attention_read_back(at as u32 + 1);
            if let Some(Row::Token(id)) = rows.get(at + 1) {
                let (index, text) = (at + 1 - prompt, stream.push(&self.format.tokenizer, *id));
                self.send_attention(Chosen { index, id: *id, text }, None, pictures, observer).await?;
            }
            observer.event(Event::Prefill { done: at as u32 + 1, total: rows.len() as u32 });
            if !last && observer.pause().await {
                return Ok(Prefilled { cancelled: true, ..prefilled });
            }
        }
        Ok(prefilled)
    }

    /// Waits for the attention weights by which a token was chosen, and sends them. Those of the first sampled token are
    /// in `pictures.first`.
    pub(super) async fn send_attention<O: Observer>(
        &mut self,
        token: Chosen,
        reading: Option<Readback>,
        pictures: &mut PictureRows,
        observer: &mut O,
    ) -> Result<()> {
        let Some(reading) = reading.or_else(|| pictures.first.take()) else { return Ok(()) };
        let weights: Vec<f32> = bytemuck::cast_vec(self.model.device.finish_read_back(reading).await?);
        let layers = self.model.config.text.num_hidden_layers;
        observer.event(Event::Attention(TokenAttention::new(token, &weights, layers, pictures)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_sorted_by_layer_and_the_rest_is_text() {
        // Three rows of two layers; the second row is a picture's.
        let weights = [0.25, 0.5, 0.5, 0.125, 0.25, 0.375];
        let (id, region) = (String::new(), Region { x: 0.0, y: 0.0, width: 1.0, height: 1.0 });
        let picture = AttentionPicture { id, width: 1, height: 1, positions: vec![1], regions: vec![region] };
        let pictures = PictureRows { list: vec![picture], first: None };
        let token = || Chosen { index: 7, id: 5, text: "a".into() };
        let found = TokenAttention::new(token(), &weights, 2, &pictures);
        assert_eq!((found.index, found.id, &found.text[..]), (7, 5, "a"));
        assert_eq!((found.weights, found.rest), (vec![0.5, 0.125], vec![0.5, 0.875]));
        let none = TokenAttention::new(token(), &weights, 2, &PictureRows::default());
        assert_eq!((none.weights.len(), none.rest), (0, vec![1.0, 1.0]));
    }
}

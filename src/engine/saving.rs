//! Saving and restoring a conversation with its keys and values.

use super::Engine;
use super::cache::Row;
use super::picture_table::ImageId;
use super::state::{SavedPicture, SavedRow, SavedState, StateFormat};
use crate::ensure;
use crate::error::Result;
use crate::format::hash::sha256;
use crate::prompt::{PictureTiles, picture_rows};

impl Engine {
    /// Returns the rows of the last answered messages with their keys and values, as bytes for
    /// [`restore_state`](Self::restore_state). A hash binds them to the model: its name, configuration, weights and
    /// their types, the size of its pictures, and how its cache is stored. (The hash reads 12 kB of each part of the
    /// weights, unless a manifest states the SHA-256 of the part.)
    ///
    /// # Errors
    /// [`Kind::State`](crate::error::Kind::State) when nothing has been answered yet; [`Kind::Gpu`](crate::error::Kind).
    pub async fn save_state(&mut self) -> Result<Vec<u8>> {
        let answered = std::mem::take(&mut self.answered);
        let recalled = self.recall_rows(&answered).await;
        let rows = self.cache.shared(&answered);
        self.answered = answered;
        recalled?;
        let mut pictures: Vec<(ImageId, SavedPicture)> = Vec::new();
        let mut saved: Vec<SavedRow> = Vec::new();
        for row in &self.answered[..rows] {
            saved.push(match *row {
                Row::Token(id) => SavedRow::Token(id),
                Row::Newline => SavedRow::Newline,
                Row::Image(id, row) => {
                    let known = pictures.iter().position(|(known, _)| *known == id);
                    let Some(index) = known.or_else(|| {
                        let picture = self.pictures.get(id)?;
                        let saved = SavedPicture { sha256: picture.sha256.clone(), size: picture.size };
                        pictures.push((id, saved));
                        Some(pictures.len() - 1)
                    }) else {
                        // A picture that is no longer known: the rows before it are saved.
                        break;
                    };
                    SavedRow::Image(index as u32, row)
                }
            });
        }
        ensure!(!saved.is_empty(), State, "save", "nothing has been answered yet");
        let answers = self.answers.within(&self.answered[..saved.len()]);
        let cache = self.model.read_rows(saved.len() as u32).await?;
        let pictures = pictures.into_iter().map(|(_, picture)| picture).collect();
        Ok(SavedState { pictures, rows: saved, answers, cache: &cache }.write(&self.state_format()))
    }

    /// Restores what [`save_state`](Self::save_state) returned, on this or another device with the same model: its rows
    /// are in the cache without a forward pass, and the same messages reuse all of them. Its pictures are known, so that
    /// they must be encoded only where rows of them are computed again
    /// ([`missing_pictures`](Self::missing_pictures)). Returns the number of rows.
    ///
    /// # Errors
    /// What [`SavedState::parse`] reports; [`Kind::OutOfMemory`](crate::error::Kind::OutOfMemory). Nothing has changed
    /// then.
    pub async fn restore_state(&mut self, bytes: &[u8]) -> Result<u32> {
        let saved = SavedState::parse(bytes, &self.state_format())?;
        let mut pictures = Vec::new();
        for picture in &saved.pictures {
            let (tiles, grid) = self.preprocess.tiles_of(picture.size[0], picture.size[1]);
            let tiles = PictureTiles { tiles, grid, size: picture.size };
            pictures.push(picture_rows(&self.model.config, &self.format.tokenizer, &tiles)?);
        }
        self.reserve_rows(saved.rows.len() as u32).await?;
        let mut ids = Vec::new();
        for (picture, rows) in saved.pictures.iter().zip(pictures) {
            ids.push(match self.pictures.find(&picture.sha256) {
                Some(known) => known.id,
                None => self.pictures.insert(&picture.sha256, Vec::new(), rows, picture.size),
            });
        }
        let row = |row: &SavedRow| match *row {
            SavedRow::Token(id) => Row::Token(id),
            SavedRow::Newline => Row::Newline,
            SavedRow::Image(picture, row) => Row::Image(ids[picture as usize], row),
        };
        let rows: Vec<Row> = saved.rows.iter().map(row).collect();
        self.recall_rows(&rows).await?;
        self.cache.truncate(0);
        self.model.write_rows(rows.len() as u32, saved.cache).await?;
        for (text, ids) in saved.answers {
            self.answers.remember(&text, ids);
        }
        self.cache.extend(rows.iter().copied(), false);
        self.answered = rows;
        Ok(self.answered.len() as u32)
    }

    /// Returns what a state of this engine depends on.
    fn state_format(&self) -> StateFormat {
        let pictures = format!("{:?} {:?}", self.preprocess.rendering, self.preprocess.longest_edge());
        StateFormat {
            model: self.info.name.clone(),
            weights: sha256(&[&self.info.weights, pictures.as_bytes()]),
            cache_type: self.model.cache_stored(),
            row_bytes: self.model.cache_row_bytes(),
            context: self.model.context,
            vocab_size: self.format.vocab_size,
        }
    }
}

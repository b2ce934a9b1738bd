//! The pictures that an engine knows: their rows in a prompt, and the places of their embeds on the device.
//!
//! A picture is known by the SHA-256 of its file. It stays known when its embeds make room for others, so that its rows
//! in the cache keep their meaning.

use crate::error::{Error, Kind, Result};
use crate::prompt::PictureRow;

/// Most pictures that are known without embeds on the device.
const MAX_ABSENT: usize = 256;

/// Number of a picture among those that this engine has known. Equal files have one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageId(pub u64);

/// A picture.
#[derive(Debug)]
pub(super) struct Picture {
    pub id: ImageId,
    /// SHA-256 of the picture's file, in hex digits.
    pub sha256: String,
    /// Slot of each tile; empty where the device does not have the embeds.
    pub slots: Vec<u32>,
    /// Its rows in a prompt.
    pub rows: Vec<PictureRow>,
    /// Width and height, pixels.
    pub size: [u32; 2],
}

impl Picture {
    /// Returns the number of its rows that are image embeds.
    pub fn embeds(&self) -> usize {
        self.rows.iter().filter(|row| matches!(row, PictureRow::Embed(_))).count()
    }

    /// Returns whether its embeds are on the device.
    pub fn is_resident(&self) -> bool {
        !self.slots.is_empty()
    }
}

/// Pictures, those whose embeds or size came last at the end.
#[derive(Debug, Default)]
pub(super) struct PictureTable {
    list: Vec<Picture>,
    last_id: u64,
}

impl PictureTable {
    /// Finds the picture whose file has this hash.
    pub fn find(&self, sha256: &str) -> Option<&Picture> {
        self.list.iter().find(|p| p.sha256 == sha256)
    }

    /// Finds a picture by its number.
    pub fn get(&self, id: ImageId) -> Option<&Picture> {
        self.list.iter().find(|p| p.id == id)
    }

    /// Returns the slot of a tile, if the device has its embeds.
    pub fn slot(&self, id: ImageId, tile: u32) -> Option<u32> {
        self.get(id)?.slots.get(tile as usize).copied()
    }

    /// Empties `wanted` of `count` slots and returns them: unused ones, then those of the oldest pictures that are not
    /// `needed`.
    ///
    /// # Errors
    /// [`Kind::ContextFull`] when too many of them are needed. No slot was emptied then.
    pub fn empty_slots(&mut self, wanted: u32, count: u32, needed: impl Fn(&str) -> bool) -> Result<Vec<u32>> {
        let mut free: Vec<u32> = (0..count).filter(|n| !self.list.iter().any(|p| p.slots.contains(n))).collect();
        let mut removable = self.list.iter().filter(|p| p.is_resident() && !needed(&p.sha256));
        let mut removed = Vec::new();
        while free.len() < wanted as usize {
            let Some(picture) = removable.next() else {
                let message =
                    format!("a picture of {wanted} tiles; of {count} places the conversation leaves {}", free.len());
                return Err(Error::new(Kind::ContextFull, "image", message).hint("start a new conversation"));
            };
            free.extend(&picture.slots);
            removed.push(picture.id);
        }
        self.list.iter_mut().filter(|p| removed.contains(&p.id)).for_each(|p| p.slots.clear());
        free.truncate(wanted as usize);
        Ok(free)
    }

    /// Records a picture: its size, its rows, and the slots that hold the embeds of its tiles, or none. Returns its
    /// number, which stays the same when the picture was known.
    pub fn insert(&mut self, sha256: &str, slots: Vec<u32>, rows: Vec<PictureRow>, size: [u32; 2]) -> ImageId {
        let known = self.list.iter().position(|p| p.sha256 == sha256).map(|at| self.list.remove(at).id);
        let id = known.unwrap_or_else(|| {
            self.last_id += 1;
            ImageId(self.last_id)
        });
        self.list.push(Picture { id, sha256: sha256.to_string(), slots, rows, size });
        let absent = self.list.iter().filter(|p| !p.is_resident()).count();
        if absent > MAX_ABSENT
            && let Some(oldest) = self.list.iter().position(|p| !p.is_resident())
        {
            self.list.remove(oldest);
        }
        id
    }

    /// Forgets all pictures. Numbers are not used again.
    pub fn clear(&mut self) {
        self.list.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(table: &mut PictureTable, name: &str, tiles: u32, needed: &[&str]) -> Result<ImageId> {
        let slots = table.empty_slots(tiles, 5, |sha256| needed.contains(&sha256))?;
        Ok(table.insert(name, slots, vec![PictureRow::Newline], [8, 6]))
    }

    #[test]
    fn tiles_take_slots_of_several_pictures_that_are_not_needed() {
        let mut table = PictureTable::default();
        let [a, b, c] = [("a", 1), ("b", 2), ("c", 2)].map(|(n, tiles)| fill(&mut table, n, tiles, &[]).unwrap());
        assert_eq!(fill(&mut table, "d", 4, &["c"]).unwrap_err().kind, Kind::ContextFull);
        assert!(table.find("a").unwrap().is_resident(), "a refused picture removes nothing");
        let d = fill(&mut table, "d", 3, &["c"]).unwrap();
        let mut slots: Vec<u32> = (0..3).map(|tile| table.slot(d, tile).unwrap()).collect();
        slots.extend((0..2).map(|tile| table.slot(c, tile).unwrap()));
        slots.sort_unstable();
        assert_eq!(slots, [0, 1, 2, 3, 4]);
        assert_eq!([a, b].map(|id| (table.slot(id, 0), table.get(id).unwrap().is_resident())), [(None, false); 2]);
        assert_eq!(fill(&mut table, "a", 2, &["d"]).unwrap(), a, "its number stays");
        assert!(table.slot(c, 0).is_none() && table.slot(a, 1).is_some());
        table.clear();
        assert!(table.find("a").is_none());
        assert_eq!(fill(&mut table, "a", 1, &[]).unwrap(), ImageId(5), "numbers are not used again");
    }

    #[test]
    fn the_number_of_pictures_without_embeds_is_bounded() {
        let mut table = PictureTable::default();
        let here = fill(&mut table, "here", 1, &[]).unwrap();
        for n in 0..=MAX_ABSENT {
            table.insert(&n.to_string(), Vec::new(), Vec::new(), [1, 1]);
        }
        assert!(table.find("0").is_none() && table.find("1").is_some() && table.get(here).is_some());
    }
}

//! Batches of the contrastive stage.

use super::model_shape::ModelShape;
use super::patches::{in_square, picture_patches};
use super::tower::{ContrastiveGroup, TokenBatch, TowerBatch};
use crate::error::Result;
use crate::scenes::bpe::encode;
use crate::scenes::captions::describe;
use crate::scenes::draw::draw;
use crate::scenes::drawn::training_scene;
use crate::scenes::scene::{Object, Scene, SizeClass, Thing, scene_rng};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tokenizers::Tokenizer;

/// Returns the phrases that an object's patches must match: whole phrase, shape, colour, size.
fn phrases(object: &Object) -> [String; 4] {
    let size = match object.size() {
        SizeClass::Small => "small",
        SizeClass::Medium => "medium",
        SizeClass::Large => "large",
    };
    match object.thing {
        Thing::Shape(shape) => {
            [object.phrase(), shape.name().to_owned(), object.colour.name().to_owned(), size.to_owned()]
        }
        Thing::Sketch(sketch) => {
            [object.phrase(), sketch.name().to_owned(), object.colour.name().to_owned(), size.to_owned()]
        }
        _ => [object.phrase(), object.phrase(), object.colour.name().to_owned(), "text".to_owned()],
    }
}

/// The phrases of one group and the rows that must match them.
#[derive(Default)]
struct Collector {
    phrases: BTreeMap<String, i32>,
    rows: Vec<i32>,
    targets: Vec<i32>,
}

impl Collector {
    fn push(&mut self, row: usize, phrase: String) {
        let next = self.phrases.len() as i32;
        self.targets.push(*self.phrases.entry(phrase).or_insert(next));
        self.rows.push(row as i32);
    }
}

/// Weights of the groups in the loss: whole phrase, shape, colour, size, row, column.
const WEIGHTS: [f32; 6] = [1.0, 1.0, 0.4, 0.3, 0.2, 0.2];

/// Makes a batch of `images` pictures, from scene `index` of data set `seed` on.
///
/// # Errors
/// When a text cannot be tokenised.
pub fn batch(s: &ModelShape, tokenizer: &Tokenizer, seed: u64, index: u64, images: usize) -> Result<TowerBatch> {
    let mut patches = Vec::with_capacity(images * s.patches() * 3 * s.patch_size * s.patch_size);
    let mut captions = Vec::new();
    let mut groups: [Collector; 6] = Default::default();
    for image in 0..images {
        let mut rng = scene_rng(seed, index + image as u64);
        let scene = training_scene(&mut rng);
        let side = rng.random_range(150..260);
        patches.extend(picture_patches(&draw(&scene, side), s)?);
        captions.push(describe(&scene, rng.random_bool(0.5)));
        regions(s, &scene, image, &mut groups, &mut rng);
    }
    let mut phrases = Vec::new();
    let groups = groups
        .into_iter()
        .zip(WEIGHTS)
        .map(|(collector, weight)| {
            let first = phrases.len();
            let count = collector.phrases.len();
            let mut ordered = vec![String::new(); count];
            collector.phrases.into_iter().for_each(|(phrase, i)| ordered[i as usize] = phrase);
            phrases.extend(ordered);
            ContrastiveGroup { rows: collector.rows, targets: collector.targets, first, count, weight }
        })
        .collect();
    let captions = texts(tokenizer, &captions)?;
    Ok(TowerBatch { patches, images, captions, phrases: texts(tokenizer, &phrases)?, groups })
}

/// Adds patches of one picture to the groups: the centre patch of each object with its whole phrase; centre and other
/// patches with shape, colour, size, row and column; patches far from every centre with "nothing".
fn regions(s: &ModelShape, scene: &Scene, image: usize, groups: &mut [Collector; 6], rng: &mut ChaCha8Rng) {
    let across = s.image_size / s.patch_size;
    let centres: Vec<[f32; 2]> =
        scene.objects.iter().map(|o| in_square(scene, o.centre).map(|x| x * across as f32)).collect();
    for (object, centre) in scene.objects.iter().zip(&centres) {
        let cell = centre.map(|x| (x as usize).min(across - 1));
        let row = image * s.patches() + cell[1] * across + cell[0];
        let own = phrases(object);
        groups[0].push(row, own[0].clone());
        let mut cells = vec![cell];
        let longest = scene.extent[0].max(scene.extent[1]);
        for _ in 0..8 {
            // A point well inside the object's box.
            let other: [usize; 2] = std::array::from_fn(|axis| {
                let reach = object.half[axis] / longest * across as f32 * 0.9;
                let x = centre[axis] + rng.random_range(-reach..reach);
                (x.max(0.0) as usize).min(across - 1)
            });
            if !cells.contains(&other) {
                cells.push(other);
            }
        }
        for cell in cells {
            let row = image * s.patches() + cell[1] * across + cell[0];
            for k in 1..4 {
                groups[k].push(row, own[k].clone());
            }
            groups[4].push(row, format!("row {}", cell[1] + 1));
            groups[5].push(row, format!("column {}", cell[0] + 1));
        }
    }
    for _ in 0..5 {
        let cell: [usize; 2] = std::array::from_fn(|_| rng.random_range(0..across));
        let far = centres.iter().all(|c| {
            let d: [f32; 2] = std::array::from_fn(|axis| (c[axis] - cell[axis] as f32 - 0.5).abs());
            d[0].max(d[1]) > 0.75
        });
        if far {
            groups[0].push(image * s.patches() + cell[1] * across + cell[0], "nothing".to_owned());
        }
    }
}

/// Tokenizes texts and pads them to the longest, at most 64 tokens.
fn texts(tokenizer: &Tokenizer, texts: &[String]) -> Result<TokenBatch> {
    let ids = texts.iter().map(|t| encode(tokenizer, t)).collect::<Result<Vec<_>>>()?;
    let length = ids.iter().map(Vec::len).max().unwrap_or(1).clamp(1, 64);
    let mut padded = vec![0i32; length * ids.len()];
    for (row, ids) in padded.chunks_mut(length).zip(&ids) {
        for (slot, &id) in row.iter_mut().zip(ids) {
            *slot = id as i32;
        }
    }
    Ok(TokenBatch { ids: padded, length, count: texts.len() })
}

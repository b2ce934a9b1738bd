//! Where a model looks when it names a colour: the share of the word's attention inside the object that has the colour,
//! beside the object's share of the picture.

use super::dataset::png;
use super::draw::draw;
use super::scene::{Object, Scene, sample, scene_rng};
use crate::device::BackendChoice;
use crate::engine::{AttentionPicture, Engine, Event, GenerateOptions, Observer, SilentObserver, TokenAttention};
use crate::error::Result;
use crate::native::load_model;
use crate::preprocess::Region;
use crate::prompt::Message;
use pollster::block_on;
use std::path::Path;

/// Shorter side of the drawn pictures, pixels.
const SIDE: u32 = 256;

/// A question about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// "Which shape is red?", answered by "The red shape is a star."
    Shape,
    /// "What color is the star?", answered by "The star is red."
    Colour,
}

/// What is measured: a question, and whether of the answer's words that of the colour or that of the shape.
const MEASURED: [(Asked, bool); 3] = [(Asked::Shape, true), (Asked::Shape, false), (Asked::Colour, true)];
/// The same in the table.
const NAMES: [&str; 3] = [
    "Which shape is red? The **red** shape is a star.",
    "Which shape is red? The red shape is a **star**.",
    "What color is the star? The star is **red**.",
];

impl Asked {
    /// Returns the question about `object`, unless another object of the scene fits it, too.
    fn question(self, scene: &Scene, object: &Object) -> Option<String> {
        let shape = object.shape()?;
        let alone = |fits: &dyn Fn(&Object) -> bool| scene.objects.iter().filter(|o| fits(o)).count() == 1;
        match self {
            Self::Shape if alone(&|o| o.colour == object.colour) => {
                Some(format!("Which shape is {}?", object.colour.name()))
            }
            Self::Colour if alone(&|o| o.shape() == Some(shape)) => {
                Some(format!("What color is the {}?", shape.name()))
            }
            _ => None,
        }
    }
}

/// Sums over the words of right answers.
#[derive(Debug, Clone, Default)]
pub struct Looks {
    /// Number of questions.
    pub asked: usize,
    /// Number of right answers whose words were measured.
    pub words: usize,
    /// Sum of the shares of the picture's attention inside the object, as a mean over the layers.
    pub inside: f64,
    /// Sum of the same shares, by layer.
    pub by_layer: Vec<f64>,
    /// Sum of the object's shares of the picture: of its bounding box.
    pub area: f64,
    /// Sum of the picture's shares of all attention.
    pub picture: f64,
    /// Number of words whose share inside the object exceeds the object's share of the picture.
    pub above: usize,
}

impl Looks {
    fn add(&mut self, picture: &AttentionPicture, map: &TokenAttention, object: Region) {
        let layers = map.layers as usize;
        let rows = map.weights.len() / layers;
        let whole = Region { x: 0.0, y: 0.0, width: picture.width as f32, height: picture.height as f32 };
        let share = |weights: &[f32]| {
            let part = |of: Region| -> f64 {
                let cover = |region: &Region| overlap(*region, of) / f64::from(region.width * region.height);
                picture.regions.iter().zip(weights).map(|(region, w)| cover(region) * f64::from(*w)).sum()
            };
            part(object) / part(whole)
        };
        let mean: Vec<f32> = (0..rows)
            .map(|row| (0..layers).map(|layer| map.weights[layer * rows + row]).sum::<f32>() / layers as f32)
            .collect();
        let area = overlap(object, whole) / f64::from(whole.width * whole.height);
        let inside = share(&mean);
        self.words += 1;
        self.inside += inside;
        self.by_layer.resize(layers, 0.0);
        self.by_layer.iter_mut().zip(map.weights.chunks_exact(rows)).for_each(|(sum, layer)| *sum += share(layer));
        self.area += area;
        self.picture += mean.iter().map(|w| f64::from(*w)).sum::<f64>();
        self.above += usize::from(inside > area);
    }
}

/// Returns the area that two rectangles share.
fn overlap(a: Region, b: Region) -> f64 {
    let side = |a: f32, a_length: f32, b: f32, b_length: f32| (a + a_length).min(b + b_length) - a.max(b);
    let width = side(a.x, a.width, b.x, b.width).max(0.0);
    f64::from(width * side(a.y, a.height, b.y, b.height).max(0.0))
}

/// Collects the attention of an answer.
#[derive(Default)]
struct Maps(Vec<AttentionPicture>, Vec<TokenAttention>);

impl Observer for Maps {
    fn event(&mut self, event: Event) {
        match event {
            Event::AttentionPictures { pictures } => self.0 = pictures,
            Event::Attention(map) => self.1.push(map),
            _ => {}
        }
    }
    async fn pause(&mut self) -> bool {
        false
    }
}

impl Maps {
    /// Returns the attention of the tokens of `word`, as a mean; `None` where the answer does not have it.
    fn word(&self, word: &str) -> Option<TokenAttention> {
        let text: String = self.1.iter().map(|map| &map.text[..]).collect();
        let at = text.find(word)?;
        let mut begin = 0;
        let mut maps = self.1.iter().filter(|map| {
            let end = begin + map.text.len();
            let reaches = end > at && begin < at + word.len() && !map.text.is_empty();
            begin = end;
            reaches
        });
        let mut mean = maps.next()?.clone();
        let mut count = 1.0;
        for map in maps {
            mean.weights.iter_mut().zip(&map.weights).for_each(|(sum, w)| *sum += w);
            count += 1.0;
        }
        mean.weights.iter_mut().for_each(|sum| *sum /= count);
        Some(mean)
    }
}

/// Asks about `scenes` scenes of data set `seed` with two objects or more, at most one question of each kind about a
/// scene. Returns a measurement for each line of the [`table`].
///
/// # Errors
/// Errors of the loader and of the engine.
pub fn measure(model: &Path, backend: BackendChoice, seed: u64, scenes: u64) -> Result<[Looks; 3]> {
    let mut engine = block_on(load_model(model, None, backend, None))?;
    let mut found = <[Looks; 3]>::default();
    let several = (0..).map(|index| sample(&mut scene_rng(seed, index))).filter(|scene| scene.objects.len() > 1);
    for scene in several.take(scenes as usize) {
        let drawn = draw(&scene, SIDE);
        let picture = block_on(engine.encode(&png(&drawn)?, &[], &mut SilentObserver))?;
        let [width, height] = [drawn.width as f32, drawn.height as f32];
        for asked in [Asked::Shape, Asked::Colour] {
            let question = |object| asked.question(&scene, object).map(|question| (object, question));
            let Some((object, question)) = scene.objects.iter().find_map(question) else { continue };
            let (answer, maps) = ask(&mut engine, &picture.id, &question)?;
            let words = [object.shape().map_or("", |shape| shape.name()), object.colour.name()];
            let right = words.iter().all(|word| answer.contains(word));
            let half = object.half.map(|half| half * width.min(height));
            let [x, y] = [object.centre[0] * width - half[0], object.centre[1] * height - half[1]];
            let place = Region { x, y, width: 2.0 * half[0], height: 2.0 * half[1] };
            let measured = MEASURED.into_iter().zip(&mut found).filter(|((kind, _), _)| *kind == asked);
            for ((_, colour), looks) in measured {
                looks.asked += 1;
                if let Some(map) = maps.word(words[usize::from(colour)]).filter(|_| right) {
                    looks.add(&maps.0[0], &map, place);
                }
            }
        }
    }
    Ok(found)
}

fn ask(engine: &mut Engine, picture: &str, question: &str) -> Result<(String, Maps)> {
    let options = GenerateOptions { max_new_tokens: 40, attention: true, ..GenerateOptions::default() };
    let mut maps = Maps::default();
    let messages = [Message::user(&[picture.to_string()], question)];
    let answer = block_on(engine.generate(&messages, &options, &mut maps))?;
    Ok((answer.text, maps))
}

/// Formats the measurement in Markdown.
pub fn table(found: &[Looks; 3]) -> String {
    let mut text = String::from(
        "| question, and answer with the word | asked | right | inside % | best layer % | area % | above % | picture % |\n|---|---|---|---|---|---|---|---|\n",
    );
    for (name, looks) in NAMES.into_iter().zip(found) {
        let n = looks.words.max(1) as f64;
        let percent = |sum: f64| format!("{:.1}", 100.0 * sum / n);
        let best = looks.by_layer.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        let best = best.map_or("–".into(), |(layer, sum)| format!("{} (layer {})", percent(*sum), layer + 1));
        text += &format!(
            "| {name} | {} | {} | {} | {best} | {} | {} | {} |\n",
            looks.asked,
            looks.words,
            percent(looks.inside),
            percent(looks.area),
            percent(looks.above as f64),
            percent(looks.picture)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_picture_without_its_border() {
        let region = |x: f32, y: f32, width: f32, height: f32| Region { x, y, width, height };
        // Two rows side by side; half of each is border above the picture.
        let regions = vec![region(0.0, -10.0, 10.0, 20.0), region(10.0, -10.0, 10.0, 20.0)];
        let picture = AttentionPicture { id: String::new(), width: 20, height: 10, positions: vec![0, 1], regions };
        let map = TokenAttention {
            index: 0,
            id: 0,
            text: String::new(),
            layers: 1,
            weights: vec![0.3, 0.1],
            rest: vec![0.6],
        };
        let mut looks = Looks::default();
        looks.add(&picture, &map, region(0.0, 0.0, 10.0, 10.0));
        assert!((looks.inside - 0.75).abs() < 1e-6 && (looks.area - 0.5).abs() < 1e-6, "{looks:?}");
        assert!((looks.picture - 0.4).abs() < 1e-6 && looks.above == 1, "{looks:?}");
    }

    #[test]
    fn a_word_has_the_tokens_that_reach_into_it() {
        let map = |text: &str, weight: f32| TokenAttention {
            index: 0,
            id: 0,
            text: text.into(),
            layers: 1,
            weights: vec![weight],
            rest: vec![1.0 - weight],
        };
        let maps = Maps(vec![], vec![map("The", 0.5), map(" r", 0.2), map("ed", 0.4), map(" star", 0.9)]);
        assert!((maps.word("red").unwrap().weights[0] - 0.3).abs() < 1e-6);
        assert_eq!(maps.word("star").unwrap().weights, [0.9]);
        assert!(maps.word("blue").is_none());
    }
}

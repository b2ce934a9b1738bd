//! Batches for the decoder: text pretraining, stage 1 (captions), stage 2 (conversations).

use super::captions::describe;
use super::decoder::{Answer, DialogueBatch, Sight};
use super::draw::draw;
use super::pixels::{push_patches, square};
use super::questions::{Conversation, Kind, Turn, conversation};
use super::scenes::{Scene, sample, scene_rng};
use super::shape::ModelShape;
use super::tower::Texts;
use super::vocabulary::{BOS, EOS, encode};
use crate::error::Result;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use tokenizers::Tokenizer;

/// What a batch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Conversations about a written description; every token is learned.
    Text,
    /// `<s><image>{caption}</s>`.
    Captions,
    /// `<s>USER: <image>\n{question} ASSISTANT: {answer}</s>…`; answers are learned.
    Instructions,
}

/// Where batches come from.
#[derive(Clone)]
pub struct Source {
    /// Sizes.
    pub shape: ModelShape,
    /// The tokenizer.
    pub tokenizer: std::sync::Arc<Tokenizer>,
    /// The data set.
    pub seed: u64,
    /// Which stage.
    pub stage: Stage,
    /// Pictures per batch.
    pub images: usize,
}

/// A conversation as ids; the marked ones are to be predicted.
#[derive(Default)]
struct Branch {
    ids: Vec<i32>,
    /// Ranges of `ids` that are answers, their `</s>` included.
    answers: Vec<std::ops::Range<usize>>,
    /// What each question is about.
    kinds: Vec<Kind>,
    /// Unrelated questions one after the other; not scored.
    chain: bool,
}

/// What kind of conversations a batch holds; batches of one length waste little padding.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One exchange.
    Short,
    /// Captions and follow-ups.
    Long,
    /// Several exchanges.
    Chain,
}

/// How often each kind is drawn in batches of short conversations, and in those of long ones.
const SHORT: [(Kind, u32); 8] = [
    (Kind::Colour, 4),
    (Kind::Shape, 5),
    (Kind::Existence, 4),
    (Kind::Count, 6),
    (Kind::Position, 4),
    (Kind::Relation, 5),
    (Kind::Text, 6),
    (Kind::Size, 3),
];
const LONG: [(Kind, u32); 2] = [(Kind::Caption, 1), (Kind::Followup, 1)];

impl Source {
    fn segment(&self, branch: &mut Branch, text: &str) -> Result<()> {
        branch.ids.extend(encode(&self.tokenizer, text)?.into_iter().map(|id| id as i32));
        Ok(())
    }

    fn answer(&self, branch: &mut Branch, kind: Kind, text: &str) -> Result<()> {
        let start = branch.ids.len();
        branch.kinds.push(kind);
        self.segment(branch, text)?;
        branch.ids.push(EOS as i32);
        branch.answers.push(start..branch.ids.len());
        Ok(())
    }

    /// The part of a conversation that follows the picture, segment by segment as the engine does.
    fn turns(&self, branch: &mut Branch, kind: Kind, turns: &[Turn]) -> Result<()> {
        for turn in turns {
            let before = if branch.ids.is_empty() { "\n" } else { "USER: " };
            self.segment(branch, &format!("{before}{} ASSISTANT:", turn.question))?;
            self.answer(branch, kind, &format!(" {}", turn.answer))?;
        }
        Ok(())
    }

    /// The batch number `index`: two of short conversations, one of long ones, one of chains.
    ///
    /// # Errors
    /// When a text cannot be tokenised.
    pub fn batch(&self, index: u64) -> Result<DialogueBatch> {
        let form = [Form::Short, Form::Long, Form::Short, Form::Chain][(index / 2 % 4) as usize];
        let mut branches = Vec::new();
        let (mut patches, mut words) = (Vec::new(), Vec::new());
        let count = match (self.stage, form) {
            (Stage::Captions, _) => 3,
            (_, Form::Short) => 10,
            (_, Form::Long) => 5,
            (_, Form::Chain) => 2,
        };
        for image in 0..self.images {
            let mut rng = scene_rng(self.seed, index * self.images as u64 + image as u64);
            let scene = sample(&mut rng);
            if self.stage == Stage::Text {
                words.push(encode(&self.tokenizer, &describe(&scene, true))?);
            } else {
                let side = rng.random_range(150..260);
                push_patches(&square(&draw(&scene, side), self.shape.image_size), &self.shape, &mut patches);
            }
            branches.extend(self.branches(&scene, count, form, &mut rng)?);
        }
        let lead = match self.stage {
            Stage::Captions => vec![BOS as i32],
            _ => self.lead()?,
        };
        let sight = if self.stage == Stage::Text { Sight::Words(pad(&words)) } else { Sight::Patches(patches) };
        Ok(pack(self.images, count, lead, sight, &branches, self.stage == Stage::Text))
    }

    /// `<s>USER: `.
    ///
    /// # Errors
    /// When the text cannot be tokenised.
    pub fn lead(&self) -> Result<Vec<i32>> {
        let user = encode(&self.tokenizer, "USER: ")?;
        Ok(std::iter::once(BOS).chain(user).map(|id| id as i32).collect())
    }

    fn branches(&self, scene: &Scene, count: usize, form: Form, rng: &mut ChaCha8Rng) -> Result<Vec<Branch>> {
        let mut branches = Vec::new();
        for i in 0..count {
            let mut branch = Branch { chain: form == Form::Chain, ..Branch::default() };
            if self.stage == Stage::Captions {
                self.answer(&mut branch, Kind::Caption, &describe(scene, i > 0))?;
                branches.push(branch);
                continue;
            }
            let exchanges = if form == Form::Chain { rng.random_range(4..=8) } else { 1 };
            while branch.answers.len() < exchanges {
                let weights: &[(Kind, u32)] = match form {
                    Form::Long => &LONG,
                    Form::Chain if rng.random_bool(0.2) => &LONG,
                    _ => &SHORT,
                };
                let Ok(&(kind, _)) = weights.choose_weighted(rng, |k| k.1) else { break };
                if let Some(Conversation { turns, .. }) = conversation(scene, kind, rng) {
                    self.turns(&mut branch, kind, &turns)?;
                }
            }
            branches.push(branch);
        }
        Ok(branches)
    }

    /// One conversation to be continued: the rows of the last answer's tokens are left to the model.
    ///
    /// # Errors
    /// When a text cannot be tokenised.
    pub fn open(&self, patches: Vec<f32>, history: &[Turn], question: &str) -> Result<DialogueBatch> {
        let mut branch = Branch::default();
        self.turns(&mut branch, Kind::Followup, history)?;
        let before = if history.is_empty() { "\n" } else { "USER: " };
        self.segment(&mut branch, &format!("{before}{question} ASSISTANT:"))?;
        branch.answers.clear();
        Ok(pack(1, 1, self.lead()?, Sight::Patches(patches), &[branch], false))
    }
}

/// Pads the branches to one length and lists what is to be predicted.
fn pack(images: usize, count: usize, lead: Vec<i32>, sight: Sight, branches: &[Branch], all: bool) -> DialogueBatch {
    let length = branches.iter().map(|b| b.ids.len()).max().unwrap_or(1);
    let mut ids = vec![0; branches.len() * length];
    let (mut rows, mut targets, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for (i, branch) in branches.iter().enumerate() {
        let start = i * length;
        ids[start..start + branch.ids.len()].copy_from_slice(&branch.ids);
        // The row before a token predicts it. A caption's first token follows the picture, whose last row is
        // no branch row: the captions stage learns from the second token on.
        let mut push = |span: std::ops::Range<usize>| {
            let first = rows.len();
            for at in span.filter(|&at| at > 0) {
                rows.push((start + at - 1) as i32);
                targets.push(branch.ids[at]);
            }
            first..rows.len()
        };
        for (turn, (answer, &kind)) in branch.answers.iter().zip(&branch.kinds).enumerate() {
            if all && turn == 0 {
                push(1..answer.start);
            }
            let last = !branch.chain && turn + 1 == branch.answers.len();
            answers.push(Answer { kind, span: push(answer.clone()), last });
        }
    }
    DialogueBatch { images, branches: count, length, lead, sight, ids, rows, targets, answers }
}

fn pad(texts: &[Vec<u32>]) -> Texts {
    let length = texts.iter().map(Vec::len).max().unwrap_or(1);
    let mut ids = vec![0; length * texts.len()];
    for (row, text) in ids.chunks_mut(length).zip(texts) {
        row.iter_mut().zip(text).for_each(|(slot, &id)| *slot = id as i32);
    }
    Texts { ids, length, count: texts.len() }
}

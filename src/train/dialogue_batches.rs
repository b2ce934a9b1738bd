//! Batches that train the decoder: text pretraining, stage 1 (captions), stage 2 (conversations).

use super::decoder::{AnswerSpan, DialogueBatch, ImageInput};
use super::model_shape::ModelShape;
use super::own_pictures::OwnPicture;
use super::patches::picture_patches;
use super::tower::TokenBatch;
use crate::error::Result;
use crate::scenes::bpe::{BOS, EOS, encode};
use crate::scenes::captions::describe;
use crate::scenes::draw::draw;
use crate::scenes::questions::{Conversation, QuestionKind, Turn, conversation};
use crate::scenes::scene::{Scene, scene_rng};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use tokenizers::Tokenizer;

/// The stage of the recipe that a batch belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainingStage {
    /// Conversations about a written description. The loss covers the first question and every answer.
    Text,
    /// `<s><image>{caption}</s>`.
    Captions,
    /// `<s>USER: <image>\n{request} ASSISTANT: {caption}</s>`: captions as answers, for a decoder that knows the form.
    CaptionAnswers,
    /// `<s>USER: <image>\n{question} ASSISTANT: {answer}</s>…`. The loss covers the answers.
    Instructions,
}

/// A sampler of conversations about generated scenes.
#[derive(Clone)]
pub struct DialogueSampler {
    /// Sizes of the model.
    pub shape: ModelShape,
    /// The tokenizer.
    pub tokenizer: std::sync::Arc<Tokenizer>,
    /// Seed of the data set.
    pub seed: u64,
    /// Stage of the batches.
    pub stage: TrainingStage,
    /// Pictures per batch.
    pub images: usize,
    /// Samples a scene.
    pub scenes: fn(&mut ChaCha8Rng) -> Scene,
}

/// A conversation as ids, with the ranges that are answers.
#[derive(Default)]
struct Branch {
    ids: Vec<i32>,
    /// Ranges of `ids` that are answers, their `</s>` included.
    answers: Vec<std::ops::Range<usize>>,
    /// Kind of each question.
    kinds: Vec<QuestionKind>,
    /// Whether the questions are unrelated to each other; such answers are not scored.
    chain: bool,
}

/// The form of a batch's conversations. Conversations of one form have similar lengths, so padding stays small.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DialogueForm {
    /// One exchange.
    Short,
    /// Captions and follow-ups.
    Long,
    /// Several exchanges.
    Chain,
}

impl DialogueForm {
    /// Returns the form of batch `index`.
    fn of(index: u64) -> Self {
        [Self::Short, Self::Long, Self::Short, Self::Chain][(index / 2 % 4) as usize]
    }

    /// Returns the number of conversations per picture.
    fn conversations(self) -> usize {
        match self {
            Self::Short => 10,
            Self::Long => 5,
            Self::Chain => 2,
        }
    }
}

/// Sampling weights of the question kinds in short conversations.
const SHORT: [(QuestionKind, u32); 9] = [
    (QuestionKind::Colour, 3),
    (QuestionKind::Shape, 3),
    (QuestionKind::Existence, 4),
    (QuestionKind::Count, 8),
    (QuestionKind::Position, 4),
    (QuestionKind::Relation, 6),
    (QuestionKind::Text, 14),
    (QuestionKind::Size, 2),
    (QuestionKind::Thing, 14),
];
/// Sampling weights of the question kinds in long conversations.
const LONG: [(QuestionKind, u32); 2] = [(QuestionKind::Caption, 2), (QuestionKind::Followup, 1)];

impl DialogueSampler {
    /// Appends the ids of `text`.
    fn segment(&self, branch: &mut Branch, text: &str) -> Result<()> {
        branch.ids.extend(encode(&self.tokenizer, text)?.into_iter().map(|id| id as i32));
        Ok(())
    }

    /// Appends an answer, `</s>` included, and marks its range.
    fn answer(&self, branch: &mut Branch, kind: QuestionKind, text: &str) -> Result<()> {
        let start = branch.ids.len();
        branch.kinds.push(kind);
        self.segment(branch, text)?;
        branch.ids.push(EOS as i32);
        branch.answers.push(start..branch.ids.len());
        Ok(())
    }

    /// Appends the turns that follow the image, tokenized segment by segment as the engine does.
    fn turns(&self, branch: &mut Branch, kind: QuestionKind, turns: &[Turn]) -> Result<()> {
        for turn in turns {
            let before = if branch.ids.is_empty() { "\n" } else { "USER: " };
            self.segment(branch, &format!("{before}{} ASSISTANT:", turn.question))?;
            self.answer(branch, kind, &format!(" {}", turn.answer))?;
        }
        Ok(())
    }

    /// Makes batch `index`. Per eight batches, four are short, two are long and two are chains.
    ///
    /// # Errors
    /// When a text cannot be tokenised.
    pub fn batch(&self, index: u64) -> Result<DialogueBatch> {
        let form = DialogueForm::of(index);
        let mut branches = Vec::new();
        let (mut patches, mut descriptions) = (Vec::new(), Vec::new());
        let count = match self.stage {
            TrainingStage::Captions | TrainingStage::CaptionAnswers => 3,
            _ => form.conversations(),
        };
        for image in 0..self.images {
            let mut rng = scene_rng(self.seed, index * self.images as u64 + image as u64);
            let scene = (self.scenes)(&mut rng);
            if self.stage == TrainingStage::Text {
                descriptions.push(encode(&self.tokenizer, &describe(&scene, true))?);
            } else {
                let side = rng.random_range(150..260);
                patches.extend(picture_patches(&draw(&scene, side), &self.shape)?);
            }
            branches.extend(self.branches(&scene, count, form, &mut rng)?);
        }
        let lead = match self.stage {
            TrainingStage::Captions => vec![BOS as i32],
            _ => self.lead()?,
        };
        let image_input = if self.stage == TrainingStage::Text {
            ImageInput::Description(pad(&descriptions))
        } else {
            ImageInput::Patches(patches)
        };
        Ok(pack(self.images, count, lead, image_input, &branches, self.stage == TrainingStage::Text))
    }

    /// Makes batch `index` of conversations, with pictures of a person in the place of the first `count` scenes.
    ///
    /// # Errors
    /// When a text cannot be tokenised.
    pub fn mixed(&self, own: &[OwnPicture], count: usize, index: u64) -> Result<DialogueBatch> {
        let form = DialogueForm::of(index);
        let conversations = form.conversations();
        let (mut branches, mut patches) = (Vec::new(), Vec::new());
        for image in 0..self.images {
            let mut rng = scene_rng(self.seed, index * self.images as u64 + image as u64);
            match own.choose(&mut rng) {
                Some(own) if image < count => {
                    patches.extend(own.varied(&self.shape, &mut rng));
                    for _ in 0..conversations {
                        let mut branch = Branch::default();
                        self.turns(&mut branch, QuestionKind::Followup, &[own.exchange(&mut rng)])?;
                        branches.push(branch);
                    }
                }
                own => {
                    let scene = (self.scenes)(&mut rng);
                    let side = rng.random_range(150..260);
                    patches.extend(picture_patches(&draw(&scene, side), &self.shape)?);
                    let mut about = self.branches(&scene, conversations, form, &mut rng)?;
                    if let (Some(own), Some(first), true) = (own, about.first_mut(), rng.random_bool(0.5)) {
                        *first = Branch::default();
                        self.turns(first, QuestionKind::Existence, &[own.absent()])?;
                    }
                    branches.extend(about);
                }
            }
        }
        Ok(pack(self.images, conversations, self.lead()?, ImageInput::Patches(patches), &branches, false))
    }

    /// Returns the ids of `<s>USER: `.
    ///
    /// # Errors
    /// When the text cannot be tokenised.
    pub fn lead(&self) -> Result<Vec<i32>> {
        let user = encode(&self.tokenizer, "USER: ")?;
        Ok(std::iter::once(BOS).chain(user).map(|id| id as i32).collect())
    }

    /// Samples `count` conversations about `scene`.
    fn branches(&self, scene: &Scene, count: usize, form: DialogueForm, rng: &mut ChaCha8Rng) -> Result<Vec<Branch>> {
        let mut branches = Vec::new();
        for i in 0..count {
            let mut branch = Branch { chain: form == DialogueForm::Chain, ..Branch::default() };
            if self.stage == TrainingStage::CaptionAnswers {
                if let Some(Conversation { turns, .. }) = conversation(scene, QuestionKind::Caption, rng) {
                    branch.chain = false;
                    self.turns(&mut branch, QuestionKind::Caption, &turns)?;
                }
                branches.push(branch);
                continue;
            }
            if self.stage == TrainingStage::Captions {
                self.answer(&mut branch, QuestionKind::Caption, &describe(scene, i > 0))?;
                branches.push(branch);
                continue;
            }
            let exchanges = if form == DialogueForm::Chain { rng.random_range(4..=8) } else { 1 };
            while branch.answers.len() < exchanges {
                let weights: &[(QuestionKind, u32)] = match form {
                    DialogueForm::Long => &LONG,
                    DialogueForm::Chain if rng.random_bool(0.2) => &LONG,
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

    /// Makes a batch of one conversation that ends where the answer to `question` begins; `rows` is left to the caller.
    ///
    /// # Errors
    /// When a text cannot be tokenised.
    pub fn prompt(&self, patches: Vec<f32>, history: &[Turn], question: &str) -> Result<DialogueBatch> {
        let mut branch = Branch::default();
        self.turns(&mut branch, QuestionKind::Followup, history)?;
        let before = if history.is_empty() { "\n" } else { "USER: " };
        self.segment(&mut branch, &format!("{before}{question} ASSISTANT:"))?;
        branch.answers.clear();
        Ok(pack(1, 1, self.lead()?, ImageInput::Patches(patches), &[branch], false))
    }
}

/// Pads the branches to one length and lists the tokens that are predicted; with `first_question`, those of the first
/// question too.
fn pack(
    images: usize,
    count: usize,
    lead: Vec<i32>,
    image_input: ImageInput,
    branches: &[Branch],
    first_question: bool,
) -> DialogueBatch {
    let length = branches.iter().map(|b| b.ids.len()).max().unwrap_or(1);
    let mut ids = vec![0; branches.len() * length];
    let (mut rows, mut targets, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for (i, branch) in branches.iter().enumerate() {
        let start = i * length;
        ids[start..start + branch.ids.len()].copy_from_slice(&branch.ids);
        // The row before a token predicts it. The row before a caption's first token belongs to the prefix, so the
        // caption stage learns from the second token on.
        let mut push = |span: std::ops::Range<usize>| {
            let first = rows.len();
            for at in span.filter(|&at| at > 0) {
                rows.push((start + at - 1) as i32);
                targets.push(branch.ids[at]);
            }
            first..rows.len()
        };
        for (turn, (answer, &kind)) in branch.answers.iter().zip(&branch.kinds).enumerate() {
            if first_question && turn == 0 {
                push(1..answer.start);
            }
            let last = !branch.chain && turn + 1 == branch.answers.len();
            answers.push(AnswerSpan { kind, span: push(answer.clone()), last });
        }
    }
    DialogueBatch { images, branches: count, length, lead, image_input, ids, rows, targets, answers }
}

/// Pads texts with 0 to the length of the longest.
fn pad(texts: &[Vec<u32>]) -> TokenBatch {
    let length = texts.iter().map(Vec::len).max().unwrap_or(1);
    let mut ids = vec![0; length * texts.len()];
    for (row, text) in ids.chunks_mut(length).zip(texts) {
        row.iter_mut().zip(text).for_each(|(slot, &id)| *slot = id as i32);
    }
    TokenBatch { ids, length, count: texts.len() }
}

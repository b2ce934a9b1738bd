//! Scenes in the format of LLaVA's own training data: a JSON array of conversations beside a folder of pictures.

use super::captions::describe;
use super::dataset::png;
use super::draw::draw;
use super::questions::{QuestionKind, conversation};
use super::scene::{TRAIN_SEED, sample, scene_rng};
use crate::ensure;
use crate::error::{Error, Kind, Result};
use rand::prelude::*;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LlavaTurn {
    /// `human`, `gpt` or `system`.
    pub from: String,
    /// Its text, with `<image>` at the place of the picture.
    pub value: String,
}

/// One entry of a data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LlavaEntry {
    /// Name of the entry: a text or a number.
    #[serde(default)]
    pub id: serde_json::Value,
    /// Picture below the folder of pictures; absent for text alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The turns.
    pub conversations: Vec<LlavaTurn>,
}

fn turn(from: &str, value: String) -> LlavaTurn {
    LlavaTurn { from: from.to_owned(), value }
}

/// Returns the entries of scene `index` of data set `seed`, and its picture's side: its caption (stage 1), and a
/// conversation of one to four exchanges (stage 2), every eighth about a description in place of the picture.
fn entries(seed: u64, index: u64) -> (LlavaEntry, LlavaEntry, super::draw::Picture) {
    let mut rng = scene_rng(seed, index);
    let scene = sample(&mut rng);
    let side = rng.random_range(150..260);
    let (id, image) = (serde_json::Value::from(format!("{index:06}")), Some(format!("{index:06}.png")));
    // As in LLaVA's files, the picture comes before the request or after it.
    let request = ["<image>\nDescribe the image.", "Describe the image.\n<image>"][index as usize % 2];
    let caption = describe(&scene, rng.random_bool(0.5));
    let conversations = vec![turn("human", request.to_owned()), turn("gpt", caption)];
    let captions = LlavaEntry { id: id.clone(), image: image.clone(), conversations };
    let (mut conversations, exchanges) = (Vec::new(), rng.random_range(1..=4));
    while conversations.len() < 2 * exchanges {
        let Some(&kind) = QuestionKind::ALL.choose(&mut rng) else { break };
        for exchange in conversation(&scene, kind, &mut rng).map(|c| c.turns).unwrap_or_default() {
            conversations.push(turn("human", exchange.question));
            conversations.push(turn("gpt", exchange.answer));
        }
    }
    let text_only = index % 8 == 7;
    if let Some(first) = conversations.first_mut() {
        first.value = match text_only {
            true => format!("A picture shows this: {}\n{}", describe(&scene, true), first.value),
            false => format!("<image>\n{}", first.value),
        };
    }
    let instructions = LlavaEntry { id, image: image.filter(|_| !text_only), conversations };
    (captions, instructions, draw(&scene, side))
}

/// Writes `count` scenes of data set `seed` into `out`: `images/`, `captions.json` for stage 1 and `instructions.json`
/// for stage 2.
///
/// # Errors
/// [`Kind::Argument`] for a seed that is reserved for training the shipped model, [`Kind::Io`] when a file cannot be
/// written.
pub fn write(seed: u64, count: u64, out: &Path) -> Result<()> {
    ensure!(seed < TRAIN_SEED, Argument, "--seed", "{seed} is reserved; take one below {TRAIN_SEED}");
    let io = |e: std::io::Error| Error::new(Kind::Io, out.display().to_string(), e.to_string());
    std::fs::create_dir_all(out.join("images")).map_err(io)?;
    let open = |name: &str| std::fs::File::create(out.join(name)).map(std::io::BufWriter::new).map_err(io);
    let mut files = [open("captions.json")?, open("instructions.json")?];
    for index in 0..count {
        let (captions, instructions, picture) = entries(seed, index);
        std::fs::write(out.join(format!("images/{index:06}.png")), png(&picture)?).map_err(io)?;
        for (file, entry) in files.iter_mut().zip([captions, instructions]) {
            let before = if index == 0 { "[\n" } else { ",\n" };
            let line = serde_json::to_string(&entry).map_err(|e| io(e.into()))?;
            write!(file, "{before}{line}").map_err(io)?;
        }
    }
    for mut file in files {
        let end = if count == 0 { "[]\n" } else { "\n]\n" };
        file.write_all(end.as_bytes()).and_then(|()| file.flush()).map_err(io)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_those_of_llavas_files() {
        let (mut alone, mut longest) = (0, 0);
        for index in 0..64 {
            let (captions, instructions, _) = entries(3, index);
            let marks = |entry: &LlavaEntry| entry.conversations.iter().filter(|t| t.value.contains("<image>")).count();
            assert_eq!((marks(&captions), captions.conversations.len()), (1, 2));
            assert_eq!(marks(&instructions), usize::from(instructions.image.is_some()));
            for pair in instructions.conversations.chunks(2) {
                assert_eq!((pair[0].from.as_str(), pair[1].from.as_str()), ("human", "gpt"));
            }
            alone += usize::from(instructions.image.is_none());
            longest = longest.max(instructions.conversations.len());
        }
        assert!(alone == 8 && longest >= 6, "{alone} {longest}");
    }
}

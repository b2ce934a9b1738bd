//! SEED-Bench (first version): multiple choice in nine kinds about pictures (`images`); with three about videos, `all`.

use crate::data::{Data, Record, inside};
use crate::error::Result;
use crate::output::Output;
use crate::question::{Answers, Finish, LETTER, LOADER_TOKENS, Mark, Question, Suite, llava_or, options, with};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// A question of the official file.
#[derive(Debug, Clone)]
struct Official {
    id: String,
    kind: String,
    video: bool,
    answer: String,
}

struct Seed {
    /// Official question of each asked one; `None` where the official file has none.
    labels: Vec<Option<Official>>,
}

/// Returns the user's text.
fn asked(record: &Record) -> Result<String> {
    let choices = ["choice_a", "choice_b", "choice_c", "choice_d"].map(|field| record.text(field).map(str::to_owned));
    let choices = choices.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(with(&options(record.text("question")?, &choices), LETTER))
}

fn official(record: &Record, kinds: &HashMap<i64, String>) -> Result<Official> {
    let kind = record.integer("question_type_id")?;
    let answer = record.text("answer")?.to_owned();
    if !["A", "B", "C", "D"].contains(&answer.as_str()) {
        return Err(record.refused("answer", &format!("is `{answer}`, no letter from A to D")));
    }
    let video = match record.text("data_type")? {
        "image" => false,
        "video" => true,
        other => return Err(record.refused("data_type", &format!("is `{other}`, neither image nor video"))),
    };
    let kind = kinds.get(&kind).cloned().unwrap_or_else(|| kind.to_string());
    Ok(Official { id: record.text("question_id")?.to_owned(), kind, video, answer })
}

/// Makes a question of the official file; of a video, about its middle frame as LLaVA's script saves it.
fn question(record: &Record, own: &Official, data: &Data) -> Result<Question> {
    let (folder, file) = match own.video {
        false => ("SEED-Bench-image", record.text("data_id")?.to_owned()),
        true => ("SEED-Bench-video-image", format!("{}_{}.png", record.integer("question_type_id")?, own.id)),
    };
    // As in LLaVA's file: a number, or of a video a text that begins with v.
    let id = match (own.video, own.id.parse::<u64>()) {
        (true, _) => json!(format!("v{}", own.id)),
        (false, Ok(number)) => json!(number),
        (false, Err(_)) => json!(own.id),
    };
    Ok(Question::new(id, inside(&data.pictures(folder), &file, record)?, asked(record)?))
}

fn kinds(record: &mut Record) -> Result<HashMap<i64, String>> {
    let types = record.take("question_type")?;
    let (place, mut kinds) = (types.place.clone(), HashMap::new());
    for (name, _) in types.clone().into_map()? {
        kinds.insert(types.integer(&name)?, name);
    }
    crate::ensure!(!kinds.is_empty(), Io, place, "is empty");
    Ok(kinds)
}

/// Reads the benchmark.
///
/// # Errors
/// [`crate::error::Kind::Io`] for a missing or malformed file.
pub fn open(data: &Data) -> Result<Suite> {
    let videos = data.split(&["images", "all"])? == "all";
    let mut file = data.json(&data.need(&["SEED-Bench.json"])?)?;
    let kinds = kinds(&mut file)?;
    let records = file.take("questions")?.into_list()?;
    let all = records.iter().map(|record| official(record, &kinds)).collect::<Result<Vec<_>>>()?;
    let folder: &Path = &data.folder;
    let mut questions = llava_or(data, &["llava-seed-bench.jsonl"], folder, || {
        records.iter().zip(&all).map(|(record, own)| question(record, own, data)).collect()
    })?;
    // An id occurs twice: the n-th question of an id has the n-th label of it.
    let mut by_id: HashMap<&str, Vec<&Official>> = HashMap::new();
    all.iter().for_each(|own| by_id.entry(&own.id).or_default().push(own));
    let mut used: HashMap<String, usize> = HashMap::new();
    let mut label = |question: &Question| {
        let id = question.id.as_str().map_or_else(|| question.id.to_string(), str::to_owned);
        let n = used.entry(id.clone()).or_default();
        *n += 1;
        let own = by_id.get(id.as_str()).or_else(|| by_id.get(id.trim_start_matches('v')))?;
        own.get(*n - 1).or(own.first()).map(|own| (*own).clone())
    };
    let labels: Vec<Option<Official>> = questions.iter().map(&mut label).collect();
    let is_video = |question: &Question, label: &Option<Official>| match label {
        Some(own) => own.video,
        None => question.id.as_str().is_some_and(|id| id.starts_with('v')),
    };
    let keep: Vec<bool> = questions.iter().zip(&labels).map(|(q, label)| videos || !is_video(q, label)).collect();
    let mut kept = keep.iter();
    questions.retain(|_| *kept.next().unwrap_or(&true));
    let labels = labels.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(label, _)| label).collect();
    Ok(Suite { questions, max_new_tokens: LOADER_TOKENS, finish: Box::new(Seed { labels }) })
}

impl Finish for Seed {
    fn mark(&self, index: usize, _: &Question, text: &str) -> Option<Mark> {
        let own = self.labels.get(index)?.as_ref()?;
        Some(Mark::new(own.answer.as_str(), text == own.answer))
    }

    fn finish(&self, answers: &Answers<'_>, out: &mut Output) -> Result<()> {
        let (mut parts, mut lines): (BTreeMap<&str, Vec<bool>>, Vec<Value>) = Default::default();
        let (mut all, mut unknown) = (Vec::new(), 0);
        let mut by_kind: BTreeMap<&str, Vec<bool>> = BTreeMap::new();
        for (index, _, text) in answers.iter() {
            let Some(own) = &self.labels[index] else {
                unknown += 1;
                continue;
            };
            let right = text == own.answer;
            parts.entry(if own.video { "videos" } else { "images" }).or_default().push(right);
            by_kind.entry(&own.kind).or_default().push(right);
            all.push(right);
            lines.push(json!({ "question_id": own.id, "prediction": text }));
        }
        out.lines("results.json", lines.into_iter(), "SEED-Bench's leaderboard");
        parts.iter().for_each(|(name, right)| out.accuracy(format!("accuracy, {name}"), right));
        if parts.len() > 1 {
            out.accuracy("accuracy, images and videos", &all);
        }
        by_kind.iter().for_each(|(name, right)| out.accuracy(format!("accuracy, {name}"), right));
        if unknown > 0 {
            out.note(format!("{unknown} questions are not in SEED-Bench.json and are not scored"));
        }
        Ok(())
    }
}

//! Samples of multiple-choice benchmarks.

use super::{Scene, Target};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use llava_web::error::{Error, Kind, Result};
use llava_web::scenes::questions::QuestionKind;
use serde_json::{Map, Value, json};

/// The colours that are options.
const COLOURS: [&str; 8] = ["red", "green", "blue", "yellow", "orange", "purple", "black", "white"];

/// Returns a question with four options, and the index of the right one.
fn four(scene: &Scene) -> (String, Vec<String>, usize) {
    let colour = scene.of(QuestionKind::Colour);
    let (question, answer) = colour.map_or(scene.first(), |qa| (&qa.question, &qa.short));
    let right = scene.index % 4;
    let mut options: Vec<String> = COLOURS.iter().filter(|c| **c != answer).take(3).map(|c| (*c).to_owned()).collect();
    options.insert(right, answer.to_owned());
    (question.to_owned(), options, right)
}

pub fn scienceqa(scenes: &[Scene], to: &Target) -> Result<()> {
    let (mut problems, mut test) = (Map::new(), Vec::new());
    for scene in scenes {
        let (question, options, right) = four(scene);
        let id = (scene.index * 2 + 5).to_string();
        to.write(&format!("images/test/{id}/image.png"), &scene.png()?)?;
        let hint = if scene.index % 2 == 0 { "Look at the picture." } else { "" };
        let problem = |question: &str, choices: &[String], answer: usize, hint: &str, image: Option<&str>| {
            json!({
                "question": question, "choices": choices, "answer": answer, "hint": hint, "image": image,
                "task": "closed choice", "grade": "grade2", "subject": "natural science", "topic": "physics",
                "category": "Materials", "skill": "Compare colors", "lecture": "", "solution": "", "split": "test",
            })
        };
        problems.insert(id.clone(), problem(&question, &options, right, hint, Some("image.png")));
        test.push(id);
        if scene.index % 2 == 1 {
            // One without a picture.
            let id = (scene.index * 2 + 6).to_string();
            let choices = ["five".to_owned(), "seven".to_owned()];
            problems.insert(id.clone(), problem("How many sides has a pentagon?", &choices, 0, "", None));
            test.push(id);
        }
    }
    to.json("problems.json", &problems.into())?;
    to.json("pid_splits.json", &json!({ "train": [], "val": [], "test": test }))
}

pub fn mmbench(scenes: &[Scene], to: &Target, name: &str) -> Result<()> {
    let failed = |e: String| Error::new(Kind::Io, name, e);
    let mut table = csv::WriterBuilder::new().delimiter(b'\t').from_writer(Vec::new());
    let columns = [
        "index",
        "question",
        "hint",
        "A",
        "B",
        "C",
        "D",
        "answer",
        "category",
        "image",
        "source",
        "l2-category",
        "comment",
        "split",
    ];
    table.write_record(columns).map_err(|e| failed(e.to_string()))?;
    for scene in scenes {
        let (question, options, right) = four(scene);
        // Every third has two options, and the others four.
        let two = scene.index % 3 == 2;
        let wrong = options[(right + 1) % 4].clone();
        let options = if two { vec![options[right].clone(), wrong] } else { options };
        let right = if two { 0 } else { right };
        let hint = if scene.index % 2 == 0 { "The picture was \"drawn\".\nIt has colours." } else { "" };
        let image = STANDARD.encode(scene.jpeg()?);
        for rotation in 0..options.len() {
            let mut rotated = options.clone();
            rotated.rotate_right(rotation);
            let answer = ["A", "B", "C", "D"][(right + rotation) % options.len()];
            let cell = |i: usize| rotated.get(i).map_or("", String::as_str);
            let index = (scene.index + rotation * 1_000_000).to_string();
            let cells = [
                index.as_str(),
                &question,
                hint,
                cell(0),
                cell(1),
                cell(2),
                cell(3),
                answer,
                "attribute_recognition",
                &image,
                "drawn",
                "finegrained_perception (instance-level)",
                "",
                "dev",
            ];
            table.write_record(cells).map_err(|e| failed(e.to_string()))?;
        }
    }
    to.write(name, &table.into_inner().map_err(|e| failed(e.to_string()))?)
}

pub fn seed(scenes: &[Scene], to: &Target) -> Result<()> {
    let mut questions: Vec<Value> = Vec::new();
    for scene in scenes {
        let (question, options, right) = four(scene);
        let video = scene.index % 4 == 3;
        let (kind, id) = (if video { 10 } else { 3 }, (101_669 + scene.index).to_string());
        let file = format!("{}_{}", 1_454_426 + scene.index, 2_591_111_986_u64);
        match video {
            false => to.write(&format!("SEED-Bench-image/{file}"), &scene.jpeg()?)?,
            true => to.write(&format!("SEED-Bench-video-image/{kind}_{id}.png"), &scene.png()?)?,
        }
        let answer = ["A", "B", "C", "D"][right];
        let mut record = json!({
            "answer": answer, "choice_a": options[0], "choice_b": options[1],
            "choice_c": options[2], "choice_d": options[3], "data_id": file,
            "data_type": if video { "video" } else { "image" }, "question": question, "question_id": id,
            "question_type_id": kind,
        });
        if video {
            record["segment"] = json!([1.0, 3.5]);
        }
        questions.push(record);
    }
    let kinds = json!({
        "Scene Understanding": 1, "Instance Identity": 2, "Instance Attributes": 3, "Instance Location": 4,
        "Instances Counting": 5, "Spatial Relation": 6, "Instance Interaction": 7, "Visual Reasoning": 8,
        "Text Understanding": 9, "Action Recognition": 10, "Action Prediction": 11, "Procedure Understanding": 12,
    });
    to.json("SEED-Bench.json", &json!({ "questions": questions, "question_type": kinds }))
}

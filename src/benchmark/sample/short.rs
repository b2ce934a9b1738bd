//! Samples of benchmarks with short or free answers.

use super::{Scene, Target, ten};
use llava_web::error::Result;
use llava_web::scenes::questions::QuestionKind;
use serde_json::{Map, Value, json};

pub fn vqav2(scenes: &[Scene], to: &Target) -> Result<()> {
    let (mut questions, mut labels) = (Vec::new(), Vec::new());
    for scene in scenes {
        for folder in ["val2014", "test2015"] {
            to.write(&format!("{folder}/COCO_{folder}_{:012}.jpg", scene.index), &scene.jpeg()?)?;
        }
        let yes =
            scene.yes_no.iter().zip(["yes", "no"]).map(|(question, answer)| (question.as_str(), answer, "yes/no"));
        let other = scene.asked.iter().map(|qa| {
            let number = qa.kind == QuestionKind::Count;
            (qa.question.as_str(), qa.short.as_str(), if number { "number" } else { "other" })
        });
        for (n, (question, answer, answer_type)) in yes.chain(other).enumerate() {
            let id = scene.index * 1000 + n;
            questions.push(json!({ "image_id": scene.index, "question": question, "question_id": id }));
            let people = ten(answer, n).into_iter().enumerate();
            let people: Vec<Value> = people
                .map(|(i, answer)| json!({ "answer": answer, "answer_confidence": "yes", "answer_id": i + 1 }))
                .collect();
            let kind = question.split(' ').take(2).collect::<Vec<_>>().join(" ").to_lowercase();
            labels.push(json!({
                "question_type": kind, "multiple_choice_answer": answer, "answers": people,
                "image_id": scene.index, "answer_type": answer_type, "question_id": id,
            }));
        }
    }
    let file = |subtype: &str, questions: &[Value]| {
        json!({
            "info": {}, "task_type": "Open-Ended", "data_type": "mscoco", "data_subtype": subtype, "license": {},
            "questions": questions,
        })
    };
    // Of test2015, the half that is test-dev is asked.
    let half: Vec<Value> = questions.iter().step_by(2).cloned().collect();
    to.json("v2_OpenEnded_mscoco_test2015_questions.json", &file("test2015", &questions))?;
    to.json("v2_OpenEnded_mscoco_test-dev2015_questions.json", &file("test-dev2015", &half))?;
    to.json("v2_OpenEnded_mscoco_val2014_questions.json", &file("val2014", &questions))?;
    let labels =
        json!({ "info": {}, "data_type": "mscoco", "data_subtype": "val2014", "license": {}, "annotations": labels });
    to.json("v2_mscoco_val2014_annotations.json", &labels)
}

pub fn gqa(scenes: &[Scene], to: &Target) -> Result<()> {
    let mut file = Map::new();
    for scene in scenes {
        let image = format!("n{:06}", scene.index);
        to.write(&format!("images/{image}.jpg"), &scene.jpeg()?)?;
        let yes =
            scene.yes_no.iter().zip(["yes", "no"]).map(|(q, answer)| (q.clone(), answer.to_owned(), "verify", "obj"));
        let query = scene.asked.iter().map(|qa| (qa.question.clone(), qa.short.to_lowercase(), "query", "attr"));
        for (n, (question, answer, structural, semantic)) in yes.chain(query).enumerate() {
            let group = (structural == "query").then(|| format!("scene-{semantic}"));
            let record = json!({
                "question": question, "imageId": image, "answer": answer, "isBalanced": true,
                "types": { "structural": structural, "semantic": semantic, "detailed": structural },
                "semantic": [{ "operation": "select", "argument": "scene", "dependencies": [] }],
                "groups": { "global": group, "local": null }, "entailed": [], "fullAnswer": answer, "annotations": {},
            });
            file.insert(format!("{:09}", scene.index * 100 + n), record);
        }
    }
    to.json("testdev_balanced_questions.json", &file.into())
}

pub fn vizwiz(scenes: &[Scene], to: &Target) -> Result<()> {
    let (mut test, mut val) = (Vec::new(), Vec::new());
    for scene in scenes {
        let (question, answer) = scene.first();
        for (split, list) in [("test", &mut test), ("val", &mut val)] {
            let image = format!("VizWiz_{split}_{:08}.jpg", scene.index);
            to.write(&format!("{split}/{image}"), &scene.jpeg()?)?;
            list.push(json!({ "image": image, "question": question }));
        }
        let people = ten(answer, scene.index).into_iter();
        let people: Vec<Value> = people.map(|a| json!({ "answer": a, "answer_confidence": "yes" })).collect();
        if let Some(Value::Object(last)) = val.last_mut() {
            last.extend([("answers".into(), people.into()), ("answer_type".into(), json!("other"))]);
            last.insert("answerable".into(), json!(1));
        }
    }
    to.json("test.json", &test.into())?;
    to.json("val.json", &val.into())
}

pub fn textvqa(scenes: &[Scene], to: &Target) -> Result<()> {
    let (mut data, mut read) = (Vec::new(), Vec::new());
    for scene in scenes {
        let image = format!("{:016x}", scene.index);
        to.write(&format!("train_images/{image}.jpg"), &scene.jpeg()?)?;
        let text = scene.of(QuestionKind::Text);
        let (question, answer) = text.map_or(scene.first(), |qa| (&qa.question, &qa.short));
        let words: Vec<&str> = text.iter().map(|qa| qa.short.as_str()).collect();
        data.push(json!({
            "question": question.to_lowercase(), "image_id": image, "image_classes": ["Scene"],
            "image_width": scene.picture.width, "image_height": scene.picture.height,
            "question_tokens": question.split(' ').collect::<Vec<_>>(), "question_id": 34602 + scene.index,
            "answers": ten(answer, scene.index), "set_name": "val",
        }));
        read.push(json!({ "image_id": image, "ocr_tokens": words, "ocr_info": [] }));
    }
    let file =
        |data| json!({ "dataset_type": "val", "dataset_name": "textvqa", "dataset_version": "0.5.1", "data": data });
    to.json("TextVQA_0.5.1_val.json", &file(data))?;
    to.json("TextVQA_Rosetta_OCR_v0.2_val.json", &file(read))
}

pub fn pope(scenes: &[Scene], to: &Target) -> Result<()> {
    let mut lines = Vec::new();
    for scene in scenes {
        let image = format!("COCO_val2014_{:012}.jpg", scene.index);
        to.write(&format!("val2014/{image}"), &scene.jpeg()?)?;
        for (text, label) in scene.yes_no.iter().zip(["yes", "no"]) {
            lines.push(json!({ "question_id": lines.len() + 1, "image": image, "text": text, "label": label }));
        }
    }
    ["random", "popular", "adversarial"]
        .into_iter()
        .try_for_each(|set| to.lines(&format!("coco/coco_pope_{set}.json"), &lines))
}

pub fn mme(scenes: &[Scene], to: &Target) -> Result<()> {
    let tasks = [("existence", "", ""), ("scene", "images/", "questions_answers_YN/"), ("code_reasoning", "", "")];
    for (scene, (task, images, texts)) in scenes.iter().zip(tasks.into_iter().cycle()) {
        let folder = format!("MME_Benchmark_release_version/{task}");
        to.write(&format!("{folder}/{images}{:04}.jpg", scene.index), &scene.jpeg()?)?;
        let [yes, no] = &scene.yes_no;
        // The last task has two blanks before the ending, as some of the published ones.
        let gap = if task == "code_reasoning" { "  " } else { " " };
        let ending = format!("{gap}Please answer yes or no.");
        let text = format!("{yes}{ending}\tYes\n{no}{ending}\tNo\n");
        to.write(&format!("{folder}/{texts}{:04}.txt", scene.index), text.as_bytes())?;
    }
    Ok(())
}

pub fn llava_bench(scenes: &[Scene], to: &Target) -> Result<()> {
    let mut lines = Vec::new();
    for scene in scenes {
        let image = format!("{:03}.jpg", scene.index + 1);
        to.write(&format!("images/{image}"), &scene.jpeg()?)?;
        let text = ["Describe the image.", scene.first().0][scene.index % 2];
        let category = ["detail", "conv"][scene.index % 2];
        lines.push(json!({ "question_id": scene.index, "image": image, "category": category, "text": text }));
    }
    to.lines("questions.jsonl", &lines)
}

pub fn mm_vet(scenes: &[Scene], to: &Target) -> Result<()> {
    let mut file = Map::new();
    for scene in scenes {
        let (question, answer) = scene.first();
        let image = format!("v1_{}.png", scene.index);
        to.write(&format!("images/{image}"), &scene.png()?)?;
        let record = json!({ "imagename": image, "question": question, "answer": answer, "capability": ["rec"] });
        file.insert(format!("v1_{}", scene.index), record);
    }
    to.json("mm-vet.json", &file.into())
}

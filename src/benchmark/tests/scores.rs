//! Right answers, taken from the published labels by other means, score full marks; and the files hold them.

mod common;

use common::{Folder, finish, score};
use llava_benchmark::Benchmark;
use serde_json::{Value, json};

/// Full marks with `right`, and `wrong` for every other question halves the answers that are right.
fn check(benchmark: Benchmark, split: Option<&str>, folder: &Folder, right: &[String], row: &str) {
    let suite = folder.open(benchmark, split).unwrap();
    assert_eq!(suite.questions.len(), right.len(), "{benchmark:?}");
    let out = Folder::new();
    let given: Vec<Option<String>> = right.iter().cloned().map(Some).collect();
    assert_eq!(score(&finish(&suite, &given, &out.0), row), 100.0, "{benchmark:?}");
    let wrong: Vec<Option<String>> = right.iter().map(|_| Some("zzz".into())).collect();
    assert_eq!(score(&finish(&suite, &wrong, &out.0), row), 0.0, "{benchmark:?}");
    // Without any answer there is no score, and no failure.
    finish(&suite, &vec![None; right.len()], &out.0);
    let lines = out.lines("answers.jsonl");
    assert!(lines.is_empty());
    finish(&suite, &given, &out.0);
    for (line, (question, text)) in out.lines("answers.jsonl").iter().zip(suite.questions.iter().zip(right)) {
        assert_eq!((&line["question_id"], line["text"].as_str()), (&question.id, Some(text.as_str())));
        assert_eq!(line["prompt"].as_str(), Some(question.prompt.as_str()));
        assert_eq!((&line["model_id"], &line["metadata"]), (&json!("m"), &json!({})));
    }
}

fn texts(list: &Value, field: impl Fn(&Value) -> String) -> Vec<String> {
    list.as_array().unwrap().iter().map(field).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn answers_of_people_score_full_marks() {
    let folder = Folder::sample(Benchmark::Vqav2, 3);
    let labels = &folder.json("v2_mscoco_val2014_annotations.json")["annotations"];
    let right = texts(labels, |label| text(&label["answers"][0]["answer"]));
    check(Benchmark::Vqav2, Some("val"), &folder, &right, "accuracy");

    let folder = Folder::sample(Benchmark::Vizwiz, 3);
    let right = texts(&folder.json("val.json"), |label| text(&label["answers"][0]["answer"]));
    check(Benchmark::Vizwiz, Some("val"), &folder, &right, "accuracy");

    let folder = Folder::sample(Benchmark::Textvqa, 3);
    let right = texts(&folder.json("TextVQA_0.5.1_val.json")["data"], |label| text(&label["answers"][0]));
    check(Benchmark::Textvqa, None, &folder, &right, "accuracy");
}

#[test]
fn the_vqa_server_gets_every_question_of_test2015() {
    let folder = Folder::sample(Benchmark::Vqav2, 2);
    let suite = folder.open(Benchmark::Vqav2, None).unwrap();
    let out = Folder::new();
    let mut given = vec![Some("Two.".to_owned()); suite.questions.len()];
    given[1] = None;
    finish(&suite, &given, &out.0);
    let upload = out.json("vqav2_upload.json");
    let all = &folder.json("v2_OpenEnded_mscoco_test2015_questions.json")["questions"];
    let ids = |list: &Value| texts(list, |item| item["question_id"].to_string());
    assert_eq!(ids(&upload), ids(all));
    // Asked, not of test-dev, asked but without an answer.
    assert_eq!([0, 1, 2].map(|i| text(&upload[i]["answer"])), ["2", "", ""]);
}

#[test]
fn exact_matches_score_full_marks() {
    let folder = Folder::sample(Benchmark::Gqa, 3);
    let labels = folder.json("testdev_balanced_questions.json");
    let right: Vec<String> = labels.as_object().unwrap().values().map(|q| text(&q["answer"])).collect();
    check(Benchmark::Gqa, None, &folder, &right, "accuracy");
    let suite = folder.open(Benchmark::Gqa, None).unwrap();
    let out = Folder::new();
    let shouted: Vec<_> = right.iter().map(|answer| Some(answer.to_uppercase() + "..")).collect();
    let result = finish(&suite, &shouted, &out.0);
    assert_eq!([score(&result, "accuracy, binary"), score(&result, "accuracy, open")], [100.0; 2]);
    assert_eq!(score(&result, "distribution (lower is better)"), 0.0);
    let predictions = out.json("testdev_balanced_predictions.json");
    assert_eq!(texts(&predictions, |p| text(&p["prediction"])), right);

    let folder = Folder::sample(Benchmark::Seed, 5);
    let labels = folder.json("SEED-Bench.json");
    let right = texts(&labels["questions"], |q| text(&q["answer"]));
    check(Benchmark::Seed, Some("all"), &folder, &right, "accuracy, images and videos");
    let images = [&right[..3], &right[4..]].concat();
    check(Benchmark::Seed, None, &folder, &images, "accuracy, images");
    let suite = folder.open(Benchmark::Seed, None).unwrap();
    let dotted: Vec<_> = images.iter().map(|letter| Some(format!("{letter}."))).collect();
    assert_eq!(score(&finish(&suite, &dotted, &out.0), "accuracy, images"), 0.0, "no extraction");

    let folder = Folder::sample(Benchmark::Scienceqa, 4);
    let (problems, splits) = (folder.json("problems.json"), folder.json("pid_splits.json"));
    let letter = |id: &Value| {
        ["A", "B", "C", "D"][problems[id.as_str().unwrap()]["answer"].as_u64().unwrap() as usize].to_owned()
    };
    let right = texts(&splits["test"], letter);
    check(Benchmark::Scienceqa, Some("all"), &folder, &right, "accuracy, questions with a picture");
    check(Benchmark::Scienceqa, Some("all"), &folder, &right, "accuracy, all questions");
}

#[test]
fn yes_and_no_score_full_marks() {
    let folder = Folder::sample(Benchmark::Pope, 4);
    // Every set has two questions on each picture: yes, then no.
    let right: Vec<String> = ["Yes", "No"].iter().cycle().take(24).map(|answer| (*answer).to_owned()).collect();
    let suite = folder.open(Benchmark::Pope, None).unwrap();
    let out = Folder::new();
    let given: Vec<_> = right.iter().cloned().map(Some).collect();
    let result = finish(&suite, &given, &out.0);
    for set in ["random", "popular", "adversarial"] {
        assert_eq!(
            [score(&result, &format!("{set}: F1")), score(&result, &format!("{set}: yes ratio"))],
            [100.0, 50.0]
        );
        assert_eq!(out.lines(&format!("coco_pope_{set}_answers.json"))[1]["answer"], "No");
    }
    assert_eq!(score(&result, "F1, mean of the three sets"), 100.0);
    // Yes to everything: precision 1/2, recall 1, F1 2/3.
    let yes = vec![Some("Yes".to_owned()); 24];
    let f1 = score(&finish(&suite, &yes, &out.0), "F1, mean of the three sets");
    assert!((f1 - 200.0 / 3.0).abs() < 1e-9, "{f1}");

    let folder = Folder::sample(Benchmark::Mme, 6);
    let suite = folder.open(Benchmark::Mme, None).unwrap();
    let given: Vec<_> = right.iter().take(12).cloned().map(Some).collect();
    let result = finish(&suite, &given, &out.0);
    assert_eq!(score(&result, "perception (points, at most 2000)"), 400.0, "two tasks of the sample");
    assert_eq!(score(&result, "cognition (points, at most 800)"), 200.0);
    assert!(result.notes.is_empty(), "{:?}", result.notes);
    let published = folder.read("MME_Benchmark_release_version/code_reasoning/0002.txt");
    let wanted: String =
        published.lines().zip(["Yes", "No"]).map(|(line, answer)| format!("0002.txt\t{line}\t{answer}\n")).collect();
    assert!(out.read("mme/code_reasoning.txt").starts_with(&wanted), "the tool's lines hold the question as published");
    // Yes to everything: half of the questions, no picture.
    let yes = vec![Some("Yes".to_owned()); 12];
    let result = finish(&suite, &yes, &out.0);
    assert_eq!([score(&result, "existence: accuracy"), score(&result, "existence: accuracy+")], [50.0, 0.0]);
}

#[test]
fn rotations_count_together() {
    for benchmark in [Benchmark::Mmbench, Benchmark::MmbenchCn] {
        let folder = Folder::sample(benchmark, 3);
        let suite = folder.open(benchmark, None).unwrap();
        assert_eq!(suite.questions.len(), 4 + 4 + 2, "the third has two options");
        let name =
            if benchmark == Benchmark::Mmbench { "mmbench_dev_20230712.tsv" } else { "mmbench_dev_cn_20231003.tsv" };
        // The eighth column is the answer; questions and hints of the sample hold no tab.
        let table = folder.read(name).replace("The picture was \"\"drawn\"\".\nIt has colours.", "hint");
        let right: Vec<String> =
            table.lines().skip(1).map(|line| line.split('\t').nth(7).unwrap().to_owned()).collect();
        check(benchmark, None, &folder, &right, "circular accuracy");
        // One wrong rotation of the first question: 9 of 10 rows, 2 of 3 questions.
        let out = Folder::new();
        let mut given: Vec<_> = right.iter().cloned().map(Some).collect();
        given[3] = Some("zzz".into());
        let result = finish(&suite, &given, &out.0);
        assert_eq!(score(&result, "accuracy of single rows"), 90.0);
        assert!((score(&result, "circular accuracy") - 200.0 / 3.0).abs() < 1e-9);
        // One that was not asked: its question does not count.
        given[3] = None;
        assert_eq!(score(&finish(&suite, &given, &out.0), "circular accuracy"), 100.0);
        let bytes = std::fs::read(out.path("m.xlsx")).unwrap();
        let xml = String::from_utf8_lossy(&bytes);
        let header = ["index", "question", "A", "B", "C", "D", "prediction", "answer", "split"];
        let at = header.map(|name| xml.find(&format!("<t xml:space=\"preserve\">{name}</t>")).unwrap());
        assert!(at.is_sorted() && xml.contains("<c r=\"A2\"><v>0</v></c>") && xml.contains("<c r=\"G2\""), "{xml}");
        assert!(!xml.contains("<c r=\"G5\"") && !xml.contains(">hint<"), "no prediction in the fourth row, no hint");
        assert_eq!(out.lines("answers.jsonl")[0]["option_char"], json!(["A", "B", "C", "D"]));
    }
}

#[test]
fn judges_get_their_files() {
    let out = Folder::new();
    let folder = Folder::sample(Benchmark::MmVet, 3);
    let suite = folder.open(Benchmark::MmVet, None).unwrap();
    finish(&suite, &[Some("a".into()), None, Some("c".into())], &out.0);
    assert_eq!(out.json("m.json"), json!({ "v1_0": "a", "v1_2": "c" }));
    let folder = Folder::sample(Benchmark::LlavaBench, 2);
    let suite = folder.open(Benchmark::LlavaBench, None).unwrap();
    assert_eq!((suite.max_new_tokens, suite.questions[0].text.as_str()), (1024, "Describe the image."));
    finish(&suite, &[Some("a".into()), Some("b".into())], &out.0);
    assert_eq!(out.lines("answers.jsonl")[1]["prompt"], suite.questions[1].text.as_str());
    let folder = Folder::sample(Benchmark::Vizwiz, 2);
    let suite = folder.open(Benchmark::Vizwiz, None).unwrap();
    finish(&suite, &[Some("Unanswerable".into()), Some("The cat's".into())], &out.0);
    let wanted = json!([
        { "image": "VizWiz_test_00000000.jpg", "answer": "unanswerable" },
        { "image": "VizWiz_test_00000001.jpg", "answer": "cat 's" },
    ]);
    assert_eq!(out.json("vizwiz_upload.json"), wanted);
}

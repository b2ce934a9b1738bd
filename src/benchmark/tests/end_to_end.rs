//! The shipped model through the program: killed, continued, and scored.

mod common;

use common::Folder;
use llava_benchmark::Benchmark;
use llava_benchmark::asker::Setup;
use llava_benchmark::run::{Answerer, bytes_of};
use llava_web::device::BackendChoice;
use llava_web::preprocess::Rendering;
use llava_web::scenes::engine_vqa::EngineVqa;
use llava_web::scenes::eval;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn model() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../www/models/scenes").to_string_lossy().into_owned()
}

/// Returns the command that asks the shipped model the sample in `data`, with answers in `out`.
fn command(benchmark: Benchmark, data: &Folder, out: &Folder, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_benchmark"));
    command.arg(benchmark.name()).args(["--model", &model(), "--backend", "cpu", "--data"]).arg(&data.0);
    command.arg("--out").arg(&out.0).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(benchmark: Benchmark, data: &Folder, out: &Folder, more: &[&str]) -> Output {
    let output = command(benchmark, data, out, more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Starts a run, kills it when `answers` are in the journal, and tears the last line. Returns how many of the first
/// `limit` questions have an answer.
fn kill_after(answers: usize, limit: u64, benchmark: Benchmark, data: &Folder, out: &Folder) -> usize {
    let mut child = command(benchmark, data, out, &["--threads", "1"]).spawn().unwrap();
    let start = Instant::now();
    let journal = out.path("journal.jsonl");
    let lines = || std::fs::read_to_string(&journal).unwrap_or_default().lines().count();
    while lines() < 1 + answers {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
        assert!(start.elapsed() < Duration::from_secs(300), "no answer in five minutes");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let text = out.read("journal.jsonl");
    let torn = text.trim_end().len() - 3;
    std::fs::write(&journal, &text[..torn]).unwrap();
    let whole: Vec<&str> = text.lines().skip(1).collect();
    let index = |line: &&str| serde_json::from_str::<serde_json::Value>(line).unwrap()["index"].as_u64().unwrap();
    whole[..whole.len() - 1].iter().filter(|line| index(line) < limit).count()
}

/// A killed run continues to the same files as one that was not, with several workers too.
fn resumes(benchmark: Benchmark, pictures: u64, limit: &str) -> [Folder; 2] {
    let data = Folder::sample(benchmark, pictures);
    let [killed, whole] = [Folder::new(), Folder::new()];
    let left = kill_after(4, limit.parse().unwrap(), benchmark, &data, &killed);
    let more = ["--limit", limit];
    let output = run(benchmark, &data, &killed, &[&more[..], &["--workers", "2"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(&format!("questions, {left} answered")), "{left}: {stderr}");
    assert!(stderr.contains(" left"), "{stderr}");
    let mut indices: Vec<u64> =
        killed.lines("journal.jsonl")[1..].iter().map(|l| l["index"].as_u64().unwrap()).collect();
    let asked = indices.len();
    indices.sort_unstable();
    indices.dedup();
    assert_eq!(indices.len(), asked, "no question is answered twice");
    run(benchmark, &data, &whole, &more);
    for name in ["answers.jsonl", "scores.json"] {
        assert_eq!(killed.read(name), whole.read(name), "{name}");
    }
    assert_eq!(whole.lines("answers.jsonl").len().to_string(), limit);
    // Nothing is left to ask.
    let again = run(benchmark, &data, &whole, &more);
    assert!(String::from_utf8_lossy(&again.stderr).contains(", 0 to ask"));
    [data, whole]
}

fn value(out: &Folder, name: &str) -> f64 {
    let scores = out.json("scores.json");
    let row = scores["scores"].as_array().unwrap().iter().find(|row| row["name"] == name);
    row.unwrap_or_else(|| panic!("{scores:#}"))["value"].as_f64().unwrap()
}

#[test]
fn short_answers_are_asked_resumed_and_scored() {
    let [data, out] = resumes(Benchmark::Textvqa, 60, "20");
    // Eight to ten people agree on the truth of a scene: an answer that equals it counts in full.
    let labels = data.json("TextVQA_0.5.1_val.json");
    let right = out.lines("answers.jsonl").into_iter().enumerate().filter(|(i, line)| {
        line["text"].as_str().unwrap().to_lowercase() == labels["data"][*i]["answers"][0].as_str().unwrap()
    });
    let accuracy = 100.0 * right.count() as f64 / 20.0;
    assert!((value(&out, "accuracy") - accuracy).abs() < 1e-9, "{accuracy}");
    // The program scores its own answer file as it scored the run.
    let again = Folder::new();
    let mut score = Command::new(env!("CARGO_BIN_EXE_benchmark"));
    score.args(["textvqa", "--data"]).arg(&data.0).arg("--answers").arg(out.path("answers.jsonl"));
    assert!(score.arg("--out").arg(&again.0).output().unwrap().status.success());
    assert_eq!(again.json("scores.json")["scores"], out.json("scores.json")["scores"]);
    println!("TextVQA's format, 20 drawn scenes: {accuracy:.1} %");
}

#[test]
fn yes_and_no_are_asked_resumed_and_scored() {
    // The third part asks the questions of the first again, which the model does not answer a second time.
    let [_, out] = resumes(Benchmark::Pope, 60, "40");
    let f1 = value(&out, "adversarial: F1");
    assert!(f1 > 80.0, "the shipped model knows what is in a scene: {f1}");
    let lines = out.lines("answers.jsonl");
    assert!(lines.iter().all(|line| ["Yes", "No"].contains(&line["text"].as_str().unwrap())), "{lines:?}");
}

#[test]
fn options_are_asked_resumed_and_scored() {
    let [data, out] = resumes(Benchmark::Mmbench, 30, "24");
    assert!((0.0..=100.0).contains(&value(&out, "circular accuracy")));
    assert_eq!(out.lines("answers.jsonl")[1]["question_id"], 1_000_000);
    assert!(out.path("scenes.xlsx").is_file());
    // Other questions are refused in a folder that has answers.
    let table = data.read("mmbench_dev_20230712.tsv");
    data.write("mmbench_dev_20230712.tsv", &table.replacen("color", "colour", 1).replacen("Which", "What", 1));
    let refused = command(Benchmark::Mmbench, &data, &out, &["--limit", "24"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && stderr.contains("was begun with questions"), "{stderr}");
}

#[test]
fn the_examination_gives_the_figures_of_train_eval() {
    let data = Folder::sample(Benchmark::Scenes, 3);
    let out = Folder::new();
    let output = run(Benchmark::Scenes, &data, &out, &[]);
    let mut model = EngineVqa::load(Path::new(&model()), BackendChoice::Cpu, Rendering::Reference).unwrap();
    let options = eval::EvalOptions { limit: None, blank: false };
    let rows = eval::evaluate(&mut model, &data.0, options, |_, _, _| {}).unwrap();
    for (kind, row) in &rows {
        assert!((value(&out, kind.name()) - row.model.percent()).abs() < 1e-9, "{}", kind.name());
    }
    assert!(String::from_utf8_lossy(&output.stdout).contains("| all |"));
}

#[test]
fn the_rows_of_a_picture_are_computed_once() {
    let data = Folder::sample(Benchmark::Gqa, 2);
    let suite = data.open(Benchmark::Gqa, None).unwrap();
    let setup = Setup {
        model: model().into(),
        mmproj: None,
        backend: BackendChoice::Cpu,
        threads: None,
        rendering: Rendering::Reference,
        template: None,
        quant: None,
    };
    let mut model = setup.load().unwrap();
    let mut reused = Vec::new();
    for question in &suite.questions {
        let picture = bytes_of(question.picture.as_ref().unwrap()).unwrap();
        model.answer(Some(&picture), question, 16).unwrap();
        reused.push((question.picture.clone(), model.reused_rows));
    }
    // A picture of the shipped model has 64 rows; another picture shares what stands before it.
    for pair in reused.windows(2) {
        let same = pair[0].0 == pair[1].0;
        assert_eq!(pair[1].1 >= 64, same, "{reused:?}");
    }
    assert!(reused.len() > 4);
}

/// By default alpha is dropped, as LLaVA's evaluation did: a transparent picture is seen.
#[test]
fn pictures_are_read_as_the_evaluation_read_them() {
    let data = Folder::sample(Benchmark::Gqa, 4);
    let answers = |alpha: Option<u8>, more: &[&str]| {
        for index in 0..4 {
            let path = data.path(&format!("images/n{index:06}.jpg"));
            let mut picture = image::load_from_memory(&std::fs::read(&path).unwrap()).unwrap().into_rgba8();
            picture.pixels_mut().for_each(|pixel| pixel.0[3] = alpha.unwrap_or(255));
            let mut png = std::io::Cursor::new(Vec::new());
            picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
            std::fs::write(&path, png.into_inner()).unwrap();
        }
        let out = Folder::new();
        run(Benchmark::Gqa, &data, &out, more);
        out.read("answers.jsonl")
    };
    let opaque = answers(None, &[]);
    assert_eq!(answers(Some(0), &[]), opaque);
    assert_ne!(answers(Some(0), &["--rendering", "shown"]), opaque, "on white there is nothing to see");
}

#[test]
fn missing_pictures_and_broken_ones_end_the_run_by_name() {
    let (data, out) = (Folder::sample(Benchmark::Gqa, 3), Folder::new());
    std::fs::remove_file(data.path("images/n000001.jpg")).unwrap();
    let output = command(Benchmark::Gqa, &data, &out, &[]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("n000001.jpg: does not exist; question \"000000100\""), "{stderr}");
    data.write("images/n000001.jpg", "no picture");
    let output = command(Benchmark::Gqa, &data, &out, &[]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("question \"000000100\": image"), "{stderr}");
    // What was answered before is kept.
    assert!(out.lines("journal.jsonl").len() > 1);
}

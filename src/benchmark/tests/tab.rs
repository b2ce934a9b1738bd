//! How a tab reads a benchmark: names first, contents when they are wanted. Questions, marks and files are those of the
//! folder.

mod common;

use common::Folder;
use llava_benchmark::Benchmark;
use llava_benchmark::data::Data;
use llava_benchmark::disk;
use llava_benchmark::error::Kind;
use llava_benchmark::files::Listing;
use llava_benchmark::output::Output;
use llava_benchmark::question::{Picture, Question, Suite};
use llava_benchmark::recognise::{parts, recognise};
use serde_json::Value;
use std::path::Path;
use std::rc::Rc;

/// Collects the paths of all files below a folder, relative to it.
fn paths(folder: &Path, below: &str, to: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder.join(below)).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.path().is_dir() { paths(folder, &path, to) } else { to.push(path) }
    }
}

/// Opens a benchmark as a tab does, and returns the wanted paths with it.
fn open(benchmark: Benchmark, part: &str, folder: &Folder) -> (Suite, Vec<String>) {
    let (mut names, mut all) = (Vec::new(), Vec::new());
    paths(&folder.0, "", &mut names);
    loop {
        let mut listing = Listing::default();
        for name in &names {
            listing.add(name, all.contains(name).then(|| std::fs::read(folder.path(name)).unwrap()));
        }
        let listing = Rc::new(listing);
        match benchmark.open(&Data::new(listing.clone(), "", Some(part.to_owned()))) {
            Ok(suite) => return (suite, all),
            Err(error) => {
                let wanted = listing.take_wanted();
                assert!(error.kind == Kind::State && !wanted.is_empty(), "{error}");
                assert!(wanted.iter().all(|path| !all.contains(path)), "{wanted:?} once");
                all.extend(wanted);
            }
        }
    }
}

/// A question with its picture's path relative to the folder.
fn relative(question: &Question, folder: &Folder) -> Question {
    let mut question = question.clone();
    if let Some(Picture::File(path)) = &mut question.picture {
        *path = path.strip_prefix(&folder.0).unwrap_or(path).to_owned();
    }
    question
}

#[test]
fn questions_marks_and_files_are_those_of_the_folder() {
    for (benchmark, part) in parts() {
        let folder = Folder::sample(benchmark, 3);
        let (tab, wanted) = open(benchmark, part, &folder);
        let suite = folder.open(benchmark, Some(part)).unwrap();
        let own = |suite: &Suite| suite.questions.iter().map(|q| relative(q, &folder)).collect::<Vec<_>>();
        assert_eq!(own(&tab), own(&suite), "{benchmark:?} {part}");
        assert_eq!(tab.fingerprint(), suite.fingerprint());
        assert!(!wanted.iter().any(|path| path.ends_with(".jpg") || path.ends_with(".png")), "{wanted:?}");
        let texts = ["Yes", "B", "red", "The answer is A."].map(|text| Some(text.to_owned()));
        let given: Vec<Option<String>> = texts.into_iter().cycle().take(suite.questions.len()).collect();
        let mark = |suite: &Suite, i: usize| suite.finish.mark(i, &suite.questions[i], given[i].as_deref().unwrap());
        assert!((0..given.len()).all(|i| mark(&tab, i) == mark(&suite, i)));
        let [tab, suite] = [tab, suite].map(|suite| {
            let mut out = Output::new("m");
            out.finish(&suite, &given, &Value::Null).unwrap();
            out.files
        });
        assert_eq!(tab, suite, "{benchmark:?} {part}");
    }
}

#[test]
fn folders_are_recognised_by_their_names() {
    for benchmark in Benchmark::ALL {
        let folder = Folder::sample(benchmark, 1);
        let found = recognise(&disk::folder(&folder.0, None));
        let own: Vec<_> = parts().filter(|(other, _)| *other == benchmark).collect();
        assert_eq!(found, own, "{benchmark:?}");
        let error = benchmark.open(&disk::folder(&folder.0, Some("none".into()))).err().unwrap().to_string();
        assert!(own.iter().all(|(_, part)| error.contains(part)), "{error}");
    }
    assert!(recognise(&disk::folder(&Folder::new().0, None)).is_empty());
}

/// Returns the mean of the marks of these answers, percent.
fn mean_mark(suite: &Suite, given: &[Option<String>]) -> f64 {
    let mark =
        |(i, text): (usize, &Option<String>)| suite.finish.mark(i, &suite.questions[i], text.as_deref().unwrap());
    let marks: Vec<f64> = given.iter().enumerate().map(|answer| mark(answer).unwrap().score).collect();
    100.0 * marks.iter().sum::<f64>() / marks.len() as f64
}

#[test]
fn marks_add_up_to_the_scores() {
    let folder = Folder::new();
    for (benchmark, part, row) in [
        (Benchmark::Vqav2, "val", "accuracy"),
        (Benchmark::Vizwiz, "val", "accuracy"),
        (Benchmark::Textvqa, "val", "accuracy"),
        (Benchmark::Gqa, "testdev", "accuracy"),
        (Benchmark::Scienceqa, "all", "accuracy, all questions"),
        (Benchmark::Mmbench, "dev", "accuracy of single rows"),
        (Benchmark::Seed, "all", "accuracy, images and videos"),
        (Benchmark::Scenes, "all", "all"),
    ] {
        let data = Folder::sample(benchmark, 4);
        let suite = data.open(benchmark, Some(part)).unwrap();
        // Every other answer is the expected one.
        let expected = |i| suite.finish.mark(i, &suite.questions[i], "").unwrap().expected;
        let answer = |i| Some(if i % 2 == 0 { expected(i) } else { "?".to_owned() });
        let given: Vec<Option<String>> = (0..suite.questions.len()).map(answer).collect();
        let score = common::score(&common::finish(&suite, &given, &folder.0), row);
        assert!((score - mean_mark(&suite, &given)).abs() < 1e-9 && score > 40.0, "{benchmark:?}: {score}");
    }
    for (benchmark, right) in [(Benchmark::Pope, ["yes", "no"]), (Benchmark::Mme, ["Yes", "No"])] {
        let data = Folder::sample(benchmark, 2);
        let suite = data.open(benchmark, None).unwrap();
        for (i, expected) in right.into_iter().enumerate() {
            let mark = |text: &str| suite.finish.mark(i, &suite.questions[i], text).unwrap();
            assert_eq!((mark("Yes").score, mark("No").score), if i == 0 { (1.0, 0.0) } else { (0.0, 1.0) });
            assert_eq!(mark("").expected, expected);
        }
    }
}

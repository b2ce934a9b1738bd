//! Tests of a run that is stepped from outside, with the shipped model.

use super::*;
use std::path::Path;

fn shipped() -> ModelFiles {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("www/models/scenes");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let manifest = Manifest::parse(&read("manifest.json")).unwrap_or_else(|e| panic!("{e}"));
    let shards = manifest.shards.iter().map(|shard| read(&shard.file)).collect();
    ModelFiles { manifest, config: read("config.json"), tokenizer: read("tokenizer.json"), shards }
}

fn open(fresh: bool) -> TabRun {
    TabRun::open(shipped(), fresh, 1, 2).unwrap_or_else(|e| panic!("{e}"))
}

fn gradients(run: &TabRun, index: u64) -> BatchGradients {
    run.gradients(index).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn the_imported_model_answers_about_scenes_it_has_not_seen() {
    let mut run = open(false);
    run.begin(TabStage::Instructions);
    let (right, all) = run.examine(0..8).unwrap_or_else(|e| panic!("{e}"));
    assert!(right * 2 > all, "{right} of {all}");
}

#[test]
fn runs_that_share_their_gradients_stay_equal_and_learn() {
    let (mut one, mut other) = (open(true), open(true));
    let mut losses = Vec::new();
    for step in 0..8u64 {
        let both = vec![gradients(&one, 2 * step), gradients(&other, 2 * step + 1)];
        losses.push(both[0].loss + both[1].loss);
        let values: Vec<Vec<f32>> = both.into_iter().map(|b| b.values).collect();
        for run in [&mut one, &mut other] {
            run.apply(&values, 2e-3, 0.03).unwrap_or_else(|e| panic!("{e}"));
        }
    }
    assert!(losses[7] < losses[0] - 0.5, "{losses:?}");
    for ((name, _, a), (_, _, b)) in one.params.values().zip(other.params.values()) {
        assert_eq!(a, b, "{name}");
    }
    assert!(one.apply(&[vec![0.0; 5]], 2e-3, 0.5).is_err(), "gradients of another length are taken");
}

#[test]
fn an_earlier_answer_as_a_guess_changes_no_answer() {
    let mut run = open(false);
    run.show(5).unwrap_or_else(|e| panic!("{e}"));
    let first = run.answers().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(run.answers().unwrap_or_default(), first);
    let (picture, question) = (run.picture().to_vec(), &first[0].question);
    let wrong: Vec<i32> = (100..140).collect();
    assert_eq!(run.answer(&picture, question, &wrong).map(|(text, _)| text).ok(), Some(first[0].given.clone()));
}

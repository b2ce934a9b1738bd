//! The shipped model's accuracy on scenes outside its training data, through the engine.
//!
//! The model card (`src/docs/model-card.md`) has the accuracy on many scenes; this test detects a broken file or engine,
//! with the margins of a small number of scenes.

use llava_web::device::BackendChoice;
use llava_web::preprocess::Rendering;
use llava_web::scenes::answers::is_right;
use llava_web::scenes::dataset::{AnswerForm, items, png};
use llava_web::scenes::engine_vqa::EngineVqa;
use llava_web::scenes::eval::{Score, VqaModel};
use llava_web::scenes::questions::QuestionKind;
use std::collections::BTreeMap;
use std::path::Path;

#[test]
fn the_shipped_model_answers_about_scenes_it_has_not_seen() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("www/models/scenes");
    let mut model = EngineVqa::load(&directory, BackendChoice::Cpu, Rendering::Shown).unwrap_or_else(|e| panic!("{e}"));
    let mut scores: BTreeMap<QuestionKind, Score> = BTreeMap::new();
    for index in 0..25 {
        let (picture, items) = items(424_242, index);
        let png = png(&picture).unwrap_or_else(|e| panic!("{e}"));
        for item in items.iter().filter(|item| item.kind != QuestionKind::Caption) {
            let given = model.answer(&png, &item.earlier, &item.question).unwrap_or_else(|e| panic!("{e}"));
            let right = is_right(item.kind, item.form == AnswerForm::Short, &item.answer, &given);
            let score = scores.entry(item.kind).or_default();
            score.right += usize::from(right);
            score.all += 1;
        }
    }
    for (kind, least) in [
        (QuestionKind::Colour, 80.0),
        (QuestionKind::Shape, 75.0),
        (QuestionKind::Existence, 75.0),
        (QuestionKind::Count, 60.0),
    ] {
        let score = scores.get(&kind).copied().unwrap_or_default();
        assert!(score.percent() >= least, "{}: {score:?}", kind.name());
    }
}

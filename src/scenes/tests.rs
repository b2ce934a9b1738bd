//! Properties of the data: answers are true, pictures are reproducible.

use super::answers::{is_right, normalise};
use super::captions::describe;
use super::dataset::items;
use super::draw::draw;
use super::questions::{QuestionKind, SUFFIX, ask, conversation};
use super::scene::{MAX_OBJECTS, Object, Scene, TRAIN_SEED, sample, scene_rng};
use super::{bpe, dataset};

fn scenes(count: u64) -> impl Iterator<Item = (Scene, rand_chacha::ChaCha8Rng)> {
    (0..count).map(|i| {
        let mut rng = scene_rng(77, i);
        (sample(&mut rng), rng)
    })
}

/// Finds the objects whose description contains every word of `noun` (`red star`, `star`, `small star`).
fn named<'a>(scene: &'a Scene, noun: &str) -> Vec<&'a Object> {
    let words: Vec<&str> = noun.split(' ').collect();
    let fits = |o: &&Object| match o.shape() {
        Some(_) => {
            let phrase = o.phrase();
            words.iter().all(|w| phrase.split(' ').any(|p| p == *w))
        }
        None => false,
    };
    scene.objects.iter().filter(fits).collect()
}

#[test]
fn a_scene_and_its_picture_follow_from_the_seed() {
    for index in [0, 1, 99] {
        assert_eq!(items(5, index), items(5, index));
    }
    assert_ne!(items(5, 0).0, items(6, 0).0, "another data set has other scenes");
    assert_ne!(items(5, 0).0, items(5, 1).0, "another index has another scene");
    assert_ne!(items(5, 0).0, items(5 | TRAIN_SEED, 0).0, "training has other scenes");
}

#[test]
fn training_seeds_are_refused() {
    let dir = std::env::temp_dir().join("llava-web-refused-seed");
    assert!(dataset::write(TRAIN_SEED | 1, 1, &dir).is_err());
}

#[test]
fn objects_are_inside_and_apart() {
    for (scene, _) in scenes(400) {
        assert!((1..=MAX_OBJECTS).contains(&scene.objects.len()), "{scene:?}");
        for (i, a) in scene.objects.iter().enumerate() {
            for axis in 0..2 {
                let at = a.centre[axis] * scene.extent[axis];
                assert!(at - a.half[axis] >= -0.01 && at + a.half[axis] <= scene.extent[axis] + 0.01, "{a:?}");
            }
            for b in &scene.objects[..i] {
                let gap = |axis: usize| {
                    (a.centre[axis] - b.centre[axis]).abs() * scene.extent[axis] - a.half[axis] - b.half[axis]
                };
                assert!(gap(0).max(gap(1)) > 0.0, "{a:?} overlaps {b:?}");
            }
        }
    }
}

#[test]
fn existence_and_count_agree_with_the_scene() {
    let mut asked = 0;
    for (scene, mut rng) in scenes(600) {
        if let Some(qa) = ask(&scene, QuestionKind::Existence, &mut rng) {
            let question = qa.question.trim_end_matches('?').replace(" in the image", "");
            let noun = question.rsplit_once(" a ").or_else(|| question.rsplit_once(" an ")).map(|(_, noun)| noun);
            if let Some(noun) = noun.filter(|n| !n.contains("object") && !n.contains("text")) {
                asked += 1;
                assert_eq!(qa.short == "Yes", !named(&scene, noun).is_empty(), "{qa:?} {scene:?}");
            }
        }
        if let Some(qa) = ask(&scene, QuestionKind::Count, &mut rng) {
            let rest = qa.question.trim_start_matches("How many ");
            let many = rest.split(" are ").next().and_then(|s| s.split(" do ").next()).unwrap_or("");
            let one = many.trim_end_matches("es").trim_end_matches('s');
            let one = match many {
                m if m.ends_with("crosses") => m.trim_end_matches("es"),
                m if m.ends_with("circles") || m.ends_with("squares") || m.ends_with("triangles") => &m[..m.len() - 1],
                m if m.ends_with("shapes") => m.trim_end_matches("shapes").trim_end(),
                _ => one,
            };
            let number = if one.is_empty() {
                scene.objects.iter().filter(|o| o.shape().is_some()).count()
            } else {
                named(&scene, one).len()
            };
            assert_eq!(qa.short, number.to_string(), "{qa:?} {scene:?}");
            asked += 1;
        }
    }
    assert!(asked > 800, "{asked}");
}

#[test]
fn the_expected_sentence_counts_as_right() {
    for (scene, mut rng) in scenes(300) {
        for kind in QuestionKind::ALL {
            let Some(conversation) = conversation(&scene, kind, &mut rng) else { continue };
            let Some(last) = conversation.turns.last() else { panic!("no turn: {conversation:?}") };
            let right = is_right(kind, conversation.wants_short, &conversation.short, &last.answer);
            assert!(right, "{conversation:?}");
            assert_eq!(conversation.wants_short, last.question.ends_with(SUFFIX));
        }
    }
}

#[test]
fn names_in_colour_questions_fit_one_object() {
    for (scene, mut rng) in scenes(300) {
        let Some(qa) = ask(&scene, QuestionKind::Colour, &mut rng) else { continue };
        if let Some(noun) = qa.sentence.strip_prefix("The ").and_then(|s| s.split_once(" is ")).map(|(noun, _)| noun)
            && !["word", "text", "number", "shape", "object"].contains(&noun)
        {
            // "small star" may stand beside a large one, not beside another star that could be small.
            assert_eq!(named(&scene, noun).len(), 1, "{qa:?} {scene:?}");
        }
    }
}

#[test]
fn captions_name_every_object() {
    for (scene, _) in scenes(100) {
        let caption = normalise(&describe(&scene, true));
        for object in &scene.objects {
            assert!(caption.contains(&normalise(&object.phrase())), "{caption} {object:?}");
        }
    }
}

#[test]
fn pictures_show_their_objects() {
    for (scene, _) in scenes(60) {
        let picture = draw(&scene, 200);
        assert_eq!(picture.rgb.len(), (picture.width * picture.height * 3) as usize);
        for object in &scene.objects {
            let wanted = object.colour.rgb();
            let close = |p: &[u8]| p.iter().zip(wanted).all(|(&a, b)| (f32::from(a) - b).abs() <= 20.0);
            let count = picture.rgb.chunks_exact(3).filter(|p| close(p)).count();
            assert!(count > 20, "{count} pixels of {object:?}");
        }
    }
}

#[test]
fn the_tokenizer_gives_back_what_it_was_given() {
    let tokenizer = match bpe::train(1, 60) {
        Ok(tokenizer) => tokenizer,
        Err(e) => panic!("{e}"),
    };
    for text in ["What colour is the circle?", " The word is cat.", "\nnaïve 日本 🦀 ASSISTANT:", "  two  spaces "]
    {
        let ids = bpe::encode(&tokenizer, text).unwrap_or_default();
        assert_eq!(tokenizer.decode(&ids, false).unwrap_or_default(), text);
    }
    for (id, special) in bpe::SPECIALS.iter().enumerate() {
        assert_eq!(tokenizer.token_to_id(special), Some(id as u32));
    }
}

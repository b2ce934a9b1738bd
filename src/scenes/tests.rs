//! Properties of the data: answers are true, pictures are reproducible.

use super::answers::{is_right, normalise};
use super::captions::describe;
use super::dataset::items;
use super::draw::draw;
use super::drawn::{sample_drawn, training_scene};
use super::questions::{QuestionKind, SUFFIX, ask, conversation};
use super::scene::{MAX_OBJECTS, Object, Scene, TRAIN_SEED, sample, scene_rng};
use super::sketch::Sketch;
use super::{bpe, dataset};

/// See [`the_exam_of_earlier_models_is_unchanged`].
const EXAM_HASH: u64 = 0x488a_255b_2592_2681;

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

fn drawings(count: u64) -> impl Iterator<Item = (Scene, rand_chacha::ChaCha8Rng)> {
    (0..count).map(|i| {
        let mut rng = scene_rng(78, i);
        (sample_drawn(&mut rng), rng)
    })
}

/// A hash of pictures and items of the exam of seed 2026. It changes when old scenes or questions change, and with them
/// every figure of the model card.
#[test]
fn the_exam_of_earlier_models_is_unchanged() {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for index in 0..40 {
        let (picture, items) = items(2026, index);
        assert!(items.iter().all(|item| item.kind != QuestionKind::Thing), "{items:?}");
        let text = format!("{items:?}");
        for byte in text.bytes().chain(picture.rgb) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    assert_eq!(hash, EXAM_HASH, "{hash:#x}");
}

#[test]
fn drawn_objects_are_inside_and_apart_and_every_thing_occurs() {
    let mut seen = std::collections::BTreeSet::new();
    for (scene, _) in drawings(500) {
        assert!((1..=MAX_OBJECTS).contains(&scene.objects.len()), "{scene:?}");
        for (i, a) in scene.objects.iter().enumerate() {
            seen.extend(a.figure().map(super::scene::Figure::name));
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
    assert_eq!(seen.len(), Sketch::ALL.len() + 7, "{seen:?}");
}

#[test]
fn the_strokes_of_a_thing_stay_in_its_box() {
    for (i, sketch) in Sketch::ALL.into_iter().enumerate() {
        for n in 0..25 {
            let mut scene = sample_drawn(&mut scene_rng(79, (i * 100 + n) as u64));
            let plain = super::scene::Background { from: [255.0; 3], to: [255.0; 3], angle: 0.0, noise: 0.0 };
            let half = [0.25; 2];
            scene.objects = vec![Object {
                thing: super::scene::Thing::Sketch(sketch),
                colour: super::scene::Colour::Black,
                centre: [0.5; 2],
                half,
            }];
            (scene.extent, scene.background, scene.pen) = ([1.0; 2], plain, Some(0.03));
            let picture = draw(&scene, 200);
            let mut inked = 0;
            for (at, p) in picture.rgb.chunks_exact(3).enumerate() {
                let (x, y) = (at % 200, at / 200);
                if p != [255; 3] {
                    inked += 1;
                    let inside = |v: usize| (48..=151).contains(&v);
                    assert!(inside(x) && inside(y), "{} {n}: ink at {x}, {y}", sketch.name());
                }
            }
            assert!(inked > 300, "{} {n}: {inked} pixels", sketch.name());
        }
    }
}

/// Finds the objects that a noun like `house` or `red house` names.
fn figures<'a>(scene: &'a Scene, noun: &str) -> Vec<&'a Object> {
    let fits = |o: &&Object| {
        o.figure().is_some_and(|f| noun == f.name() || noun == format!("{} {}", o.colour.name(), f.name()))
    };
    scene.objects.iter().filter(fits).collect()
}

#[test]
fn answers_about_drawings_are_true() {
    let (mut named, mut asked) = (0, 0);
    for (scene, mut rng) in drawings(800) {
        if let Some(qa) = ask(&scene, QuestionKind::Thing, &mut rng) {
            named += 1;
            assert!(!figures(&scene, &qa.short).is_empty(), "{qa:?} {scene:?}");
            if let Some(colour) = qa.sentence.strip_prefix("The ").and_then(|s| s.split_once(" thing is "))
                && !colour.0.is_empty()
            {
                let of_colour: Vec<_> = scene.objects.iter().filter(|o| o.colour.name() == colour.0).collect();
                assert_eq!(of_colour.len(), 1, "{qa:?} {scene:?}");
                assert_eq!(of_colour[0].figure().map(super::scene::Figure::name), Some(qa.short.as_str()));
            }
        }
        if !scene.has_sketch() {
            continue;
        }
        if let Some(qa) = ask(&scene, QuestionKind::Existence, &mut rng) {
            let noun = qa.sentence.trim_end_matches('.');
            let noun =
                noun.split_once(" is no ").or_else(|| noun.split_once(" is an ")).or_else(|| noun.split_once(" is a "));
            let noun = noun.map_or("", |(_, noun)| noun);
            assert_eq!(qa.short == "Yes", !figures(&scene, noun).is_empty(), "{qa:?} {scene:?}");
            asked += 1;
        }
        if let Some(qa) = ask(&scene, QuestionKind::Count, &mut rng) {
            let rest = qa.question.trim_start_matches("How many ");
            let many = rest.split(" are ").next().and_then(|s| s.split(" do ").next()).unwrap_or("");
            let plural = |o: &&Object| {
                o.figure().is_some_and(|f| many == f.plural() || many == format!("{} {}", o.colour.name(), f.plural()))
            };
            assert_eq!(qa.short, scene.objects.iter().filter(plural).count().to_string(), "{qa:?} {scene:?}");
            asked += 1;
        }
        for kind in QuestionKind::ALL {
            let Some(conversation) = conversation(&scene, kind, &mut rng) else { continue };
            let last = conversation.turns.last().map(|t| t.answer.as_str()).unwrap_or_default();
            assert!(is_right(kind, conversation.wants_short, &conversation.short, last), "{conversation:?}");
        }
        let caption = normalise(&describe(&scene, true));
        for object in &scene.objects {
            assert!(caption.contains(&normalise(&object.phrase())), "{caption} {object:?}");
        }
    }
    assert!(named > 500 && asked > 1000, "{named} {asked}");
}

#[test]
fn training_takes_scenes_of_every_sort() {
    let scenes: Vec<Scene> = (0..300).map(|i| training_scene(&mut scene_rng(80, i))).collect();
    let share = |f: fn(&Scene) -> bool| scenes.iter().filter(|s| f(s)).count();
    assert!((90..180).contains(&share(|s| s.has_sketch())));
    assert!((60..150).contains(&share(|s| s.objects.iter().any(|o| o.figure().is_none()))));
    assert!((140..220).contains(&share(|s| s.pen.is_none())));
}

//! Attention weights against PyTorch transformers (`generate_attention.py`), and what they cost and change: nothing
//! where they are not asked for.

use llava_web::device::BackendChoice;
use llava_web::engine::{AttentionPicture, Engine, Event, GenerateOptions, Observer, TokenAttention};
use llava_web::native::load_model;
use llava_web::scenes::looks;
use pollster::block_on;
use safetensors::SafeTensors;
use serde_json::Value;
use std::path::Path;

use crate::common::{Talk, golden, golden_file, gpu_or_skip, next_checkpoint, nmse};

/// A few roundings of f32 in two blocks, and the exponential.
const NMSE: f64 = 1e-8;

/// Collects the maps of an answer.
#[derive(Default)]
struct Maps {
    pictures: Vec<AttentionPicture>,
    tokens: Vec<TokenAttention>,
}

impl Observer for Maps {
    fn event(&mut self, event: Event) {
        match event {
            Event::AttentionPictures { pictures } => self.pictures = pictures,
            Event::Attention(map) => self.tokens.push(map),
            Event::Token { count, id: Some(_), .. } => {
                assert!(self.tokens.is_empty() || self.tokens.len() as u32 == count, "a map comes before its token");
            }
            _ => {}
        }
    }
    async fn pause(&mut self) -> bool {
        false
    }
}

impl Maps {
    fn sums(&self) -> impl Iterator<Item = f32> {
        self.tokens.iter().flat_map(|map| {
            let rows = map.weights.len() / map.layers as usize;
            (0..map.layers as usize).map(move |l| map.rest[l] + map.weights[l * rows..][..rows].iter().sum::<f32>())
        })
    }
}

fn options(attention: bool, forced: &[u32], max_new_tokens: usize) -> GenerateOptions {
    let (answer_prefix, max_new_tokens) = (forced.to_vec(), max_new_tokens as u32);
    GenerateOptions { attention, answer_prefix, max_new_tokens, ignore_eos: true, ..GenerateOptions::default() }
}

/// Checks all cases of a family on one backend.
fn check(family: &str, cases: &str, directory: &Path, backend: BackendChoice) {
    let bytes = golden_file("attention.safetensors");
    let golden = SafeTensors::deserialize(&bytes).unwrap();
    let cases: Value = serde_json::from_slice(&golden_file(cases)).unwrap();
    let mut engine = block_on(load_model(directory, None, backend, None)).unwrap();
    let mut compared = 0;
    for (name, case) in cases["cases"].as_object().unwrap() {
        let Ok(weights) = golden.tensor(&format!("{family}.{name}.weights")) else { continue };
        let tokens: Vec<u32> =
            bytemuck::pod_collect_to_vec(golden.tensor(&format!("{family}.{name}.tokens")).unwrap().data());
        let prompt = case["prompt"].as_str().unwrap();
        let prompt = if prompt.starts_with('<') && !prompt.starts_with("<image>") {
            prompt.into()
        } else {
            format!("<s>{prompt}")
        };
        let names: Vec<_> = case["images"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
        let pictures: Vec<_> = names.iter().map(|name| golden_file(&format!("{name}.png"))).collect();
        let talk = Talk::about(&mut engine, &pictures);
        let ask = |engine: &mut Engine, options: &GenerateOptions| {
            let mut maps = Maps::default();
            let answer = block_on(engine.generate_raw(&prompt, &talk.pictures, options, &mut maps)).unwrap();
            (answer, maps)
        };
        let label = format!("{family} {name} {backend:?}");
        // Forced tokens; none is sampled. Then sampled ones, on a cache that holds the whole prompt and its logits.
        let (_, forced) = ask(&mut engine, &options(true, &tokens, tokens.len()));
        let (plain, none) = ask(&mut engine, &options(false, &[], tokens.len()));
        assert!(none.tokens.is_empty() && none.pictures.is_empty(), "{label}: nothing was asked for");
        let (sampled, maps) = ask(&mut engine, &options(true, &[], tokens.len()));
        assert_eq!(sampled.ids, plain.ids, "{label}: the view changes the answer");
        assert_eq!((forced.tokens.len(), maps.tokens.len()), (tokens.len(), tokens.len()), "{label}");
        let agreed = sampled.ids.iter().zip(&tokens).take_while(|(a, b)| a == b).count();
        compare(&format!("{label} forced"), &forced, tokens.len(), weights.shape(), weights.data());
        compare(&format!("{label} sampled"), &maps, agreed, weights.shape(), weights.data());
        assert!(forced.tokens.iter().map(|map| map.id).eq(tokens.iter().copied()), "{label}: the forced tokens");
        assert!(maps.tokens.iter().map(|map| map.id).eq(sampled.ids.iter().copied()), "{label}: the sampled tokens");
        let text: String = maps.tokens.iter().map(|map| &map.text[..]).collect();
        assert!(text.trim().starts_with(&sampled.text) || sampled.text.starts_with(text.trim()), "{label}: {text}");
        let found: Vec<&str> = forced.pictures.iter().map(|picture| picture.id.as_str()).collect();
        assert_eq!(found, talk.pictures, "{label}: the pictures in order");
        compared += 1;
    }
    assert_eq!(compared, 2, "{family}: cases");
}

/// Compares the maps of the first `count` tokens with the reference `[tokens, L, S]`.
fn compare(label: &str, maps: &Maps, count: usize, shape: &[usize], data: &[u8]) {
    let wanted: Vec<f32> = bytemuck::pod_collect_to_vec(data);
    let (layers, rows) = (shape[1], shape[2]);
    let positions: Vec<usize> = maps.pictures.iter().flat_map(|p| &p.positions).map(|p| *p as usize).collect();
    let (mut got_all, mut wanted_all) = (Vec::new(), Vec::new());
    for (map, wanted) in maps.tokens.iter().zip(wanted.chunks_exact(layers * rows)).take(count) {
        assert_eq!(map.layers as usize, layers, "{label}");
        got_all.extend(&map.weights);
        got_all.extend(&map.rest);
        for row in wanted.chunks_exact(rows) {
            wanted_all.extend(positions.iter().map(|p| row[*p]));
        }
        for row in wanted.chunks_exact(rows) {
            let all: f64 = row.iter().map(|w| f64::from(*w)).sum();
            wanted_all.push((all - positions.iter().map(|p| f64::from(row[*p])).sum::<f64>()) as f32);
        }
    }
    let error = nmse(&got_all, &wanted_all);
    println!("NMSE {label:40} {error:.1e}");
    assert!(error <= NMSE, "{label}: NMSE {error:e}");
    assert!(maps.sums().all(|sum| (sum - 1.0).abs() < 1e-5), "{label}: weights sum to 1");
}

fn check_everywhere(family: &str, cases: &str, directory: &Path) {
    for backend in [BackendChoice::Reference, BackendChoice::Cpu, BackendChoice::Gpu] {
        if backend != BackendChoice::Gpu || gpu_or_skip() {
            check(family, cases, directory, backend);
        }
    }
}

#[test]
fn weights_equal_those_of_transformers() {
    check_everywhere("mha", "cases.json", &golden("mha"));
    check_everywhere("gqa", "cases.json", &golden("gqa"));
    check_everywhere("smolvlm", "smolvlm_prompts/cases.json", &golden("smolvlm"));
}

#[test]
fn weights_of_tiles_with_newlines_equal_those_of_transformers() {
    check_everywhere("next", "next/cases.json", next_checkpoint().path());
}

/// "What color is the star?": the word "red" of the answer looks at the star. The figures are in
/// `src/docs/attention.md`; this detects a broken map, with a margin.
#[test]
fn the_shipped_model_looks_at_the_object_whose_colour_it_names() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("www/models/scenes");
    let found = looks::measure(&model, BackendChoice::Cpu, 424_242, 200).unwrap();
    print!("{}", looks::table(&found));
    assert!(found.iter().all(|looks| looks.words > 100), "{found:?}");
    // The word that the model must look up: the shape of what is red, the colour of the star.
    for looks in &found[1..] {
        assert!(looks.inside > 2.0 * looks.area, "the object gets no more than twice its area: {looks:?}");
    }
}

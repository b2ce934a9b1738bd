//! The squares that pictures become, against transformers' image processors (`golden/generate_tiles.py`).

use image::{DynamicImage, ImageFormat, RgbImage};
use llava_web::format::hash::sha256_hex;
use llava_web::preprocess::{PixelValues, PreprocessConfig, Tiling, preprocess};
use serde_json::Value as Json;

fn golden() -> Json {
    serde_json::from_slice(include_bytes!("../golden/tiles.json")).unwrap()
}

/// The processor's own file, over the defaults of another family: it names all that it needs.
fn config(golden: &Json, name: &str) -> PreprocessConfig {
    let file = &golden["processors"][name];
    let sides = [&file["max_image_size"]["longest_edge"], &file["crop_size"]["height"], &file["size"]["height"]];
    let side = sides.into_iter().find_map(Json::as_u64).unwrap();
    let defaults = PreprocessConfig::llava(side as u32);
    PreprocessConfig::parse_with(Some(file.to_string().as_bytes()), defaults).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn number(value: &Json) -> u32 {
    value.as_u64().unwrap() as u32
}

/// `picture` of the generator.
fn picture(width: u32, height: u32) -> Vec<u8> {
    let value = |x: u32, y: u32, c: u32| {
        let grain = (x * 73 + y * 151 + c * 199) * 37 % 61;
        let block = ((x / 7 + y / 5 + c) % 3) * 90;
        let ramp = (x * (2 + c) + y * 3) % 97;
        (block + ramp / 2 + grain).min(255) as u8
    };
    let image = RgbImage::from_fn(width, height, |x, y| image::Rgb([0, 1, 2].map(|c| value(x, y, c))));
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(image).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// The 8-bit values before normalisation, `[tiles, S, S, 3]`.
fn levels(pixels: &PixelValues, config: &PreprocessConfig) -> Vec<u8> {
    let plane = (config.size * config.size) as usize;
    let level = |value: f32, channel: usize| {
        let level = (f64::from(value) * config.std[channel] + config.mean[channel]) / config.rescale_factor;
        assert!((level - level.round()).abs() < 1e-3, "{level} is no 8-bit value");
        level.round() as u8
    };
    let square =
        |square: &[f32]| -> Vec<u8> { (0..3 * plane).map(|i| level(square[i % 3 * plane + i / 3], i % 3)).collect() };
    pixels.data.chunks_exact(3 * plane).flat_map(square).collect()
}

/// Number of squares, rows and columns, every 8-bit value, and the normalised values: equal to transformers'.
#[test]
fn squares_are_those_of_transformers() {
    let golden = golden();
    let cases = golden["cases"].as_array().unwrap();
    let mut worst = 0f32;
    for case in cases {
        let name = case["processor"].as_str().unwrap();
        let config = config(&golden, name);
        let file = match &case["picture"] {
            Json::String(file) => std::fs::read(format!("tests/golden/{file}")).unwrap(),
            size => picture(number(&size[0]), number(&size[1])),
        };
        let what = format!("{name}, {}", case["picture"]);
        let pixels = preprocess(&file, &config).unwrap();
        let grid = [0, 1].map(|i| number(&case["grid"][i]));
        assert_eq!((pixels.tiles, pixels.grid), (number(&case["tiles"]), grid), "{what}");
        assert_eq!(config.tiles_of(pixels.width, pixels.height), (pixels.tiles, pixels.grid), "{what}");
        assert!(pixels.tiles <= config.max_tiles(), "{what}");
        assert_eq!(pixels.data.len() as u32, pixels.tiles * 3 * config.size * config.size, "{what}");
        let hash = sha256_hex(&levels(&pixels, &config));
        assert_eq!(hash, case["sha256"].as_str().unwrap(), "{what}");
        for value in case["values"].as_array().unwrap() {
            let (ours, theirs) = (pixels.data[number(&value[0]) as usize], value[1].as_f64().unwrap() as f32);
            worst = worst.max((ours - theirs).abs());
        }
    }
    println!("{} pictures equal; normalised values at most {worst:e} apart", cases.len());
    assert!(cases.len() > 140);
    // Their float32 arithmetic rounds three times, ours once: values up to 2.7 with 2^-24 relative error each.
    assert!(worst < 1e-6, "{worst}");
}

/// Rows and columns of 148 sizes by every processor, extreme and odd ones among them; and the bound on squares.
#[test]
fn rows_and_columns_are_those_of_transformers() {
    let golden = golden();
    for (name, grids) in golden["grids"].as_object().unwrap() {
        let config = config(&golden, name);
        let mut most = 0;
        for entry in grids.as_array().unwrap() {
            let [width, height, rows, columns] = [0, 1, 2, 3].map(|i| number(&entry[i]));
            let (tiles, grid) = config.tiles_of(width, height);
            assert_eq!((grid, tiles), ([rows, columns], rows * columns + 1), "{name}: {width} × {height}");
            most = most.max(tiles);
        }
        assert_eq!(most, config.max_tiles(), "{name}: the bound is reached");
    }
}

/// The table of Idefics3's sizes, and the longest edges on offer.
#[test]
fn the_longest_edge_sets_the_number_of_squares() {
    let mut config = PreprocessConfig::idefics3(512, 2048);
    assert_eq!(config.longest_edges(), [512, 1024, 2048]);
    assert_eq!(PreprocessConfig::idefics3(384, 1536).longest_edges(), [384, 768, 1536]);
    assert_eq!(PreprocessConfig::idefics3(512, 512).longest_edges(), [512]);
    let shapes = [(4000, 3000), (6000, 4000), (1920, 1080), (3000, 4000), (1080, 1920), (700, 700)];
    let counts = |config: &PreprocessConfig| shapes.map(|(width, height)| config.tiles_of(width, height));
    let wide = (13, [3, 4]);
    let tall = (13, [4, 3]);
    assert_eq!(counts(&config), [wide, wide, wide, tall, tall, (17, [4, 4])]);
    assert_eq!(counts(&PreprocessConfig::idefics3(384, 1536)), [wide, wide, wide, tall, tall, (17, [4, 4])]);
    assert_eq!(config.max_tiles(), 17);
    for (edge, all, most) in [(1024, (5, [2, 2]), 5), (512, (1, [0, 0]), 1)] {
        config.set_longest_edge(edge).unwrap();
        assert_eq!((counts(&config), config.max_tiles()), ([all; 6], most));
        assert_eq!(config.longest_edges(), [512, 1024, 2048], "the choice does not change the offer");
    }
    let before = config.clone();
    for edge in [0, 1, 600, 3584, 4096, u32::MAX] {
        let error = config.set_longest_edge(edge).unwrap_err();
        assert_eq!(error.kind, llava_web::error::Kind::Argument, "{edge}: {error}");
    }
    assert_eq!(config, before);
    config.set_longest_edge(2048).unwrap();
    assert_eq!(config, PreprocessConfig::idefics3(512, 2048));
    let mut next = PreprocessConfig::llava_next(336, vec![[336, 672], [672, 672]]);
    assert_eq!((next.max_tiles(), next.longest_edges()), (5, vec![]));
    assert!(next.set_longest_edge(672).is_err());
    assert_eq!(PreprocessConfig::siglip(384).max_tiles(), 1);
    assert_eq!(PreprocessConfig::siglip(384).tiles_of(5, 4000), (1, [0, 0]));
    assert_eq!(next.tiling, Tiling::Anyres { candidates: vec![[336, 672], [672, 672]] });
}

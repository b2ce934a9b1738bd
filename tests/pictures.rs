//! Pictures in files: transparency in `chat`, and the memory of large ones.

use image::{ExtendedColorType, ImageFormat, codecs::jpeg::JpegEncoder};
use llava_web::preprocess::{MAX_MEMORY, MAX_PIXELS, PixelValues, PreprocessConfig, Rendering, preprocess};
use std::process::Command;

#[path = "common/counting.rs"]
mod counting;

#[global_allocator]
static COUNTING: counting::Counting = counting::Counting;

/// Preprocesses for CLIP; also the most bytes held at a time besides the file.
fn measured(bytes: &[u8]) -> (PixelValues, u64) {
    let (pixels, most) =
        counting::measured(|| preprocess(bytes, &PreprocessConfig::llava(336)).unwrap_or_else(|e| panic!("{e}")));
    (pixels, most as u64)
}

/// Levels 0 … 255 of a pixel of `[3, 336, 336]`.
fn levels(pixels: &PixelValues, x: usize, y: usize) -> [f64; 3] {
    let config = PreprocessConfig::llava(336);
    let side = config.size as usize;
    let value = |c: usize| f64::from(pixels.data[(c * side + y) * side + x]);
    [0, 1, 2].map(|c| (value(c) * config.std[c] + config.mean[c]) * 255.0)
}

/// A picture that is generated row by row: dark at the left, light at the right, red at the top, blue at the bottom.
struct Virtual {
    width: u32,
    height: u32,
}

impl Virtual {
    fn at(&self, x: u32, y: u32) -> [u8; 3] {
        let share = |at: u32, all: u32| (u64::from(at) * 255 / u64::from(all)) as u8;
        [255 - share(y, self.height), share(x, self.width), share(y, self.height)]
    }
}

impl image::GenericImageView for Virtual {
    type Pixel = image::Rgb<u8>;
    fn dimensions(&self) -> (u32, u32) {
        (self.width, self.height)
    }
    fn get_pixel(&self, x: u32, y: u32) -> image::Rgb<u8> {
        image::Rgb(self.at(x, y))
    }
}

/// Where the picture of `width` × `height` lies on the padded square, the corners are its corners.
fn looks_right(pixels: &PixelValues, picture: &Virtual) {
    assert_eq!((pixels.width, pixels.height), (picture.width, picture.height), "the size of the original is reported");
    let long = f64::from(picture.width.max(picture.height));
    let (left, top) = ((long - f64::from(picture.width)) / 2.0, (long - f64::from(picture.height)) / 2.0);
    for (x, y) in [(0.1, 0.1), (0.9, 0.1), (0.1, 0.9), (0.9, 0.9), (0.5, 0.5)] {
        let (x, y) = ((f64::from(picture.width) * x) as u32, (f64::from(picture.height) * y) as u32);
        let to = |at: u32, before: f64| ((f64::from(at) + before) * 336.0 / long) as usize;
        let (found, wanted) = (levels(pixels, to(x, left), to(y, top)), picture.at(x, y).map(f64::from));
        let most = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(most < 8.0, "at {x}, {y}: {found:?}, not {wanted:?}");
    }
}

#[test]
fn a_photograph_of_108_megapixels_is_read_in_little_memory() {
    let picture = Virtual { width: 12000, height: 9000 };
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 50).encode_image(&picture).unwrap();
    let (pixels, most) = measured(&jpeg);
    println!("108 MP JPEG: {} MB", most / 1_000_000);
    looks_right(&pixels, &picture);
    assert!(most <= MAX_MEMORY, "{most} bytes");
}

#[test]
fn a_png_panorama_is_read_row_by_row() {
    let picture = Virtual { width: 24000, height: 2400 };
    assert!(u64::from(picture.width * picture.height) > MAX_PIXELS);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, picture.width, picture.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    for y in 0..picture.height {
        let row: Vec<u8> = (0..picture.width).flat_map(|x| picture.at(x, y)).collect();
        std::io::Write::write_all(&mut stream, &row).unwrap();
    }
    stream.finish().unwrap();
    drop(writer);
    let (pixels, most) = measured(&file);
    println!("57.6 MP PNG: {} MB", most / 1_000_000);
    looks_right(&pixels, &picture);
    // Sums and means of at most 8 million squares (15 bytes each), a row, inflate's window; the whole would be 173 MB.
    assert!(most < 150_000_000, "{most} bytes");
}

#[test]
fn a_strip_longer_than_the_exact_limit_is_read() {
    let picture = Virtual { width: 20000, height: 2000 };
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 50).encode_image(&picture).unwrap();
    looks_right(&measured(&jpeg).0, &picture);
    let reference = PreprocessConfig { rendering: Rendering::Reference, ..PreprocessConfig::llava(336) };
    let error = preprocess(&jpeg, &reference).unwrap_err().to_string();
    assert!(error.contains("20000 × 2000") && error.contains("16384"), "{error}");
}

/// A transparent picture through the command line, shown and as the reference has it.
#[test]
fn chat_shows_transparent_pictures_on_white_unless_the_reference_is_wanted() {
    let folder = std::env::temp_dir().join(format!("llava-pictures-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("transparent.png");
    let black = vec![0u8; 40 * 40 * 4];
    image::save_buffer_with_format(&file, &black, 40, 40, ExtendedColorType::Rgba8, ImageFormat::Png).unwrap();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/gqa");
    let mean_of = |more: &[&str]| {
        let mut chat = Command::new(env!("CARGO_BIN_EXE_chat"));
        chat.args(["--model", model, "--backend", "cpu", "--prompt", "a", "--max-new-tokens", "1", "--json"]);
        let done = chat.arg("--image").arg(&file).arg("--dump").arg(&folder).args(more).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let dump = std::fs::read(folder.join("image0.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&dump).unwrap();
        let values = tensors.tensor("pixel_values").unwrap().data().to_vec();
        let values = values.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap())));
        let count = values.len() as f64;
        values.sum::<f64>() / count
    };
    assert!(mean_of(&[]) > 1.0, "white");
    assert!(mean_of(&["--rendering", "reference"]) < -1.0, "black");
    let mut chat = Command::new(env!("CARGO_BIN_EXE_chat"));
    let refused = chat.args(["--model", model, "--prompt", "a", "--rendering", "both"]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("neither shown nor reference"));
    std::fs::remove_dir_all(&folder).unwrap();
}

use super::*;
use crate::preprocess::{PreprocessConfig, Tiling, preprocess};
use image::ImageReader;

const WIDTH: u32 = 403;
const HEIGHT: u32 = 299;

/// Smooth, so that means over squares and a smaller inverse DCT come close to the resize of the whole picture.
fn smooth() -> RgbImage {
    let wave = |v: u32, length: f64| (127.5 + 127.0 * (f64::from(v) / length).sin()) as u8;
    RgbImage::from_fn(WIDTH, HEIGHT, |x, y| image::Rgb([wave(x, 60.0), wave(y, 45.0), wave(x + y, 80.0)]))
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn shrunk(bytes: &[u8], format: ImageFormat, target: u64) -> RgbImage {
    let decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder().unwrap();
    shrink(bytes, format, decoder, target).unwrap()
}

/// Resizes a shrunk picture; returns `[3, 28, 28]`, levels of 0 … 255.
fn looked_at(image: &RgbImage) -> Vec<f64> {
    // Without a border, which a picture of other proportions (after rounding) meets at another place.
    let config =
        PreprocessConfig { tiling: Tiling::One(crate::config::SquarePolicy::Crop), ..PreprocessConfig::llava(28) };
    let png = encoded(&DynamicImage::ImageRgb8(image.clone()), ImageFormat::Png);
    let data = preprocess(&png, &config).unwrap().data;
    let level = |(i, v): (usize, &f32)| (f64::from(*v) * config.std[i / 784] + config.mean[i / 784]) * 255.0;
    data.iter().enumerate().map(level).collect()
}

fn apart(a: &RgbImage, b: &RgbImage) -> f64 {
    looked_at(a).iter().zip(looked_at(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Levels: the last squares may reach beyond the picture, by which its far edge is displaced by a pixel or two.
const CLOSE: f64 = 6.0;

#[test]
fn every_format_is_shrunk_to_what_it_shows() {
    let image = smooth();
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Jpeg] {
        let bytes = encoded(&DynamicImage::ImageRgb8(image.clone()), format);
        for target in [60_000, 15_000, 9_000] {
            let small = shrunk(&bytes, format, target);
            assert!(
                u64::from(small.width()) * u64::from(small.height()) <= target,
                "{format:?} {:?}",
                small.dimensions()
            );
            let most = apart(&small, &image);
            assert!(most < CLOSE, "{format:?} to {target}: {most}");
        }
    }
}

#[test]
fn transparent_and_deep_ones_are_shrunk_on_white() {
    let image = smooth();
    let rgba = image::RgbaImage::from_fn(WIDTH, HEIGHT, |x, y| {
        let [r, g, b] = image.get_pixel(x, y).0;
        image::Rgba([r, g, b, if y < HEIGHT / 2 { 255 } else { 0 }])
    });
    let seen =
        RgbImage::from_fn(
            WIDTH,
            HEIGHT,
            |x, y| if y < HEIGHT / 2 { *image.get_pixel(x, y) } else { image::Rgb([255; 3]) },
        );
    let deep = DynamicImage::ImageRgba8(rgba.clone()).into_rgba16();
    for (bytes, format) in [
        (encoded(&DynamicImage::ImageRgba8(rgba.clone()), ImageFormat::Png), ImageFormat::Png),
        (encoded(&DynamicImage::ImageRgba16(deep), ImageFormat::Png), ImageFormat::Png),
        (encoded(&DynamicImage::ImageRgba8(rgba.clone()), ImageFormat::WebP), ImageFormat::WebP),
        (encoded(&DynamicImage::ImageRgba8(rgba), ImageFormat::Bmp), ImageFormat::Bmp),
    ] {
        let plain = encoded(&DynamicImage::ImageRgb8(seen.clone()), ImageFormat::Png);
        assert_eq!(shrunk(&bytes, format, 15_000), shrunk(&plain, ImageFormat::Png, 15_000), "{format:?}");
    }
}

#[test]
fn squares_are_means() {
    let mut squares = Squares::new(5, 3, 6);
    assert_eq!((squares.factor, squares.columns), (2, 3));
    for y in 0..3 {
        squares.add(y, (0, 1), (0..5u32).flat_map(|x| [x as u8 * 10, y as u8 * 10, 7]));
    }
    let means = squares.finish();
    assert_eq!(means.into_raw(), [5, 5, 7, 25, 5, 7, 40, 5, 7, 5, 20, 7, 25, 20, 7, 40, 20, 7]);
}

/// CRC-32 of PNG chunks, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &b| {
        (0..8).fold(crc ^ u32::from(b), |c, _| if c & 1 == 1 { 0xEDB8_8320 ^ (c >> 1) } else { c >> 1 })
    })
}

/// An interlaced PNG of `image`, not compressed.
fn interlaced(image: &RgbImage) -> Vec<u8> {
    let (width, height) = image.dimensions();
    let mut raw = Vec::new();
    for [(x0, dx), (y0, dy)] in ADAM7 {
        for y in (y0..height).step_by(dy as usize).filter(|_| x0 < width) {
            raw.push(0);
            raw.extend((x0..width).step_by(dx as usize).flat_map(|x| image.get_pixel(x, y).0));
        }
    }
    let mut zlib = vec![0x78, 0x01];
    let blocks = raw.chunks(65535).count();
    for (i, block) in raw.chunks(65535).enumerate() {
        let length = block.len() as u16;
        zlib.push((i + 1 == blocks) as u8);
        zlib.extend(length.to_le_bytes());
        zlib.extend((!length).to_le_bytes());
        zlib.extend(block);
    }
    let (a, b) = raw.iter().fold((1u32, 0u32), |(a, b), v| {
        let a = (a + u32::from(*v)) % 65521;
        (a, (a + b) % 65521)
    });
    zlib.extend((b << 16 | a).to_be_bytes());
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 1]].concat();
    for (kind, data) in [(b"IHDR", &header), (b"IDAT", &zlib), (b"IEND", &Vec::new())] {
        png.extend((data.len() as u32).to_be_bytes());
        let chunk = [&kind[..], data].concat();
        png.extend(&chunk);
        png.extend(crc(&chunk).to_be_bytes());
    }
    png
}

#[test]
fn an_interlaced_png_is_shrunk_as_one_that_is_not() {
    let image = smooth();
    for (width, height) in [(WIDTH, HEIGHT), (5, 3), (1, 9), (3, 1)] {
        let image = image::imageops::crop_imm(&image, 0, 0, width, height).to_image();
        let plain = encoded(&DynamicImage::ImageRgb8(image.clone()), ImageFormat::Png);
        for target in [u64::from(width * height), 2, 15_000] {
            let small = shrunk(&interlaced(&image), ImageFormat::Png, target);
            assert_eq!(small, shrunk(&plain, ImageFormat::Png, target), "{width} × {height} to {target}");
        }
    }
}

#[test]
fn grey_jpegs_and_those_cut_off_are_shrunk() {
    let image = smooth();
    let grey = DynamicImage::ImageRgb8(image.clone()).into_luma8();
    let jpeg = encoded(&DynamicImage::ImageLuma8(grey.clone()), ImageFormat::Jpeg);
    let seen = DynamicImage::ImageLuma8(grey).into_rgb8();
    let most = apart(&shrunk(&jpeg, ImageFormat::Jpeg, 15_000), &seen);
    assert!(most < CLOSE, "{most}");
    let jpeg = encoded(&DynamicImage::ImageRgb8(image.clone()), ImageFormat::Jpeg);
    let whole = shrunk(&jpeg, ImageFormat::Jpeg, 15_000);
    let cut = shrunk(&jpeg[..jpeg.len() * 6 / 10], ImageFormat::Jpeg, 15_000);
    assert_eq!(cut.dimensions(), whole.dimensions());
    let upper = |image: &RgbImage| image.as_raw()[..image.as_raw().len() / 3].to_vec();
    assert_eq!(upper(&cut), upper(&whole), "what arrived is seen");
    assert_ne!(cut, whole);
}

#[test]
fn what_would_take_too_much_memory_is_refused_with_the_limit() {
    let error = fits(20000, 19999, "jpeg", MAX_MEMORY + 1).unwrap_err().to_string();
    assert!(error.contains("20000 × 19999") && error.contains("at most 1342 MB"), "{error}");
    assert!(fits(1, 1, "jpeg", MAX_MEMORY).is_ok());
}

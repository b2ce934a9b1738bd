use super::resample::{Rgb, resample};
use super::*;
use crate::config::SquarePolicy;
use crate::error::Kind;
use proptest::prelude::*;

fn parse(json: &str) -> Result<PreprocessConfig> {
    PreprocessConfig::parse_with(Some(json.as_bytes()), PreprocessConfig::llava(336))
}

fn encoded(image: &image::DynamicImage, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn gradient(width: u32, height: u32) -> image::RgbImage {
    image::RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 7) as u8, (y * 5) as u8, (x * y) as u8]))
}

fn squared(image: image::RgbImage, config: &PreprocessConfig) -> Vec<u8> {
    let (width, height) = image.dimensions();
    tiles::cut(Rgb { width, height, data: image.into_raw() }, config).data
}

#[test]
fn the_policy_is_the_checkpoints() {
    let policy = |json| parse(json).map(|c| c.tiling);
    assert_eq!(PreprocessConfig::parse_with(None, PreprocessConfig::llava(336)).unwrap(), PreprocessConfig::llava(336));
    assert_eq!(policy(r#"{"do_center_crop": true}"#).unwrap(), Tiling::One(SquarePolicy::Crop));
    assert_eq!(policy("{}").unwrap(), Tiling::One(SquarePolicy::Crop), "CLIPImageProcessor's default");
    assert_eq!(policy(r#"{"do_pad": true, "do_center_crop": true}"#).unwrap(), Tiling::One(SquarePolicy::Pad));
    assert_eq!(policy(r#"{"image_aspect_ratio": "pad"}"#).unwrap(), Tiling::One(SquarePolicy::Pad));
    assert_eq!(PreprocessConfig::llava(336).border(), [122, 116, 104]);
}

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    for (json, field) in [
        (r#"{"do_center_crop": false}"#, "do_center_crop"),
        (r#"{"do_resize": false}"#, "do_resize"),
        (r#"{"resample": 2}"#, "resample"),
        (r#"{"crop_size": 224}"#, "crop_size"),
        (r#"{"size": {"shortest_edge": 224}}"#, "size"),
        (r#"{"do_pad": true, "size": {"shortest_edge": 384}}"#, "size"),
        (r#"{"size": {"height": 336, "width": 224}}"#, "size"),
        (r#"{"image_mean": [0.5, 0.5]}"#, "image_mean"),
        (r#"{"image_std": [0.5, 0.5, 0]}"#, "image_mean"),
        (r#"{"rescale_factor": "x"}"#, "rescale_factor"),
    ] {
        let error = parse(json).unwrap_err();
        assert!(error.kind == Kind::Config && error.place.ends_with(field), "{json}: {error}");
    }
    assert_eq!(parse(r#"{"size": {"shortest_edge": 384}}"#).unwrap().shortest_edge, 384);
}

#[test]
fn a_size_that_fits_is_left_alone() {
    let image = gradient(56, 56);
    for policy in [SquarePolicy::Pad, SquarePolicy::Crop] {
        let config = PreprocessConfig { tiling: Tiling::One(policy), ..PreprocessConfig::llava(56) };
        assert_eq!(squared(image.clone(), &config), image.clone().into_raw(), "{policy:?}");
    }
}

/// The virtual border gives what a real one gives, and the virtual crop what a real one does.
#[test]
fn virtual_and_real_borders_agree() {
    for (width, height) in [(50, 31), (31, 50), (300, 7), (200, 199), (120, 400)] {
        let image = gradient(width, height);
        let config = PreprocessConfig::llava(56);
        let side = width.max(height);
        let mut padded = image::RgbImage::from_pixel(side, side, image::Rgb(config.border()));
        image::imageops::replace(&mut padded, &image, i64::from((side - width) / 2), i64::from((side - height) / 2));
        assert_eq!(squared(image.clone(), &config), squared(padded, &config), "{width}x{height} padded");
        let crop = PreprocessConfig { tiling: Tiling::One(SquarePolicy::Crop), ..config };
        let (mut columns, mut rows) = crop.axes(SquarePolicy::Crop, width, height);
        let wanted = (columns.first as usize, rows.first as usize);
        (columns.first, columns.count) = (0, columns.virtual_out);
        (rows.first, rows.count) = (0, rows.virtual_out);
        let rgb = Rgb { width, height, data: image.clone().into_raw() };
        let whole = resample(&rgb, &columns, &rows, [0; 3], Filter::Bicubic);
        let line = columns.count as usize * 3;
        let cut: Vec<u8> =
            (0..56).flat_map(|y| whole[(wanted.1 + y) * line + wanted.0 * 3..][..56 * 3].to_vec()).collect();
        assert_eq!(squared(image, &crop), cut, "{width}x{height} cropped");
    }
}

#[test]
fn a_plain_colour_stays_that_colour() {
    let config = PreprocessConfig::llava(56);
    for (width, height) in [(1, 1), (3, 1000), (997, 13)] {
        let plain = image::RgbImage::from_pixel(width, height, image::Rgb(config.border()));
        assert!(squared(plain, &config).chunks(3).all(|p| p == config.border()), "{width}x{height}");
    }
}

#[test]
fn every_format_and_mode_is_read() {
    use image::{DynamicImage, ImageFormat as F};
    let config = PreprocessConfig::llava(28);
    let rgb = gradient(28, 28);
    let data = |bytes: &[u8]| preprocess(bytes, &config).unwrap().data;
    let expected = data(&encoded(&DynamicImage::ImageRgb8(rgb.clone()), F::Png));
    for format in [F::Bmp, F::WebP] {
        assert_eq!(data(&encoded(&DynamicImage::ImageRgb8(rgb.clone()), format)), expected, "{format:?}");
    }
    // Of 16 bits the upper 8 count.
    let deep =
        image::ImageBuffer::from_fn(28, 28, |x, y| image::Rgb(rgb.get_pixel(x, y).0.map(|v| u16::from(v) << 8 | 0xFE)));
    assert_eq!(data(&encoded(&DynamicImage::ImageRgb16(deep), F::Png)), expected);
    for (format, name, tolerance) in [(F::Jpeg, "jpeg", 80.0), (F::Gif, "gif", 80.0)] {
        let bytes =
            encoded(&DynamicImage::ImageRgb8(image::RgbImage::from_pixel(9, 9, image::Rgb([200, 30, 90]))), format);
        let pixels = preprocess(&bytes, &config).unwrap();
        assert_eq!((pixels.format, pixels.width, pixels.height), (name, 9, 9));
        let red = (f64::from(pixels.data[28 * 14]) * config.std[0] + config.mean[0]) * 255.0;
        assert!((red - 200.0).abs() < tolerance / 10.0, "{name}: {red}");
    }
}

/// A TIFF header with one entry, orientation 6 (turn right by 90°), in an APP1 segment after SOI.
#[test]
fn exif_orientation_turns_the_picture() {
    let left_black = image::RgbImage::from_fn(64, 32, |x, _| image::Rgb([if x < 32 { 0 } else { 255 }; 3]));
    let jpeg = encoded(&image::DynamicImage::ImageRgb8(left_black), image::ImageFormat::Jpeg);
    let tiff = b"Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let mut turned = jpeg[..2].to_vec();
    turned.extend([0xFF, 0xE1, 0, (tiff.len() + 2) as u8]);
    turned.extend(tiff);
    turned.extend(&jpeg[2..]);
    let pixels = preprocess(&turned, &PreprocessConfig::llava(32)).unwrap();
    assert_eq!((pixels.width, pixels.height), (32, 64));
    // Turned right, left becomes top: in the middle column, dark above light.
    let column = |y: usize| pixels.data[y * 32 + 16];
    assert!(column(4) < -1.5 && column(28) > 1.5, "{} {}", column(4), column(28));
    let reference = PreprocessConfig { rendering: Rendering::Reference, ..PreprocessConfig::llava(32) };
    let pixels = preprocess(&turned, &reference).unwrap();
    assert_eq!((pixels.width, pixels.height), (64, 32), "the reference ignores it");
    assert!(pixels.data[16 * 32 + 4] < -1.5 && pixels.data[16 * 32 + 28] > 1.5);
}

/// Every kind of transparency that a file can have, on white: at most 1/255 from an exact blend. The reference drops
/// it.
#[test]
fn transparency_is_seen_on_white() {
    use image::{DynamicImage, ImageFormat as F};
    let config = PreprocessConfig::llava(28);
    let reference = PreprocessConfig { rendering: Rendering::Reference, ..config.clone() };
    let colour = |x: u32, y: u32| [(x * 9) as u8, (y * 9) as u8, (x * y) as u8];
    let alpha = |x: u32, y: u32| (x * 17 + y * 3) as u8;
    let blend = |value: u8, alpha: u8| f64::from(value) * f64::from(alpha) / 255.0 + 255.0 - f64::from(alpha);
    let rgba = image::RgbaImage::from_fn(28, 28, |x, y| {
        let [r, g, b] = colour(x, y);
        image::Rgba([r, g, b, alpha(x, y)])
    });
    let grey = image::GrayAlphaImage::from_fn(28, 28, |x, y| image::LumaA([colour(x, y)[2], alpha(x, y)]));
    let deep = image::ImageBuffer::from_fn(28, 28, |x, y| {
        image::Rgba(rgba.get_pixel(x, y).0.map(|value| u16::from(value) << 8 | 0x7F))
    });
    for (what, bytes, is_grey) in [
        ("png", encoded(&DynamicImage::ImageRgba8(rgba.clone()), F::Png), false),
        ("webp", encoded(&DynamicImage::ImageRgba8(rgba.clone()), F::WebP), false),
        ("bmp", encoded(&DynamicImage::ImageRgba8(rgba.clone()), F::Bmp), false),
        ("16 bits", encoded(&DynamicImage::ImageRgba16(deep), F::Png), false),
        ("grey", encoded(&DynamicImage::ImageLumaA8(grey), F::Png), true),
    ] {
        let (shown, dropped) = (preprocess(&bytes, &config).unwrap(), preprocess(&bytes, &reference).unwrap());
        for (x, y) in (0..28).flat_map(|y| (0..28).map(move |x| (x, y))) {
            for channel in 0..3 {
                let at = channel * 28 * 28 + (y * 28 + x) as usize;
                let level = |v: f32| (f64::from(v) * config.std[channel] + config.mean[channel]) * 255.0;
                let value = colour(x, y)[if is_grey { 2 } else { channel }];
                let wanted = blend(value, alpha(x, y));
                assert!((level(shown.data[at]) - wanted).abs() <= 0.51, "{what} at {x}, {y}: {wanted}");
                assert!((level(dropped.data[at]) - f64::from(value)).abs() < 0.01, "{what} at {x}, {y}: the reference");
            }
        }
    }
}

/// A palette's transparent entry, in PNG and GIF: white, whatever its colour.
#[test]
fn a_transparent_palette_entry_is_white() {
    let palette = [0, 0, 0, 200, 0, 0];
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 2, 2);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(&palette[..]);
    encoder.set_trns(&[0u8, 255][..]);
    encoder.write_header().unwrap().write_image_data(&[0, 1, 1, 0]).unwrap();
    // Header, palette of two, control block: entry 0 is transparent, frame of 2 × 2, indices 1 and 0 first.
    let gif = b"GIF89a\x02\0\x02\0\x80\0\0\0\0\0\xC8\0\0\x21\xF9\x04\x01\0\0\0\0\x2C\0\0\0\0\x02\0\x02\0\0\x02\x03\x0C\x10\x05\0\x3B";
    let config = PreprocessConfig::llava(2);
    let levels = |bytes: &[u8], config: &PreprocessConfig| {
        let data = preprocess(bytes, config).unwrap().data;
        let level = |i: usize| ((f64::from(data[i]) * config.std[i / 4] + config.mean[i / 4]) * 255.0).round() as u8;
        [level(0), level(4), level(1), level(5)]
    };
    assert_eq!(levels(&bytes, &config), [255, 255, 200, 0], "png");
    assert_eq!(levels(gif, &config), [200, 0, 255, 255], "gif");
    assert_eq!(levels(&bytes, &PreprocessConfig { rendering: Rendering::Reference, ..config }), [0, 0, 200, 0]);
}

/// A BMP of 32 bits whose fourth byte is zero everywhere was written by a program that knows no alpha.
#[test]
fn a_bmp_without_any_opaque_pixel_is_opaque() {
    let config = PreprocessConfig::llava(4);
    let write = |alpha: [u8; 2]| {
        let image = image::RgbaImage::from_fn(4, 4, |x, _| image::Rgba([0, 0, 0, alpha[(x > 1) as usize]]));
        preprocess(&encoded(&image::DynamicImage::ImageRgba8(image), image::ImageFormat::Bmp), &config).unwrap().data
    };
    let (black, white) = (write([255, 255])[0], write([0, 255])[0]);
    assert_eq!(write([0, 0])[0], black);
    assert!(white > black + 3.0, "{white}");
}

#[test]
fn what_cannot_be_read_is_called_by_its_name() {
    for (bytes, what) in [
        (&b"\0\0\0\x20ftypavif\0\0\0\0avifmif1"[..], "AVIF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"no picture", "no format"),
    ] {
        let error = preprocess(bytes, &PreprocessConfig::llava(28)).unwrap_err();
        assert!(error.kind == Kind::Image && error.message.contains(what), "{error}");
        assert!(error.hint.contains("WebP"), "what can be read: {error}");
    }
}

/// Only headers: no pixel data follow, so a decoder that began would fail otherwise than by our limit.
#[test]
fn bombs_are_refused_by_their_headers() {
    let config = PreprocessConfig::llava(336);
    let small = encoded(&image::DynamicImage::ImageRgb8(gradient(4, 4)), image::ImageFormat::Png);
    for (width, height) in [(60000u32, 60000u32), (65536, 1), (1, 100_000), (20000, 20001)] {
        let mut png = small[..33].to_vec();
        png[16..20].copy_from_slice(&width.to_be_bytes());
        png[20..24].copy_from_slice(&height.to_be_bytes());
        let crc = crc(&png[12..29]);
        png[29..33].copy_from_slice(&crc.to_be_bytes());
        png.extend(&small[33..]);
        let mut gif = b"GIF89a\0\0\0\0\0\0\0".to_vec();
        gif[6..8].copy_from_slice(&(width as u16).to_le_bytes());
        gif[8..10].copy_from_slice(&(height as u16).to_le_bytes());
        let error = preprocess(&png, &config).unwrap_err();
        assert!(error.kind == Kind::Image && error.message.contains(&format!("{width} × {height}")), "{error}");
        assert!(preprocess(&gif, &config).is_err());
    }
}

/// CRC-32 of PNG chunks, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &b| {
        (0..8).fold(crc ^ u32::from(b), |c, _| if c & 1 == 1 { 0xEDB8_8320 ^ (c >> 1) } else { c >> 1 })
    })
}

/// The largest accepted shapes take little memory: neither the square nor the resized strip exists.
#[test]
fn a_strip_is_neither_padded_nor_stretched_in_memory() {
    let strip = encoded(&image::DynamicImage::ImageRgb8(gradient(MAX_SIDE, 1)), image::ImageFormat::Png);
    for policy in [SquarePolicy::Pad, SquarePolicy::Crop] {
        let config = PreprocessConfig { tiling: Tiling::One(policy), ..PreprocessConfig::llava(336) };
        assert_eq!(preprocess(&strip, &config).unwrap().data.len(), 3 * 336 * 336);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn arbitrary_bytes_do_not_panic(start in 0usize..6, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let magic: [&[u8]; 6] =
            [b"", b"\xFF\xD8\xFF", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"GIF89a", b"BM"];
        let _ = preprocess(&[magic[start], &bytes].concat(), &PreprocessConfig::llava(28));
    }

    #[test]
    fn damaged_files_do_not_panic(
        format in 0usize..5,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        keep in any::<prop::sample::Index>(),
    ) {
        use image::ImageFormat as F;
        let format = [F::Jpeg, F::Png, F::WebP, F::Gif, F::Bmp][format];
        let mut bytes = encoded(&image::DynamicImage::ImageRgb8(gradient(20, 12)), format);
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let config = PreprocessConfig::llava(28);
        if let Ok(pixels) = preprocess(&bytes, &config) {
            prop_assert!(pixels.data.len() == 3 * 28 * 28 && pixels.data.iter().all(|v| v.is_finite()));
        }
        bytes.truncate(keep.index(bytes.len()));
        let _ = preprocess(&bytes, &config);
    }

    /// Any shape is made square without reading outside the picture.
    #[test]
    fn any_shape_becomes_square(width in 1u32..400, height in 1u32..400, crop: bool) {
        let policy = if crop { SquarePolicy::Crop } else { SquarePolicy::Pad };
        let config = PreprocessConfig { tiling: Tiling::One(policy), ..PreprocessConfig::llava(28) };
        prop_assert_eq!(squared(gradient(width, height), &config).len(), 28 * 28 * 3);
    }
}

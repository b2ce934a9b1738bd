//! Comparison with PyTorch's transformers, PIL and Python's tokenizers, where their data are present.
//!
//! `LLAVA_REFERENCE` names the folder that the reference generators wrote (`preproc/`, `tok/`, `tiny/`).
//! Without it these tests say that they were skipped, and check nothing.

use llava_web::config::{Config, SquarePolicy};
use llava_web::preprocess::{PreprocessConfig, preprocess};
use safetensors::SafeTensors;
use std::path::PathBuf;

/// The reference folder, or a visible note that there is none.
fn reference(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("LLAVA_REFERENCE").map(PathBuf::from).filter(|path| path.is_dir());
    if folder.is_none() {
        println!("SKIPPED {test}: LLAVA_REFERENCE names no folder");
    }
    folder
}

fn vision_of(image_size: u32) -> llava_web::config::VisionConfig {
    let json = format!(r#"{{"vision_config": {{"image_size": {image_size}}}}}"#);
    Config::parse(json.as_bytes(), None).unwrap().vision
}

/// Every picture by both policies: at most 1/255 from PIL in any value. (Measured: equal.)
#[test]
fn pixels_are_those_of_pil() {
    let Some(folder) = reference("pixels_are_those_of_pil") else { return };
    let folder = folder.join("preproc");
    let bytes = std::fs::read(folder.join("preproc.safetensors")).unwrap();
    let goldens = SafeTensors::deserialize(&bytes).unwrap();
    let vision = vision_of(336);
    let (mut pictures, mut worst, mut worst_float) = (0, 0u8, 0f32);
    for name in goldens.names() {
        let Some((picture, route)) = name.strip_suffix(".u8").and_then(|n| n.rsplit_once('.')) else { continue };
        let policy = if route == "pad" { SquarePolicy::Pad } else { SquarePolicy::Crop };
        let config = PreprocessConfig { policy, ..PreprocessConfig::parse(None, &vision).unwrap() };
        let png = std::fs::read(folder.join(format!("{picture}.png"))).unwrap();
        let pixels = preprocess(&png, &config).unwrap();
        let golden = goldens.tensor(name).unwrap();
        assert_eq!(golden.shape(), [336, 336, 3]);
        let mut most = 0;
        for (i, &theirs) in golden.data().iter().enumerate() {
            let (pixel, channel) = (i / 3, i % 3);
            let value = f64::from(pixels.data[channel * 336 * 336 + pixel]);
            let ours = (value * config.std[channel] + config.mean[channel]) * 255.0;
            assert!((ours - ours.round()).abs() < 1e-3, "{name}: {ours} is no 8-bit value");
            most = most.max((ours.round() as u8).abs_diff(theirs));
        }
        println!("{name}: at most {most}/255 from PIL");
        (pictures, worst) = (pictures + 1, worst.max(most));
        if let Ok(float) = goldens.tensor(&format!("{picture}.{route}.f32")) {
            let theirs = float.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            worst_float = pixels.data.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(worst_float, f32::max);
        }
    }
    println!("{pictures} comparisons: at most {worst}/255; normalised values at most {worst_float:e} apart");
    assert!(pictures >= 20, "only {pictures} comparisons");
    assert!(worst <= 1, "{worst}/255 from PIL");
    // Their float32 arithmetic rounds three times, ours once: values up to 2.7 with 2^-24 relative error each.
    assert!(worst_float < 1e-6, "{worst_float}");
}

use super::*;

fn parse(json: &str, defaults: PreprocessConfig) -> Result<PreprocessConfig> {
    PreprocessConfig::parse_with(Some(json.as_bytes()), defaults)
}

fn candidates(config: &PreprocessConfig) -> &[[u32; 2]] {
    match &config.tiling {
        Tiling::Anyres { candidates } => candidates,
        other => panic!("{other:?}"),
    }
}

/// A file that names its processor is read alike over the defaults of every family; one that does not is the family's.
#[test]
fn the_processor_is_the_files_or_the_familys() {
    let pairs = vec![[336, 672], [672, 336]];
    let families = [
        PreprocessConfig::llava(336),
        PreprocessConfig::siglip(336),
        PreprocessConfig::idefics3(336, 1344),
        PreprocessConfig::llava_next(336, pairs.clone()),
    ];
    for family in &families {
        assert_eq!(&PreprocessConfig::parse_with(None, family.clone()).unwrap(), family, "without a file");
        let read = |json: &str| parse(json, family.clone()).unwrap();
        let siglip = r#"{"image_processor_type": "SiglipImageProcessorFast", "size": {"height": 336, "width": 336}}"#;
        assert_eq!(read(siglip), families[1]);
        assert_eq!(read(r#"{"image_processor_type": "SiglipImageProcessor", "do_pad": true}"#), families[1]);
        for kind in ["Idefics3", "SmolVLM"] {
            let json = format!(
                r#"{{"image_processor_type": "{kind}ImageProcessor", "do_pad": true, "resample": 1,
                "max_image_size": {{"longest_edge": 336}}, "size": {{"longest_edge": 1344}}, "video_sampling": {{}}}}"#
            );
            assert_eq!(read(&json), families[2]);
        }
        let next = r#"{"image_processor_type": "LlavaNextImageProcessor", "do_pad": true, "crop_size": 336,
            "size": {"shortest_edge": 336}, "image_grid_pinpoints": [[336, 672], [672, 336]]}"#;
        assert_eq!(read(next), families[3]);
        let clip = r#"{"feature_extractor_type": "CLIPFeatureExtractor", "size": 336, "crop_size": 336}"#;
        let cropped = PreprocessConfig { tiling: Tiling::One(SquarePolicy::Crop), ..PreprocessConfig::llava(336) };
        assert_eq!(read(clip), cropped);
        let unnamed = read(r#"{"do_center_crop": true, "crop_size": 336}"#);
        let own = if family == &families[0] { &cropped } else { family };
        assert_eq!(&PreprocessConfig { tiling: own.tiling.clone(), ..unnamed.clone() }, own);
        assert_eq!(std::mem::discriminant(&unnamed.tiling), std::mem::discriminant(&own.tiling));
    }
    let unnamed = r#"{"image_processor_type": "LlavaNextImageProcessor"}"#;
    assert_eq!(candidates(&parse(unnamed, families[3].clone()).unwrap()), pairs, "the argument's");
    assert_eq!(candidates(&parse(unnamed, families[0].clone()).unwrap()), CANDIDATES, "the processor's");
}

/// A size of height and width is stretched, with and without a centre crop that cuts nothing.
#[test]
fn height_and_width_stretch() {
    for crop in ["true, \"crop_size\": 336", "false"] {
        let json = format!(r#"{{"size": {{"height": 336, "width": 336}}, "do_center_crop": {crop}}}"#);
        let config = parse(&json, PreprocessConfig::llava(336)).unwrap();
        assert_eq!(
            config,
            PreprocessConfig { tiling: Tiling::One(SquarePolicy::Stretch), ..PreprocessConfig::llava(336) }
        );
    }
    let padded = parse(r#"{"image_aspect_ratio": "pad"}"#, PreprocessConfig::siglip(384)).unwrap();
    assert_eq!((&padded.tiling, padded.border()), (&Tiling::One(SquarePolicy::Pad), [127; 3]));
}

#[test]
fn splitting_can_be_off() {
    let json = r#"{"image_processor_type": "SmolVLMImageProcessor", "do_image_splitting": false,
        "size": {"longest_edge": 2048}}"#;
    let config = parse(json, PreprocessConfig::llava(512)).unwrap();
    assert_eq!((config.max_tiles(), config.longest_edges()), (1, vec![2048]));
    assert_eq!(config.tiles_of(4000, 3000), (1, [0, 0]));
}

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    let grid = PreprocessConfig::idefics3(32, 128);
    let next = PreprocessConfig::llava_next(28, vec![[28, 56]]);
    let pairs = format!(r#"{{"image_grid_pinpoints": [{}]}}"#, vec!["[28, 28]"; 65].join(","));
    for (json, defaults, field) in [
        (r#"{"image_processor_type": "LlavaOnevisionImageProcessor"}"#, &grid, "image_processor_type"),
        (r#"{"image_processor_type": "Siglip2ImageProcessorFast"}"#, &grid, "image_processor_type"),
        (r#"{"image_processor_type": 3}"#, &grid, "image_processor_type"),
        (r#"{"feature_extractor_type": "ViTFeatureExtractor"}"#, &grid, "feature_extractor_type"),
        (r#"{"max_image_size": {"longest_edge": 64}}"#, &grid, "max_image_size"),
        (r#"{"max_image_size": 32}"#, &grid, "max_image_size"),
        (r#"{"size": {"longest_edge": 0}}"#, &grid, "size"),
        (r#"{"size": {"longest_edge": 4097}}"#, &grid, "size"),
        (r#"{"size": {"longest_edge": 193}}"#, &grid, "size"),
        (r#"{"size": {"height": 128, "width": 128}}"#, &grid, "size"),
        (r#"{"do_image_splitting": 1}"#, &grid, "do_image_splitting"),
        (r#"{"resample": 2}"#, &grid, "resample"),
        (r#"{"size": {"shortest_edge": 56}}"#, &next, "size"),
        (r#"{"crop_size": 56}"#, &next, "crop_size"),
        (r#"{"image_grid_pinpoints": []}"#, &next, "image_grid_pinpoints"),
        (r#"{"image_grid_pinpoints": [[28, 29]]}"#, &next, "image_grid_pinpoints"),
        (r#"{"image_grid_pinpoints": [[28, 0]]}"#, &next, "image_grid_pinpoints"),
        (r#"{"image_grid_pinpoints": [[28, 28, 28]]}"#, &next, "image_grid_pinpoints"),
        (r#"{"image_grid_pinpoints": [[28, -28]]}"#, &next, "image_grid_pinpoints"),
        (r#"{"image_grid_pinpoints": [[28, 4116]]}"#, &next, "image_grid_pinpoints"),
        (r#"{"image_grid_pinpoints": [[252, 252]]}"#, &next, "image_grid_pinpoints"),
        (r#"{"image_grid_pinpoints": "(1x1),...,(6x6)"}"#, &next, "image_grid_pinpoints"),
        (&pairs, &next, "image_grid_pinpoints"),
        (r#"{"size": {"height": 384, "width": 384}}"#, &PreprocessConfig::siglip(336), "size"),
        (r#"{"size": 336}"#, &PreprocessConfig::siglip(336), "do_center_crop"),
        (r#"{"size": {"height": 384, "width": 384}}"#, &PreprocessConfig::llava(336), "size"),
    ] {
        let error = parse(json, defaults.clone()).unwrap_err();
        assert!(error.kind == Kind::Config && error.place.ends_with(field), "{json}: {error}");
    }
    // Defaults are checked as well: they may come from config.json.
    for wrong in [
        PreprocessConfig::llava_next(336, Vec::new()),
        PreprocessConfig::llava_next(336, vec![[u32::MAX, 336]]),
        PreprocessConfig::idefics3(16, 2048),
        PreprocessConfig::idefics3(4095, 4096),
        PreprocessConfig::idefics3(512, u32::MAX),
        PreprocessConfig::siglip(0),
    ] {
        assert_eq!(PreprocessConfig::parse_with(None, wrong.clone()).unwrap_err().kind, Kind::Config, "{wrong:?}");
    }
}

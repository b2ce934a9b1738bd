use super::*;
use proptest::prelude::*;

fn black(width: u32, height: u32) -> Rgb {
    Rgb { width, height, data: vec![0; 3 * width as usize * height as usize] }
}

/// A stripe for every square, so that the order shows: 64 × 96 of squares of 32, each of its own grey.
#[test]
fn squares_come_row_by_row() {
    let grey = |x: u32, y: u32| (40 * (x / 32 + 2 * (y / 32))) as u8;
    let data = (0..96).flat_map(|y| (0..64).flat_map(move |x| [grey(x, y); 3])).collect();
    let mut squares = Vec::new();
    push_squares(&Rgb { width: 64, height: 96, data }, 32, &mut squares);
    assert!(squares.chunks_exact(3 * 32 * 32).zip([0, 40, 80, 120, 160, 200]).all(|(s, g)| s.iter().all(|v| *v == g)));
    assert_eq!(squares.len(), 6 * 3 * 32 * 32);
}

/// The overview fills its square; the squares have the picture in their middle, an odd pixel of black right or below.
#[test]
fn anyres_pads_with_black() {
    let config = PreprocessConfig::llava_next(8, vec![[16, 16]]);
    let white = Rgb { width: 13, height: 16, data: vec![255; 3 * 13 * 16] };
    let tiles = cut(white, &config);
    assert_eq!((tiles.grid, tiles.data.len()), ([2, 2], 5 * 3 * 8 * 8));
    assert!(tiles.data[..3 * 8 * 8].iter().all(|v| *v == 255));
    let value = |x: usize, y: usize| tiles.data[3 * (64 * (1 + y / 8 * 2 + x / 8) + y % 8 * 8 + x % 8)];
    for y in 0..16 {
        let row: Vec<bool> = (0..16).map(|x| value(x, y) == 255).collect();
        assert!(row.iter().enumerate().all(|(x, light)| *light == (1..14).contains(&x)), "{row:?}");
    }
}

/// The longest strips, either way round, and the smallest picture, at the largest settings.
#[test]
fn hostile_shapes_stay_bounded() {
    for config in [
        PreprocessConfig::idefics3(512, 2048),
        PreprocessConfig::idefics3(384, 1536),
        PreprocessConfig::siglip(384),
        PreprocessConfig::llava_next(336, vec![[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]),
    ] {
        for (width, height) in [(16384, 1), (1, 16384), (1, 1), (65535, 2)] {
            let (most, tiles) = (config.max_tiles(), cut(black(width, height), &config));
            let count = tiles.data.len() / (3 * config.size as usize * config.size as usize);
            assert!(count as u32 <= most && config.tiles_of(width, height) == (count as u32, tiles.grid));
        }
    }
}

proptest! {
    /// Sizes stay within the bounds that the memory rests on.
    #[test]
    fn sizes_are_bounded(width in 1u32..70000, height in 1u32..70000, side in 1u32..=4096, edge in 1u32..=4096) {
        let config = PreprocessConfig::idefics3(side, edge);
        let resized = with_longest_edge((width, height), edge);
        prop_assert!(resized.0.max(resized.1) <= edge + edge % 2 && resized.0.min(resized.1) >= 1);
        if config.check().is_ok() {
            let aligned = multiples(resized, side);
            prop_assert!(aligned.0.is_multiple_of(side) && aligned.1.is_multiple_of(side));
            prop_assert!(aligned.0.max(aligned.1) <= 4096 && config.tiles_of(width, height).0 <= config.max_tiles());
        }
        let room = (side, edge);
        let inner = inside((width, height), room);
        prop_assert!(inner.0 <= room.0 && inner.1 <= room.1 && inner.0.min(inner.1) >= 1);
        let candidates = [[side, edge], [edge, side]];
        prop_assert!(candidates.contains(&best((width, height), &candidates)));
    }
}

use super::pack::squared_error;
use super::*;
use half::f16;
use proptest::prelude::*;

/// Deterministic values in −1 … 1 without a generator crate.
fn noise(count: usize) -> Vec<f32> {
    (0..count as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

#[test]
fn planes_have_the_documented_sizes() {
    assert_eq!(plane_bytes(WeightType::F32, 3, 8).unwrap(), (96, 0));
    assert_eq!(plane_bytes(WeightType::F16, 3, 8).unwrap(), (48, 0));
    assert_eq!(plane_bytes(WeightType::Q8, 3, 64).unwrap(), (192, 12));
    assert_eq!(plane_bytes(WeightType::Q4, 3, 32).unwrap(), (48, 8), "three scales are padded to four");
    assert!(plane_bytes(WeightType::Q4, 3, 48).is_err());
    assert!(plane_bytes(WeightType::F32, 0, 4).is_err());
    assert!(plane_bytes(WeightType::F32, u32::MAX, u32::MAX - 3).is_err(), "more than u64");
}

#[test]
fn blocks_are_group_major_and_nibbles_in_ggml_order() {
    // Row n, column k holds n·64 + k in f32: block kb·N + n starts with W[n, 4·kb].
    let rows: Vec<f32> = (0..3 * 8).map(|i| i as f32).collect();
    let planes = quantize(WeightType::F32, 3, 8, &rows).unwrap();
    let first_of_block: Vec<f32> = planes.chunks(16).map(|b| f32::from_le_bytes(b[..4].try_into().unwrap())).collect();
    assert_eq!(first_of_block, [0.0, 8.0, 16.0, 4.0, 12.0, 20.0]);
    // q − 8 = −8 … 7 twice: byte j holds values j and j + 16, which here are equal; d is 0.5.
    let row: Vec<f32> = (0..32).map(|j| (j % 16 - 8) as f32 * 0.5).collect();
    let planes = quantize(WeightType::Q4, 1, 32, &row).unwrap();
    let expected: Vec<u8> = (0..16).map(|j| j * 17).collect();
    assert_eq!(planes[..16], expected);
    assert_eq!(planes[16..], [0x00, 0x38, 0, 0], "0.5 in f16, then padding");
}

/// Every 101st float, and all floats around every multiple of ½.
#[test]
fn the_nearest_integer_is_the_nearest() {
    let same = |x: f32| assert_eq!(pack::nearest(x), x.round() as i32, "{x:e}");
    (0..u32::MAX / 101).map(|i| f32::from_bits(i * 101)).filter(|x| x.abs() < (1 << 22) as f32).for_each(same);
    for i in -512..512 {
        let bits = (i as f32 / 2.0).to_bits();
        (0..9).map(|step| f32::from_bits((bits + step).saturating_sub(4))).filter(|x| x.abs() < 1e3).for_each(same);
    }
}

#[test]
fn a_row_at_a_time_is_the_same_as_all_at_once() {
    let rows = noise(5 * 64);
    for weight_type in WeightType::FROM_FLOATS {
        let whole = quantize(weight_type, 5, 64, &rows).unwrap();
        let mut pieces = vec![0; whole.len()];
        for (i, row) in rows.chunks(64).enumerate().rev() {
            quantize_rows(weight_type, 5, 64, i as u32, row, &mut pieces).unwrap();
        }
        assert!(whole == pieces, "{weight_type}");
        assert!(quantize_rows(weight_type, 5, 64, 5, &rows[..64], &mut pieces).is_err(), "past the end");
    }
}

#[test]
fn what_cannot_be_stored_is_refused_with_its_place() {
    for (weight_type, bad) in [
        (WeightType::F32, f32::NAN),
        (WeightType::F16, 7e4),
        (WeightType::Q8, f32::INFINITY),
        (WeightType::Q8, 1e8),
        (WeightType::Q4, f32::NEG_INFINITY),
        (WeightType::Q4, f32::MAX),
    ] {
        let mut rows = noise(3 * 64);
        rows[64 + 33] = bad;
        let error = quantize(weight_type, 3, 64, &rows).unwrap_err();
        assert!(error.kind == Kind::Tensor && error.place.starts_with("row 1, columns 32"), "{error}");
    }
}

#[test]
fn zeros_and_tiny_values_survive() {
    for weight_type in WeightType::FROM_FLOATS {
        let planes = quantize(weight_type, 2, 32, &[0.0; 64]).unwrap();
        assert_eq!(dequantize(weight_type, 2, 32, &planes).unwrap(), [0.0; 64]);
        let planes = quantize(weight_type, 1, 32, &[1e-9; 32]).unwrap();
        assert!(dequantize(weight_type, 1, 32, &planes).unwrap().iter().all(|w| (w - 1e-9).abs() <= 1e-9));
    }
}

#[test]
fn widest_fitting_never_gives_fewer_bits() {
    use WeightType::{F16, F32, Q4, Q8};
    let fits = |t, k| widest_fitting(t, k).unwrap();
    assert_eq!([fits(Q4, 64), fits(Q4, 40), fits(Q8, 36), fits(F32, 64), fits(F16, 4)], [Q4, F16, F32, F32, F32]);
    assert!(widest_fitting(Q4, 6).is_err());
}

#[test]
fn tiles_cover_the_rows_at_multiples_of_32() {
    assert_eq!(row_tiles(WeightType::F16, 32064, 4096).unwrap(), [[0, 16032], [16032, 32064]]);
    assert_eq!(row_tiles(WeightType::Q8, 32064, 4096).unwrap(), [[0, 32064]]);
    for (n, limit) in [(1000, 4096), (1000, 1024), (33, 1024), (65, 2048)] {
        let tiles = row_tiles_within(WeightType::Q4, n, 64, limit).unwrap();
        assert_eq!((tiles[0][0], tiles.last().unwrap()[1]), (0, n));
        assert!(tiles.windows(2).all(|w| w[0][1] == w[1][0] && w[0][1] % 32 == 0));
        assert!(tiles.iter().all(|t| t[0] < t[1] && u64::from(t[1] - t[0]) * 32 <= limit), "{tiles:?}");
    }
    assert!(row_tiles_within(WeightType::F32, 64, 64, 256).is_err(), "not even 32 rows fit");
}

/// Blocks of `encoding` [3, 512] and their values, as the Python package `gguf` reads them
/// (tests/golden/gguf_types.py).
fn golden(encoding: Encoding) -> (Vec<u8>, Vec<f32>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/gguf_types.safetensors");
    let file = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&file).unwrap();
    let tensor = |what: &str| file.tensor(&format!("{encoding}.{what}")).unwrap().data().to_vec();
    (tensor("bytes"), bytemuck::pod_collect_to_vec(&tensor("values")))
}

/// Equal in every bit: signs of zeros, too.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn repacked(encoding: Encoding, rows: u32, k: u32, bytes: &[u8], order: Option<&[u32]>) -> Vec<u8> {
    let mut planes = vec![0; stored_bytes(encoding.exact(), rows, k).unwrap() as usize];
    repack(encoding, rows, k, bytes, order, &mut planes).unwrap();
    planes
}

#[test]
fn every_encoding_is_read_as_the_gguf_package_reads_it() {
    for encoding in Encoding::ALL {
        let (bytes, values) = golden(encoding);
        assert!(values.len() == 3 * 512 && values.iter().any(|v| *v != 0.0));
        assert!(bits(&decode(encoding, &bytes).unwrap()) == bits(&values), "{encoding}: decode");
        let planes = repacked(encoding, 3, 512, &bytes, None);
        let back = dequantize(encoding.exact(), 3, 512, &planes).unwrap();
        assert!(bits(&back) == bits(&values), "{encoding}: repack and dequantize");
        // A wrong bit shows (in every block, for some have scales that swallow it).
        let mut other = planes.clone();
        other.iter_mut().take(3 * 16).skip(5).step_by(16).for_each(|b| *b ^= 0x10);
        assert!(bits(&dequantize(encoding.exact(), 3, 512, &other).unwrap()) != bits(&values), "{encoding}");
    }
}

#[test]
fn rows_are_repacked_in_the_order_asked_for() {
    // More rows than are written together, each different.
    let order: Vec<u32> = (0..67).map(|i| i * 29 % 67).collect();
    for encoding in Encoding::ALL {
        let (bytes, _) = golden(encoding);
        let row = encoding.row_bytes(256).unwrap() as usize;
        let rows: Vec<u8> = (0..67).flat_map(|i| &bytes[i % 6 * row..][..row]).copied().collect();
        let straight = dequantize(encoding.exact(), 67, 256, &repacked(encoding, 67, 256, &rows, None)).unwrap();
        let turned = dequantize(encoding.exact(), 67, 256, &repacked(encoding, 67, 256, &rows, Some(&order))).unwrap();
        for (row, &source) in turned.chunks(256).zip(&order) {
            assert!(bits(row) == bits(&straight[source as usize * 256..][..256]), "{encoding}: row {source}");
        }
        assert!(bits(&straight) == bits(&decode(encoding, &rows).unwrap()), "{encoding}");
    }
}

#[test]
fn planes_lie_where_they_are_said_to_lie() {
    for weight_type in WeightType::ALL {
        for (n, k) in [(1, 256), (3, 512), (33, 768)] {
            let (blocks, scales) = plane_bytes(weight_type, n, k).unwrap();
            let planes = planes(weight_type, n, k).unwrap();
            let mut at = 0;
            for plane in &planes {
                assert_eq!(plane.offset, at, "{weight_type} [{n}, {k}]");
                at += (u64::from(plane.strips) * u64::from(n) * u64::from(plane.row_bytes)).next_multiple_of(4);
            }
            assert_eq!(at, blocks + scales);
            assert_eq!(planes.len() > 1, weight_type.has_scales());
        }
    }
    // q4_k [2, 256]: 8 blocks of 16 bytes, 8 groups of 2, one super of 4, for each row.
    let planes = planes(WeightType::Q4K, 2, 256).unwrap();
    let plane = |offset, strips, row_bytes| Plane { offset, strips, row_bytes };
    assert_eq!(planes, [plane(0, 8, 16), plane(256, 8, 2), plane(288, 1, 4)]);
}

#[test]
fn hostile_lengths_and_orders_are_errors() {
    for encoding in Encoding::ALL {
        let (bytes, _) = golden(encoding);
        let kind = |rows, k, bytes: &[u8], order: Option<&[u32]>, out: usize| {
            repack(encoding, rows, k, bytes, order, &mut vec![0; out]).unwrap_err().kind
        };
        let out = stored_bytes(encoding.exact(), 3, 512).unwrap() as usize;
        assert_eq!(kind(3, 512, &bytes[1..], None, out), Kind::Tensor, "{encoding}");
        assert_eq!(kind(3, 512, &bytes, None, out - 1), Kind::Tensor);
        assert_eq!(kind(0, 512, &[], None, 0), Kind::Tensor);
        assert_eq!(kind(3, 0, &[], None, 0), Kind::Tensor);
        assert_eq!(kind(3, 511, &bytes, None, out), Kind::Tensor);
        assert_eq!(kind(u32::MAX, 512 << 20, &bytes, None, out), Kind::Tensor);
        assert_eq!(kind(3, 512, &bytes, Some(&[0, 1, 3]), out), Kind::Argument);
        assert_eq!(kind(3, 512, &bytes, Some(&[0, 1]), out), Kind::Argument);
        let half_a_block = &bytes[..encoding.block().1 as usize - 1];
        assert_eq!(decode(encoding, half_a_block).unwrap_err().kind, Kind::Tensor);
        assert!(decode(encoding, &[]).unwrap().is_empty());
    }
}

#[test]
fn blocks_that_are_not_finite_are_refused_with_their_row() {
    for encoding in Encoding::ALL {
        let (mut bytes, _) = golden(encoding);
        let row = encoding.row_bytes(512).unwrap() as usize;
        // The scale is the first half of a block (of Q6_K the last), a value the last bytes of a block of floats.
        let at = row + if encoding == Encoding::Q6K { 208 } else { encoding.block().1.min(2) as usize - 2 };
        let infinity: &[u8] = match encoding {
            Encoding::F32 => &[0, 0, 0x80, 0x7f],
            Encoding::Bf16 => &[0x80, 0xff],
            _ => &[0, 0xfc],
        };
        bytes[at..at + infinity.len()].copy_from_slice(infinity);
        let mut planes = vec![0; stored_bytes(encoding.exact(), 3, 512).unwrap() as usize];
        let error = repack(encoding, 3, 512, &bytes, None, &mut planes).unwrap_err();
        assert!(error.kind == Kind::Tensor && error.place == "row 1, block 0", "{encoding}: {error}");
    }
}

#[test]
fn floats_do_not_become_what_only_files_hold() {
    for weight_type in WeightType::ALL {
        let made = quantize(weight_type, 1, 256, &[0.5; 256]);
        match WeightType::FROM_FLOATS.contains(&weight_type) {
            true => assert!(made.is_ok(), "{weight_type}"),
            false => assert_eq!(made.unwrap_err().kind, Kind::Argument, "{weight_type}"),
        }
        let json = serde_json::to_string(&weight_type).unwrap();
        assert_eq!(json, format!("\"{weight_type}\""));
        assert_eq!(serde_json::from_str::<WeightType>(&json).unwrap(), weight_type);
        assert_eq!(weight_type.name().parse::<WeightType>().unwrap(), weight_type);
    }
}

proptest! {
    /// Weights of the form `d·(−8 … 7)` with both ends present come back exactly, whatever the sign of d.
    #[test]
    fn exact_nibbles_come_back_exactly(
        mut q in prop::collection::vec(-8i8..8, 32),
        exponent in -12i32..4,
        mantissa in 1024u32..2048,
        ends in (0usize..32, 0usize..31),
        negative: bool,
    ) {
        let d = mantissa as f32 / 1024.0 * 2f32.powi(exponent) * if negative { -1.0 } else { 1.0 };
        q[ends.0] = -8;
        q[(ends.0 + 1 + ends.1) % 32] = 7;
        let row: Vec<f32> = q.iter().map(|&q| d * f32::from(q)).collect();
        let planes = quantize(WeightType::Q4, 1, 32, &row).unwrap();
        prop_assert_eq!(dequantize(WeightType::Q4, 1, 32, &planes).unwrap(), row);
    }

    /// Every value is within half a step of its own, the ends of q4 within one (one end is clipped), plus
    /// what rounding the scale to f16 costs; and quantising what came back changes nothing more than that.
    #[test]
    fn error_is_bounded_by_the_step(row in prop::collection::vec(-4.0f32..4.0, 32)) {
        let amax = row.iter().fold(0f32, |m, w| m.max(w.abs()));
        for (weight_type, step) in [(WeightType::Q8, amax / 127.0), (WeightType::Q4, 2.0 * amax / 7.0)] {
            let planes = quantize(weight_type, 1, 32, &row).unwrap();
            let back = dequantize(weight_type, 1, 32, &planes).unwrap();
            let slack = amax * 1e-3 + 1e-6;
            for (a, b) in row.iter().zip(&back) {
                prop_assert!((a - b).abs() <= step / 2.0 * 1.01 + slack, "{weight_type}: {a} became {b}");
            }
        }
    }

    /// The search is never worse than ggml's single candidate.
    #[test]
    fn the_search_beats_its_first_candidate(row in prop::collection::vec(-4.0f32..4.0, 32)) {
        let signed_max = row.iter().fold(0f32, |m, &w| if w.abs() > m.abs() { w } else { m });
        let ggml = squared_error(&row, f16::from_f32(signed_max / -8.0).to_f32());
        let back = dequantize(WeightType::Q4, 1, 32, &quantize(WeightType::Q4, 1, 32, &row).unwrap()).unwrap();
        let ours: f64 = row.iter().zip(&back).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        prop_assert!(ours <= ggml + 1e-12, "{ours} > {ggml}");
    }
}

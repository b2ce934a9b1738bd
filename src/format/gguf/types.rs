//! ggml's tensor types: those that are read, and the names and sizes of the others, so that an error can name the type.
//!
//! # Source
//! `ggml.h` (numbers) and `ggml-common.h` (blocks).

use crate::quant::Encoding;

/// ggml number, name, values and bytes of a block.
type Row = (u32, &'static str, u32, u32);

/// Types that are not read.
const REFUSED: [Row; 27] = [
    (9, "Q8_1", 32, 40),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    // Q4_0 with its rows interleaved for one processor; ggml itself no longer reads them.
    (31, "Q4_0_4_4", 32, 18),
    (32, "Q4_0_4_8", 32, 18),
    (33, "Q4_0_8_8", 32, 18),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (36, "IQ4_NL_4_4", 32, 18),
    (39, "MXFP4", 32, 17),
    (40, "NVFP4", 64, 36),
    (41, "Q1_0", 128, 18),
];

/// Returns ggml's number of an encoding.
pub(super) fn number(encoding: Encoding) -> u32 {
    match encoding {
        Encoding::F32 => 0,
        Encoding::F16 => 1,
        Encoding::Q4_0 => 2,
        Encoding::Q4_1 => 3,
        Encoding::Q5_0 => 6,
        Encoding::Q5_1 => 7,
        Encoding::Q8_0 => 8,
        Encoding::Q4K => 12,
        Encoding::Q5K => 13,
        Encoding::Q6K => 14,
        Encoding::Bf16 => 30,
    }
}

/// Returns the encoding, or the name of a type that is not read, with the values and bytes of a block where known.
pub(super) fn named(wire: u32) -> (Result<Encoding, String>, Option<(u32, u32)>) {
    if let Some(encoding) = Encoding::ALL.into_iter().find(|e| number(*e) == wire) {
        return (Ok(encoding), Some(encoding.block()));
    }
    match REFUSED.iter().find(|row| row.0 == wire) {
        Some(&(_, name, values, bytes)) => (Err(name.to_string()), Some((values, bytes))),
        None => (Err(format!("of the unknown type {wire}")), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_one_meaning() {
        let mut numbers: Vec<u32> = Encoding::ALL.map(number).into();
        numbers.extend(REFUSED.iter().map(|row| row.0));
        numbers.sort_unstable();
        assert!(numbers.windows(2).all(|w| w[0] < w[1]), "{numbers:?}");
        for encoding in Encoding::ALL {
            assert_eq!(named(number(encoding)), (Ok(encoding), Some(encoding.block())));
        }
        assert_eq!(named(10), (Err("Q2_K".to_string()), Some((256, 84))));
        assert_eq!(named(4).1, None, "Q4_2 was removed in 2023");
    }
}

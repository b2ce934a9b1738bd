//! PIL's bicubic resize of 8-bit RGB, with virtual padding before it and a virtual crop after it.
//!
//! Two passes, columns first, each rounding to 8 bits; coefficients in fixed point with 22 fractional bits.
//! The same integers as PIL's, so the result is equal to it, not merely close. Padding a 16384 × 1 picture to a
//! square, or resizing it to 5505024 × 336 before a crop, would be gigabytes: an [`Axis`] says which outputs
//! are wanted and which inputs are border, and only those outputs are computed, only real inputs are stored.
//!
//! # Source
//! Pillow, `src/libImaging/Resample.c` (`precompute_coeffs`, `normalize_coeffs_8bpc`,
//! `ImagingResampleHorizontal_8bpc`), written anew.

/// Fractional bits of a coefficient: 32 − 8 for the value − 2 for sums beyond 1 (`PRECISION_BITS`).
const FRACTION_BITS: u32 = 32 - 8 - 2;
/// Half the width of the filter at scale 1, pixels.
const SUPPORT: f64 = 2.0;

/// 8-bit RGB, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rgb {
    pub width: u32,
    pub height: u32,
    /// `[height, width, 3]`.
    pub data: Vec<u8>,
}

/// One direction of a resize of `virtual_in` pixels to `virtual_out`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    /// Input pixels, border included.
    pub virtual_in: u32,
    /// Border pixels before the real ones.
    pub before: u32,
    /// Real pixels.
    pub length: u32,
    /// Output pixels, including those that are cropped away.
    pub virtual_out: u32,
    /// First output pixel that is computed.
    pub first: u32,
    /// Number of output pixels that are computed.
    pub count: u32,
}

/// The inputs of one output pixel and their coefficients.
struct Taps {
    /// First real input pixel that counts.
    from: usize,
    /// Coefficients of the real pixels, fixed point.
    real: Vec<i32>,
    /// Sum of the coefficients of border pixels. They all have the same colour, so the sum is all that counts.
    border: i32,
}

impl Axis {
    /// Computes the taps of every output pixel.
    ///
    /// # Source
    /// `precompute_coeffs` and `normalize_coeffs_8bpc`.
    fn taps(&self) -> Vec<Taps> {
        let scale = f64::from(self.virtual_in) / f64::from(self.virtual_out);
        let filter_scale = scale.max(1.0); // antialiasing: the filter widens when shrinking
        let support = SUPPORT * filter_scale;
        let real = self.before as usize..(self.before + self.length) as usize;
        let one = |out: u32| {
            let center = (f64::from(out) + 0.5) * scale;
            let from = (center - support + 0.5).max(0.0) as usize;
            let to = ((center + support + 0.5) as usize).min(self.virtual_in as usize);
            let weights: Vec<f64> =
                (from..to).map(|x| bicubic((x as f64 - center + 0.5) * (1.0 / filter_scale))).collect();
            let sum: f64 = weights.iter().sum();
            let mut taps = Taps { from: from.clamp(real.start, real.end), real: Vec::new(), border: 0 };
            for (x, weight) in (from..to).zip(weights) {
                let normal = weight / sum * f64::from(1u32 << FRACTION_BITS);
                let fixed = (normal + 0.5f64.copysign(normal)) as i32; // PIL: away from zero at the half
                if real.contains(&x) { taps.real.push(fixed) } else { taps.border += fixed }
            }
            taps.from -= real.start;
            taps
        };
        (self.first..self.first + self.count).map(one).collect()
    }
}

/// Keys' cubic with a = −1/2.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// Rounds a fixed-point sum to 8 bits.
fn clip(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}

/// Resizes `image`, whose border has the colour `border`.
///
/// # Shapes
/// `image`: `[rows.length, columns.length, 3]`; returns `[rows.count, columns.count, 3]`.
pub(super) fn resample(image: Rgb, columns: &Axis, rows: &Axis, border: [u8; 3]) -> Vec<u8> {
    debug_assert!(image.width == columns.length && image.height == rows.length);
    let column_taps = columns.taps();
    let row_taps = rows.taps();
    let out_width = columns.count as usize * 3;
    let half = 1 << (FRACTION_BITS - 1);
    // Columns first, and only in rows that some output row reads.
    let used = |taps: &[Taps]| {
        let real = || taps.iter().filter(|t| !t.real.is_empty());
        let from = real().map(|t| t.from).min().unwrap_or(0);
        from..real().map(|t| t.from + t.real.len()).max().unwrap_or(0)
    };
    let used = used(&row_taps);
    let mut narrow = vec![0u8; used.len() * out_width];
    let source_width = image.width as usize * 3;
    for (source, out) in
        image.data[used.start * source_width..].chunks_exact(source_width).zip(narrow.chunks_exact_mut(out_width))
    {
        for (taps, pixel) in column_taps.iter().zip(out.chunks_exact_mut(3)) {
            let mut sums = border.map(|c| half + taps.border * i32::from(c));
            for (&k, p) in taps.real.iter().zip(source[taps.from * 3..].chunks_exact(3)) {
                for (sum, &value) in sums.iter_mut().zip(p) {
                    *sum += k * i32::from(value);
                }
            }
            for (value, sum) in pixel.iter_mut().zip(sums) {
                *value = clip(sum);
            }
        }
    }
    drop(image);
    let mut out = Vec::with_capacity(rows.count as usize * out_width);
    let mut sums = vec![0i32; out_width];
    for taps in &row_taps {
        for (i, sum) in sums.iter_mut().enumerate() {
            // A border row stays its colour in the first pass: its coefficients add up to one.
            *sum = half + taps.border * i32::from(border[i % 3]);
        }
        for (j, &k) in taps.real.iter().enumerate() {
            let row = &narrow[(taps.from + j - used.start) * out_width..][..out_width];
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += k * i32::from(value);
            }
        }
        out.extend(sums.iter().map(|&sum| clip(sum)));
    }
    out
}

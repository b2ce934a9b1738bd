//! PIL's bicubic and Lanczos resizes of 8-bit RGB, with virtual padding before them and a virtual crop after them.
//!
//! Two passes, mostly columns first, each rounding to 8 bits; coefficients in fixed point with 22 fractional bits.
//! The same integers as PIL's, so the result is equal to it, not merely close. Padding a 16384 × 1 picture to a
//! square, or resizing it to 5505024 × 336 before a crop, would be gigabytes: an [`Axis`] says which outputs
//! are wanted and which inputs are border, and only those outputs are computed, only real inputs are stored.
//!
//! # Source
//! Pillow 13, `src/libImaging/Resample.c` (`precompute_coeffs`, `normalize_coeffs_8bpc`,
//! `ImagingResampleHorizontal_8bpc`, `bicubic_filter`, `lanczos_filter`), written anew.

use std::borrow::Cow;

/// Fractional bits of a coefficient: 32 − 8 for the value − 2 for sums beyond 1 (`PRECISION_BITS`).
const FRACTION_BITS: u32 = 32 - 8 - 2;
/// One half of 8 bits' last place, fixed point.
const HALF: i32 = 1 << (FRACTION_BITS - 1);

/// Filter of a resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Keys' cubic with a = −1/2, 4 pixels wide.
    Bicubic,
    /// Lanczos' windowed sinc with a = 3, 6 pixels wide.
    Lanczos,
}

/// 8-bit RGB, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rgb {
    pub width: u32,
    pub height: u32,
    /// `[height, width, 3]`.
    pub data: Vec<u8>,
}

impl Rgb {
    /// Returns width and height, pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }
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

impl Filter {
    /// Returns half the width at scale 1, pixels.
    fn support(self) -> f64 {
        match self {
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// Returns the weight of a pixel at distance `x` from the centre.
    fn weight(self, x: f64) -> f64 {
        match self {
            Self::Bicubic => bicubic(x),
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Lanczos => 0.0,
        }
    }
}

impl Axis {
    /// Makes the axis of a resize without border and crop.
    pub fn whole(length: u32, out: u32) -> Self {
        Self { virtual_in: length, before: 0, length, virtual_out: out, first: 0, count: out }
    }

    /// Returns whether the output is the input.
    fn is_identity(&self) -> bool {
        *self == Self::whole(self.length, self.length)
    }

    /// Computes the taps of every output pixel.
    ///
    /// # Source
    /// `precompute_coeffs` and `normalize_coeffs_8bpc`.
    fn taps(&self, filter: Filter) -> Vec<Taps> {
        let scale = f64::from(self.virtual_in) / f64::from(self.virtual_out);
        let filter_scale = scale.max(1.0); // antialiasing: the filter widens when shrinking
        let support = filter.support() * filter_scale;
        let real = self.before as usize..(self.before + self.length) as usize;
        let one = |out: u32| {
            let center = (f64::from(out) + 0.5) * scale;
            let from = (center - support + 0.5).max(0.0) as usize;
            let to = ((center + support + 0.5) as usize).min(self.virtual_in as usize);
            let weights: Vec<f64> =
                (from..to).map(|x| filter.weight((x as f64 - center + 0.5) * (1.0 / filter_scale))).collect();
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

/// sin(πx) / (πx).
fn sinc(x: f64) -> f64 {
    let angle = x * std::f64::consts::PI;
    if x == 0.0 { 1.0 } else { angle.sin() / angle }
}

/// Rounds a fixed-point sum to 8 bits.
fn clip(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}

/// Returns whether rows are resized before columns: where they shrink by more than twice as many pixels.
///
/// # Source
/// `ImagingResampleInner` of Pillow 13. Before that version columns always came first.
fn rows_first(columns: &Axis, rows: &Axis) -> bool {
    let shrinks = |axis: &Axis| i64::from(axis.virtual_in) - i64::from(axis.virtual_out);
    shrinks(rows) > 0 && shrinks(rows) > 2 * shrinks(columns)
}

/// Resizes `image`, whose border has the colour `border`.
///
/// # Shapes
/// `image`: `[rows.length, columns.length, 3]`; returns `[rows.count, columns.count, 3]`.
pub(super) fn resample(image: &Rgb, columns: &Axis, rows: &Axis, border: [u8; 3], filter: Filter) -> Vec<u8> {
    debug_assert!(image.width == columns.length && image.height == rows.length);
    if rows.is_identity() {
        return across(&image.data, image.width, columns, border, filter).into_owned();
    }
    let taps = rows.taps(filter);
    if rows_first(columns, rows) {
        let low = down(&image.data, 0, &taps, image.width, border);
        return across(&low, image.width, columns, border, filter).into_owned();
    }
    // Only the rows that some output row reads.
    let real = || taps.iter().filter(|t| !t.real.is_empty());
    let from = real().map(|t| t.from).min().unwrap_or(0);
    let to = real().map(|t| t.from + t.real.len()).max().unwrap_or(0);
    let line = 3 * image.width as usize;
    let narrow = across(&image.data[from * line..to * line], image.width, columns, border, filter);
    down(&narrow, from, &taps, columns.count, border)
}

/// Resizes rows of `width` pixels along their columns.
fn across<'a>(rows: &'a [u8], width: u32, columns: &Axis, border: [u8; 3], filter: Filter) -> Cow<'a, [u8]> {
    if columns.is_identity() {
        return Cow::Borrowed(rows);
    }
    let taps = columns.taps(filter);
    let (line, out_line) = (3 * width as usize, 3 * columns.count as usize);
    let mut narrow = vec![0u8; rows.len() / line * out_line];
    for (source, out) in rows.chunks_exact(line).zip(narrow.chunks_exact_mut(out_line)) {
        for (taps, pixel) in taps.iter().zip(out.chunks_exact_mut(3)) {
            let mut sums = border.map(|c| HALF + taps.border * i32::from(c));
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
    Cow::Owned(narrow)
}

/// Resizes rows of `width` pixels, the first of which is row `first` of the picture, along their rows.
fn down(rows: &[u8], first: usize, taps: &[Taps], width: u32, border: [u8; 3]) -> Vec<u8> {
    let line = 3 * width as usize;
    let mut out = Vec::with_capacity(taps.len() * line);
    let mut sums = vec![0i32; line];
    for taps in taps {
        for (i, sum) in sums.iter_mut().enumerate() {
            // A border row stays its colour in the first pass: its coefficients add up to one.
            *sum = HALF + taps.border * i32::from(border[i % 3]);
        }
        for (&k, row) in taps.real.iter().zip(rows[(taps.from - first) * line..].chunks_exact(line)) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += k * i32::from(value);
            }
        }
        out.extend(sums.iter().map(|&sum| clip(sum)));
    }
    out
}

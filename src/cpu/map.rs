//! Kernels over square maps of rows, in f32: depthwise convolution, pooling, channel weights. Loops run over the
//! channels of a row, which the compiler vectorises.

use super::{SCRATCH, Workspace};
use crate::kernels::depthwise::{Shape, TAPS};
use crate::kernels::mean_pool::window;
use crate::pass::{Call, Op, Words};

/// `clamp(x + 3, 0, 6) / 6`
fn hardsigmoid(x: f32) -> f32 {
    (x + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0)
}

/// `out = Σ w · map + bias + map`; see [`DEPTHWISE`](crate::kernels::depthwise::DEPTHWISE).
pub(super) fn depthwise(op: &Op, _: &Call, buffers: &mut [Words], _: &mut Workspace) {
    let [map, w, bias, out] = buffers else { unreachable!("checked by Pass::push") };
    let (shape, [cols, with_bias, residual]) = (Shape::of(op), [0, 4, 5].map(|i| op.params[i] as usize));
    let (map, w, out) = (map.f32(), w.f32(), &mut out.f32_mut()[..shape.positions() * cols]);
    SCRATCH.with_borrow_mut(|filters| {
        // `[9, cols]`: the weights of neighbouring channels beside each other.
        filters.clear();
        filters.extend((0..TAPS * cols).map(|at| w[at % cols * TAPS + at / cols]));
        for (position, out) in out.chunks_exact_mut(cols).enumerate() {
            match with_bias == 1 {
                true => out.copy_from_slice(&bias.f32()[..cols]),
                false => out.fill(0.0),
            }
            for (row, tap) in shape.taps(position) {
                let terms = filters[tap * cols..][..cols].iter().zip(&map[row * cols..][..cols]);
                out.iter_mut().zip(terms).for_each(|(out, (w, x))| *out += w * x);
            }
            if residual == 1 {
                out.iter_mut().zip(&map[position * cols..][..cols]).for_each(|(out, x)| *out += x);
            }
        }
    });
}

/// `out = mean of f(map)`; see [`MEAN_POOL`](crate::kernels::mean_pool::MEAN_POOL).
pub(super) fn mean_pool(op: &Op, _: &Call, buffers: &mut [Words], _: &mut Workspace) {
    let [map, out] = buffers else { unreachable!("checked by Pass::push") };
    let [cols, side, out_side, hardswish] = [0, 1, 2, 3].map(|i| op.params[i] as usize);
    let (map, out) = (map.f32(), &mut out.f32_mut()[..out_side * out_side * cols]);
    for (position, out) in out.chunks_exact_mut(cols).enumerate() {
        let (rows, columns) =
            (window(position / out_side, side, out_side), window(position % out_side, side, out_side));
        out.fill(0.0);
        for row in rows.clone() {
            for column in columns.clone() {
                let terms = out.iter_mut().zip(&map[(row * side + column) * cols..][..cols]);
                match hardswish == 1 {
                    true => terms.for_each(|(out, x)| *out += x * hardsigmoid(*x)),
                    false => terms.for_each(|(out, x)| *out += x),
                }
            }
        }
        let inverse = 1.0 / (rows.len() * columns.len()) as f32;
        out.iter_mut().for_each(|out| *out *= inverse);
    }
}

/// `map = hardswish(map) · hardsigmoid(gate)`.
pub(super) fn excite(op: &Op, _: &Call, buffers: &mut [Words], _: &mut Workspace) {
    let [gate, map] = buffers else { unreachable!("checked by Pass::push") };
    let [cols, rows] = [0, 1].map(|i| op.params[i] as usize);
    let gate = &gate.f32()[..cols];
    for row in map.f32_mut()[..rows * cols].chunks_exact_mut(cols) {
        row.iter_mut().zip(gate).for_each(|(x, gate)| *x = *x * hardsigmoid(*x) * hardsigmoid(*gate));
    }
}

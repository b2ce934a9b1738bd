//! Rotary position embedding, with the append to the cache, in f32.

use super::{SCRATCH, Workspace};
use crate::kernels::cache::put;
use crate::kernels::row_count;
use crate::pass::{Call, Op, Words};

/// What rotating a value takes, in the time of a multiply-add.
const WORK_PER_VALUE: usize = 4;

/// Rotates `q` in place, and appends the rotated `k` and `v` to the cache; see [`ROPE`](crate::kernels::rope::ROPE).
pub(super) fn rope(op: &Op, call: &Call, buffers: &mut [Words], workspace: &mut Workspace) {
    let [q, k, v, table, k_cache, v_cache] = buffers else { unreachable!("checked by Pass::push") };
    let [heads, kv_heads, d] = [1, 2, 3].map(|i| op.params[i] as usize);
    let (t, stored) = (row_count(op.params[0], call) as usize, op.constant("CACHE_F16"));
    let (position, width) = (call.pos as usize, kv_heads * d);
    let table = &table.f32()[position * d..][..t * d];
    workspace.each_row(&mut q.f32_mut()[..t * heads * d], heads * d, WORK_PER_VALUE, &|row, q| {
        q.chunks_exact_mut(d).for_each(|head| rotate(head, &table[row * d..][..d]));
    });
    SCRATCH.with_borrow_mut(|rotated| {
        rotated.clear();
        rotated.extend_from_slice(&k.f32()[..t * width]);
        for (row, angles) in rotated.chunks_exact_mut(width).zip(table.chunks_exact(d)) {
            row.chunks_exact_mut(d).for_each(|head| rotate(head, angles));
        }
        for (cache, values) in [(k_cache, &rotated[..]), (v_cache, &v.f32()[..t * width])] {
            match stored {
                0 => cache.f32_mut()[position * width..][..t * width].copy_from_slice(values),
                _ => values.iter().enumerate().for_each(|(i, x)| put(stored, cache, position * width + i, *x)),
            }
        }
    });
}

/// `(a, b) ← (a cos − b sin, b cos + a sin)` for elements `i` and `i + D/2` of a head.
fn rotate(head: &mut [f32], angles: &[f32]) {
    let (first, second) = head.split_at_mut(head.len() / 2);
    for ((a, b), angle) in first.iter_mut().zip(second).zip(angles.chunks_exact(2)) {
        let (cos, sin) = (angle[0], angle[1]);
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}

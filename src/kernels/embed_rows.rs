//! `out[t] = table[id]` or `image_embeds[row]`: the splice of text and image, as one gather.
//!
//! A word of `ids` is a token id, or [`IMAGE_ROW`] plus a row of the image embeds. The sampler on the device may have
//! written it: a decoding step never waits for the host.

use super::weight::{block_values, stored_tile, weight_type_code};
use super::{Rows, Weight, row_count};
use crate::pass::{Access::*, Buf, Call, Cost, Kernel, Op, Pass, Words};
use crate::tuning::Operands;

/// Offset of the words of `ids` that name a row of the image embeds.
pub const IMAGE_ROW: u32 = 1 << 31;

/// One invocation per four values.
pub static EMBED_ROWS: Kernel = Kernel {
    name: "embed_rows",
    wgsl: concat!(
        include_str!("embed_rows.wgsl"),
        include_str!("shared/call.wgsl"),
        include_str!("shared/weight.wgsl")
    ),
    access: &[Read, Read, Read, Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, call| [(p[1] / 4).div_ceil(64), row_count(p[0], call), 1],
    reference,
    cost: Cost::negligible,
    operands: Operands::F32,
    // A gather and one product; nothing is summed.
    tolerance: 1e-14,
};

fn reference(op: &Op, call: &Call, buffers: &mut [Words]) {
    let [blocks, scales, image_embeds, ids, out] = buffers else { unreachable!("checked by Pass::push") };
    let [h, n, first] = [1, 2, 3].map(|i| op.params[i] as usize);
    let kind = op.constant("WEIGHT_TYPE");
    let tile = stored_tile(kind, blocks, scales, n, h);
    for t in 0..row_count(op.params[0], call) as usize {
        let id = ids.0[t];
        let out = &mut out.f32_mut()[t * h..][..h];
        if id >= IMAGE_ROW {
            let row = (id - IMAGE_ROW) as usize;
            out.copy_from_slice(&image_embeds.f32()[row * h..][..h]);
        } else if (first..first + n).contains(&(id as usize)) {
            for (kb, values) in out.chunks_exact_mut(block_values(kind)).enumerate() {
                tile.load(kb, id as usize - first, values);
            }
        }
    }
}

/// Appends the gather from one tile of the embedding `table`. Rows whose id lies in another tile do not change.
///
/// # Shapes
/// `table` a tile of `[V, H]`, `image_embeds` `[images · P, H]`, `ids` `[T]` words, `out` `[T, H]`.
pub fn embed_rows(pass: &mut Pass, m: Rows, table: Weight, image_embeds: Buf, ids: Buf, out: Buf) {
    assert!(out.words >= u64::from(table.cols) && image_embeds.words >= u64::from(table.cols), "embed_rows");
    let params = [m.param(), table.cols, table.rows, table.first_row, table.plane_rows, 0, 0, 0];
    let buffers = vec![table.blocks, table.scales, image_embeds, ids, out];
    pass.push(Op { kernel: &EMBED_ROWS, consts: vec![("WEIGHT_TYPE", weight_type_code(table.kind))], params, buffers });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::harness::Case;
    use crate::quant::WeightType;

    #[test]
    fn shader_equals_twin() {
        for kind in WeightType::ALL {
            let (v, h) = (37, 96u64.next_multiple_of(u64::from(kind.k_multiple())));
            let mut case = Case::new(format!("embed_rows {kind:?}"));
            let table = case.weight(kind, 0, v, h as u32);
            let image_embeds = case.random(5 * h, 1.0);
            let ids = case.bytes(bytemuck::cast_slice(&[0, 36, IMAGE_ROW, 17, IMAGE_ROW + 4]));
            let out = case.output(5 * h, None);
            embed_rows(&mut case.pass, Rows::Fixed(5), table, image_embeds, ids, out);
            case.check(EMBED_ROWS.tolerance, 1e-6);
        }
    }
}

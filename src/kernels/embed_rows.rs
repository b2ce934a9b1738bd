//! `out[t] = table[id]` or `image_embeds[row]`: the splice of text and image, as one gather.
//!
//! A word of `ids` is a token id, or [`IMAGE_ROW`] plus a row of the image embeds. Ids may have been written by
//! the sampler on the device, so that a decoding step never waits for the host.

use super::weight::{block_values, code, tile};
use super::{Rows, Weight, rows};
use crate::pass::{Access::*, Buf, Call, Kernel, Op, Pass, Words};

/// Added to a row of the image embeds to make it a word of `ids`.
pub const IMAGE_ROW: u32 = 1 << 31;

/// An invocation per 4 values.
pub static EMBED_ROWS: Kernel = Kernel {
    name: "embed_rows",
    wgsl: concat!(
        include_str!("embed_rows.wgsl"),
        include_str!("shared/call.wgsl"),
        include_str!("shared/weight.wgsl")
    ),
    access: &[Read, Read, Read, Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, call| [(p[1] / 4).div_ceil(64), rows(p[0], call), 1],
    reference,
    fast: None,
};

fn reference(op: &Op, call: &Call, buffers: &mut [Words]) {
    let [blocks, scales, image_embeds, ids, out] = buffers else { unreachable!("checked by Pass::push") };
    let [h, n, first] = [1, 2, 3].map(|i| op.params[i] as usize);
    let kind = op.constant("WEIGHT_TYPE");
    let tile = tile(kind, blocks, scales, n, h);
    for t in 0..rows(op.params[0], call) as usize {
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

/// Appends the rows of one tile of the embedding `table`: rows whose id lies in another tile stay as they are.
///
/// # Shapes
/// `table` a tile of `[V, H]`, `image_embeds` `[images · P, H]`, `ids` `[T]` words, `out` `[T, H]`.
pub fn embed_rows(pass: &mut Pass, m: Rows, table: Weight, image_embeds: Buf, ids: Buf, out: Buf) {
    assert!(out.words >= u64::from(table.cols) && image_embeds.words >= u64::from(table.cols), "embed_rows");
    let params = [m.word(), table.cols, table.rows, table.first_row, table.plane_rows, 0, 0, 0];
    let buffers = vec![table.blocks, table.scales, image_embeds, ids, out];
    pass.push(Op { kernel: &EMBED_ROWS, consts: vec![("WEIGHT_TYPE", code(table.kind))], params, buffers });
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
            // A gather and one product: nothing is summed.
            case.check(1e-14, 1e-6);
        }
    }
}

//! `out[0] = class + position[0]`, `out[1 + p] = patch[p] + position[1 + p]`: the tower's input rows.

use crate::pass::{Access::*, Buf, Cost, Kernel, Op, Pass};
use crate::tuning::Operands;

/// One invocation per element.
pub static VISION_EMBED: Kernel = Kernel {
    name: "vision_embed",
    wgsl: concat!(include_str!("vision_embed.wgsl"), include_str!("shared/call.wgsl")),
    access: &[Read, Read, Read, ReadWrite],
    workgroup: [64, 1, 1],
    grid: |p, _| [p[0].div_ceil(64), p[1] + 1, 1],
    cost: Cost::negligible,
    operands: Operands::F32,
    // One f32 addition is exact.
    tolerance: 0.0,
    reference: |op, _, buffers| {
        let [patches, class, position, out] = buffers else { unreachable!("checked by Pass::push") };
        let [cols, count] = [0, 1].map(|i| op.params[i] as usize);
        for at in 0..(count + 1) * cols {
            let value = if at < cols { class.f32()[at] } else { patches.f32()[at - cols] };
            out.f32_mut()[at] = value + position.f32()[at];
        }
    },
};

/// Appends `out [P + 1, C]` from `patches [P, C]`, `class [C]`, `position [P + 1, C]`.
pub fn vision_embed(pass: &mut Pass, patches: Buf, class: Buf, position: Buf, out: Buf, cols: u32, count: u32) {
    let words = u64::from(count + 1) * u64::from(cols);
    assert!(position.words >= words && out.words >= words && class.words >= u64::from(cols), "vision_embed");
    let params = [cols, count, 0, 0, 0, 0, 0, 0];
    pass.push(Op { kernel: &VISION_EMBED, consts: vec![], params, buffers: vec![patches, class, position, out] });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::harness::Case;

    #[test]
    fn shader_equals_twin() {
        let mut case = Case::new("vision_embed".into());
        let (patches, class, position) = (case.random(9 * 70, 1.0), case.random(70, 1.0), case.random(10 * 70, 1.0));
        let out = case.output(10 * 70, None);
        vision_embed(&mut case.pass, patches, class, position, out, 70, 9);
        case.check(VISION_EMBED.tolerance, 0.0);
    }
}

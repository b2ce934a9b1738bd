// a = f(a): quick-GELU x · sigmoid(1.702 x), or exact GELU x · Φ(x) with erf
// Shapes: a [T, cols].   Grid: (cols / 64, T).   Bytes moved: a twice.
// Numerics: erf by Abramowitz and Stegun 7.1.26, absolute error at most 1.5e-7.
// Twin: activation::{quick_gelu, gelu}
const KIND: u32 = 1u; // 0 quick-GELU, 1 GELU

struct Params { cols: u32, rows: u32, p2: u32, p3: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
struct Call { rows: u32, pos: u32, step: u32, seed: u32, temperature: f32, top_p: f32, top_k: u32, head_row: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> call: Call;
@group(0) @binding(2) var<storage, read_write> a: array<f32>;

fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.3275911 * abs(x));
    let poly = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    return sign(x) * (1.0 - poly * exp(-x * x));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.cols) { return; }
    let at = id.y * params.cols + id.x;
    let x = a[at];
    if (KIND == 0u) {
        a[at] = x / (1.0 + exp(-1.702 * x));
    } else {
        a[at] = 0.5 * x * (1.0 + erf(x * 0.70710678118));
    }
}

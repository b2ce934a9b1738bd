// out[t, i] = (x[t, i] − mean) / sqrt(variance + eps) · w[i] + b[i]
// Shapes: x, out [T, cols]; w, b [cols].   Grid: T workgroups, one per row.
// Bytes moved: x three times, out once.   Workgroup memory: 512 bytes, two barriers.
// Twin: layer_norm::reference.   Source: arXiv 1607.06450
struct Params { cols: u32, rows: u32, eps: f32, p3: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
struct Call { rows: u32, pos: u32, step: u32, seed: u32, temperature: f32, top_p: f32, top_k: u32, head_row: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> call: Call;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> w: array<f32>;
@group(0) @binding(4) var<storage, read> b: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

var<workgroup> partial_sum: array<f32, 64>;
var<workgroup> partial_square: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let base = group.x * params.cols;
    var sum = 0.0;
    for (var i = lane; i < params.cols; i += 64u) { sum += x[base + i]; }
    partial_sum[lane] = sum;
    workgroupBarrier();
    // Every lane adds the 64 partial sums itself: one barrier instead of a tree of six.
    var mean = 0.0;
    for (var i = 0u; i < 64u; i++) { mean += partial_sum[i]; }
    mean /= f32(params.cols);
    var square = 0.0;
    for (var i = lane; i < params.cols; i += 64u) { square += (x[base + i] - mean) * (x[base + i] - mean); }
    partial_square[lane] = square;
    workgroupBarrier();
    var variance = 0.0;
    for (var i = 0u; i < 64u; i++) { variance += partial_square[i]; }
    let inverse = 1.0 / sqrt(variance / f32(params.cols) + params.eps);
    for (var i = lane; i < params.cols; i += 64u) { out[base + i] = (x[base + i] - mean) * inverse * w[i] + b[i]; }
}

// out[t, i] = x[t, i] / sqrt(mean_i(x[t]²) + eps) · w[i]
// Shapes: x, out [T, cols]; w [cols].   Grid: T workgroups, one per row.
// Bytes moved: x twice, out once.   Workgroup memory: 256 bytes, one barrier.
// Twin: rms_norm::reference.   Source: arXiv 1910.07467
struct Params { cols: u32, rows: u32, eps: f32, p3: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
struct Call { rows: u32, pos: u32, step: u32, seed: u32, temperature: f32, top_p: f32, top_k: u32, head_row: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> call: Call;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> w: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let base = group.x * params.cols;
    var sum = 0.0;
    for (var i = lane; i < params.cols; i += 64u) { sum += x[base + i] * x[base + i]; }
    partial[lane] = sum;
    workgroupBarrier();
    // Every lane adds the 64 partial sums itself: one barrier instead of a tree of six.
    sum = 0.0;
    for (var i = 0u; i < 64u; i++) { sum += partial[i]; }
    let inverse = 1.0 / sqrt(sum / f32(params.cols) + params.eps);
    for (var i = lane; i < params.cols; i += 64u) { out[base + i] = x[base + i] * inverse * w[i]; }
}

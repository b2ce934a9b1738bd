// out[t, i] = x[t, i] / sqrt(mean_i(x[t]²) + eps) · w[i]
// Shapes: x, out [T, cols]; w [cols].   Grid: T / (64 / LANES); LANES invocations share a row.
// Bytes moved: x twice, out once.   Workgroup memory: with LANES > 1, 256 bytes and one barrier; else none.
// Limits: cols a multiple of 4.
// Twin: rms_norm::reference.   Joined with: call.   Source: arXiv 1910.07467
const LANES: u32 = 64u;

struct Params { cols: u32, rows: u32, eps: f32, p3: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let rows = rows_of(params.rows);
    let t = group.x * (64u / LANES) + lane / LANES;
    let parts = params.cols / 4u;
    // Every lane reaches the barrier: rows past the end repeat the last one and store nothing.
    let base = min(t, rows - 1u) * parts;
    var squares = vec4<f32>(0.0);
    for (var i = lane % LANES; i < parts; i += LANES) { squares += x[base + i] * x[base + i]; }
    var sum = dot(squares, vec4<f32>(1.0));
    if (LANES > 1u) {
        partial[lane] = sum;
        workgroupBarrier();
        // Every lane adds the partial sums itself: one barrier instead of a tree of six.
        sum = 0.0;
        for (var i = 0u; i < LANES; i++) { sum += partial[lane / LANES * LANES + i]; }
    }
    if (t >= rows) { return; }
    let inverse = inverseSqrt(sum / f32(params.cols) + params.eps);
    for (var i = lane % LANES; i < parts; i += LANES) { out[base + i] = x[base + i] * inverse * w[i]; }
}

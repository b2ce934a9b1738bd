// out[t, i] = (x[t, i] − mean) / sqrt(variance + eps) · w[i] + b[i], added to the old value if params.add is 1
// Shapes: x, out [T, cols]; w, b [cols].   Grid: T / (64 / LANES); LANES invocations share a row.
// Bytes moved: x three times, out once or twice.
// Workgroup memory: with LANES > 1, 512 bytes and two barriers; else none.
// Limits: cols a multiple of 4.
// Twin: layer_norm::reference.   Joined with: call.   Source: arXiv 1607.06450
const LANES: u32 = 64u;

struct Params { cols: u32, rows: u32, eps: f32, lanes: u32, add: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;

var<workgroup> partial_sum: array<f32, 64>;
var<workgroup> partial_square: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let rows = rows_of(params.rows);
    let t = group.x * (64u / LANES) + lane / LANES;
    let first = lane / LANES * LANES;
    let parts = params.cols / 4u;
    // Every lane reaches the barriers: rows past the end repeat the last one and store nothing.
    let base = min(t, rows - 1u) * parts;
    var sums = vec4<f32>(0.0);
    for (var i = lane % LANES; i < parts; i += LANES) { sums += x[base + i]; }
    var sum = dot(sums, vec4<f32>(1.0));
    if (LANES > 1u) {
        partial_sum[lane] = sum;
        workgroupBarrier();
        // Every lane adds the partial sums itself: one barrier instead of a tree of six.
        sum = 0.0;
        for (var i = 0u; i < LANES; i++) { sum += partial_sum[first + i]; }
    }
    let mean = sum / f32(params.cols);
    var squares = vec4<f32>(0.0);
    for (var i = lane % LANES; i < parts; i += LANES) { squares += (x[base + i] - mean) * (x[base + i] - mean); }
    var square = dot(squares, vec4<f32>(1.0));
    if (LANES > 1u) {
        partial_square[lane] = square;
        workgroupBarrier();
        square = 0.0;
        for (var i = 0u; i < LANES; i++) { square += partial_square[first + i]; }
    }
    if (t >= rows) { return; }
    let inverse = inverseSqrt(square / f32(params.cols) + params.eps);
    for (var i = lane % LANES; i < parts; i += LANES) {
        var y = (x[base + i] - mean) * inverse * w[i] + b[i];
        if (params.add == 1u) { y += out[base + i]; }
        out[base + i] = y;
    }
}

// scores[r, s] ← e^(scores[r, s] − max_s scores[r, s]), out[r] = 1 / Σ_s of that, for every layer's heads r.
// Shapes: scores [L · heads, STRIDE], of it S columns; out [L · heads].   S = pos + 1.
// Grid: L · heads, one workgroup of LANES per softmax.   Bytes moved: 12 · L · heads · S.   Workgroup memory: 256 bytes.
// Twin: attention_weights::totals.   Joined with: call.
struct Params { softmaxes: u32, p1: u32, p2: u32, p3: u32, stride: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> scores: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

const LANES: u32 = 64u;
const LEAST: f32 = -3.0e38;
var<workgroup> partial: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = group.x * params.stride;
    var most = LEAST;
    for (var s = lane; s <= call.pos; s += LANES) { most = max(most, scores[first + s]); }
    partial[lane] = most;
    workgroupBarrier();
    for (var i = 0u; i < LANES; i++) { most = max(most, partial[i]); }
    workgroupBarrier();
    var sum = 0.0;
    for (var s = lane; s <= call.pos; s += LANES) {
        let power = exp(scores[first + s] - most);
        scores[first + s] = power;
        sum += power;
    }
    partial[lane] = sum;
    workgroupBarrier();
    if (lane == 0u) {
        var total = 0.0;
        for (var i = 0u; i < LANES; i++) { total += partial[i]; }
        out[group.x] = 1.0 / total;
    }
}

// out[h] = Σ_s softmax_s(q[h] · k[s, h'] / √D) v[s, h'],  h' = h / (heads / kv_heads),  s < pos + 1
// Shapes: q, out [heads, D]; k, v [S, kv_heads, D] in f32, or in f16, two in a word.
// Grid: heads workgroups. For 64 keys at a time: an invocation scores one key, then owns up to 4 elements of the output.
// Bytes moved: K and V once per query head.   Workgroup memory: 512 bytes; three barriers per 64 keys.
// Limits: D even, at most 256.   Twin: attention::reference
const HEAD_SIZE: u32 = 64u;
const CACHE_F16: u32 = 1u;

struct Params { rows: u32, heads: u32, kv_heads: u32, causal: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
struct Call { rows: u32, pos: u32, step: u32, seed: u32, temperature: f32, top_p: f32, top_k: u32, head_row: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> call: Call;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> k: array<u32>;
@group(0) @binding(4) var<storage, read> v: array<u32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

// Elements i and i + 1 of all keys; i is even.
fn two_keys(i: u32) -> vec2<f32> {
    if (CACHE_F16 == 1u) { return unpack2x16float(k[i >> 1u]); }
    return vec2<f32>(bitcast<f32>(k[i]), bitcast<f32>(k[i + 1u]));
}

fn one_value(i: u32) -> f32 {
    if (CACHE_F16 == 1u) { return unpack2x16float(v[i >> 1u] >> (16u * (i & 1u))).x; }
    return bitcast<f32>(v[i]);
}

var<workgroup> scores: array<f32, 64>;
var<workgroup> weights: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let seen = call.pos + 1u;
    let kv = group.x / (params.heads / params.kv_heads);
    let own = group.x * HEAD_SIZE;
    let stride = params.kv_heads * HEAD_SIZE;
    var sums = vec4<f32>(0.0); // elements lane, lane + 64, lane + 128, lane + 192
    var most = -3.0e38;
    var total = 0.0;
    for (var start = 0u; start < seen; start += 64u) {
        let s = start + lane;
        var score = -3.0e38;
        if (s < seen) {
            score = 0.0;
            let at = s * stride + kv * HEAD_SIZE;
            for (var i = 0u; i < HEAD_SIZE; i += 2u) {
                score += dot(vec2<f32>(q[own + i], q[own + i + 1u]), two_keys(at + i));
            }
            score *= inverseSqrt(f32(HEAD_SIZE));
        }
        scores[lane] = score;
        workgroupBarrier();
        // Every lane finds the maximum itself: no tree of barriers.
        var now = most;
        for (var i = 0u; i < 64u; i++) { now = max(now, scores[i]); }
        weights[lane] = select(0.0, exp(score - now), s < seen);
        workgroupBarrier();
        let shrink = exp(most - now);
        most = now;
        total *= shrink;
        sums *= shrink;
        let count = min(64u, seen - start);
        for (var i = 0u; i < count; i++) {
            let weight = weights[i];
            total += weight;
            let at = (start + i) * stride + kv * HEAD_SIZE;
            for (var part = 0u; part * 64u < HEAD_SIZE; part++) {
                if (part * 64u + lane < HEAD_SIZE) { sums[part] += weight * one_value(at + part * 64u + lane); }
            }
        }
        workgroupBarrier();
    }
    for (var part = 0u; part * 64u < HEAD_SIZE; part++) {
        if (part * 64u + lane < HEAD_SIZE) { out[own + part * 64u + lane] = sums[part] / total; }
    }
}

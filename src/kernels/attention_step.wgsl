// Attention of one row over the cache, in splits: split i of a head has the keys 4 i to 4 i + 3 of every 4 · SPLITS.
// out, per head and split: Σ_s e^(score − most) v[s], then (most, Σ_s e^(score − most)); input of attention_merge.wgsl
// Shapes: q [heads, D]; k, v [S, kv_heads, D] as in shared/cache.wgsl; out [heads, SPLITS, D + 4].   S = pos + 1.
// Grid: heads · SPLITS / 16, an invocation per split.   Bytes moved: K and V heads / kv_heads times.
// Limits: D a multiple of 4, at most 256.   No workgroup memory, no barrier.
// Twin: attention_step::reference.   Joined with: call, cache, kept_scores or no_scores.   Source: arXiv 2205.14135; "Flash-Decoding", 2023
const HEAD_SIZE: u32 = 64u;
const CACHE_F16: u32 = 1u;
const SPLITS: u32 = 16u;

struct Params { rows: u32, heads: u32, kv_heads: u32, causal: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;

const LEAST: f32 = -3.0e38;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let head = id.x / SPLITS;
    if (head >= params.heads) { return; }
    let seen = call.pos + 1u;
    let own = head * HEAD_PARTS;
    let kv = head / (params.heads / params.kv_heads);
    var sums: array<vec4<f32>, HEAD_PARTS>;
    var most = LEAST;
    var total = 0.0;
    for (var s = 4u * (id.x % SPLITS); s < seen; s += 4u * SPLITS) {
        let key = vec4<u32>(s, s + 1u, s + 2u, s + 3u);
        let at = (min(key, vec4<u32>(seen - 1u)) * params.kv_heads + kv) * HEAD_PARTS;
        var score = vec4<f32>(0.0);
        for (var i = 0u; i < HEAD_PARTS; i++) {
            score += q[own + i] * mat4x4<f32>(keys(at.x + i), keys(at.y + i), keys(at.z + i), keys(at.w + i));
        }
        score = select(vec4<f32>(LEAST), score * inverseSqrt(f32(HEAD_SIZE)), key < vec4<u32>(seen));
        keep_scores(head, key, score);
        let now = max(most, max(max(score.x, score.y), max(score.z, score.w)));
        let shrink = exp(most - now);
        most = now;
        let weight = exp(score - now);
        total = total * shrink + dot(weight, vec4<f32>(1.0));
        for (var i = 0u; i < HEAD_PARTS; i++) {
            let four = mat4x4<f32>(values(at.x + i), values(at.y + i), values(at.z + i), values(at.w + i));
            sums[i] = sums[i] * shrink + four * weight;
        }
    }
    let to = id.x * (HEAD_PARTS + 1u);
    for (var i = 0u; i < HEAD_PARTS; i++) { out[to + i] = sums[i]; }
    out[to + HEAD_PARTS] = vec4<f32>(most, total, 0.0, 0.0);
}

// out[t, h] = Σ_s softmax_s(q[t, h] · k[s, h'] / √D) v[s, h'],  h' = h / (heads / kv_heads)
// Shapes: q, out [T, heads, D]; k, v [S, kv_heads, D] as in shared/cache.wgsl.   S = causal ? pos + t + 1 : T.
// Grid: (T / 64, heads). An invocation owns four rows of a head and keeps the maxima, sums and outputs of their
//   softmax. It reads four keys per step: four vec4 of q and four of k make 16 dot products.
// Bytes moved: K and V T / 64 times from memory, T / 4 times from the caches.   No workgroup memory, no barrier.
// Limits: D a multiple of 4, at most 256.
// Twin: attention::reference.   Joined with: call, cache, kept_scores or no_scores (of the first row).   Source: arXiv 2205.14135 (online softmax: 1805.02867)
const HEAD_SIZE: u32 = 64u;
const CACHE_F16: u32 = 1u;

struct Params { rows: u32, heads: u32, kv_heads: u32, causal: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;

const LEAST: f32 = -3.0e38;

fn largest(a: vec4<f32>) -> f32 { return max(max(a.x, a.y), max(a.z, a.w)); }

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let rows = rows_of(params.rows);
    let t = id.x * 4u;
    if (t >= rows) { return; }
    // Rows past the end repeat the last one.
    let row = min(vec4<u32>(t, t + 1u, t + 2u, t + 3u), vec4<u32>(rows - 1u));
    let seen = select(vec4<u32>(rows), call.pos + row + 1u, params.causal == 1u);
    let own = (row * params.heads + id.y) * HEAD_PARTS;
    let kv = id.y / (params.heads / params.kv_heads);
    var sums: array<mat4x4<f32>, HEAD_PARTS>; // a column per row of q
    var most = vec4<f32>(LEAST);
    var total = vec4<f32>(0.0);
    for (var s = 0u; s < seen.w; s += 4u) {
        let key = vec4<u32>(s, s + 1u, s + 2u, s + 3u);
        let at = (min(key, vec4<u32>(seen.w - 1u)) * params.kv_heads + kv) * HEAD_PARTS;
        var s0 = vec4<f32>(0.0);
        var s1 = vec4<f32>(0.0);
        var s2 = vec4<f32>(0.0);
        var s3 = vec4<f32>(0.0);
        for (var i = 0u; i < HEAD_PARTS; i++) {
            let four = mat4x4<f32>(keys(at.x + i), keys(at.y + i), keys(at.z + i), keys(at.w + i));
            s0 += q[own.x + i] * four;
            s1 += q[own.y + i] * four;
            s2 += q[own.z + i] * four;
            s3 += q[own.w + i] * four;
        }
        let scale = inverseSqrt(f32(HEAD_SIZE));
        s0 = select(vec4<f32>(LEAST), s0 * scale, key < vec4<u32>(seen.x));
        s1 = select(vec4<f32>(LEAST), s1 * scale, key < vec4<u32>(seen.y));
        s2 = select(vec4<f32>(LEAST), s2 * scale, key < vec4<u32>(seen.z));
        s3 = select(vec4<f32>(LEAST), s3 * scale, key < vec4<u32>(seen.w));
        let now = max(most, vec4<f32>(largest(s0), largest(s1), largest(s2), largest(s3)));
        let shrink = exp(most - now);
        most = now;
        keep_scores(id.y, key, s0);
        s0 = exp(s0 - now.x);
        s1 = exp(s1 - now.y);
        s2 = exp(s2 - now.z);
        s3 = exp(s3 - now.w);
        total = total * shrink + vec4<f32>(1.0) * mat4x4<f32>(s0, s1, s2, s3);
        for (var i = 0u; i < HEAD_PARTS; i++) {
            let four = mat4x4<f32>(values(at.x + i), values(at.y + i), values(at.z + i), values(at.w + i));
            let before = sums[i];
            sums[i] = mat4x4<f32>(
                before[0] * shrink.x + four * s0,
                before[1] * shrink.y + four * s1,
                before[2] * shrink.z + four * s2,
                before[3] * shrink.w + four * s3,
            );
        }
    }
    keep_total(id.y, most.x, total.x);
    for (var i = 0u; i < HEAD_PARTS; i++) {
        let mixed = sums[i];
        out[own.x + i] = mixed[0] / total.x;
        if (t + 1u < rows) { out[own.y + i] = mixed[1] / total.y; }
        if (t + 2u < rows) { out[own.z + i] = mixed[2] / total.z; }
        if (t + 3u < rows) { out[own.w + i] = mixed[3] / total.w; }
    }
}

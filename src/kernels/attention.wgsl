// out[t, h] = Σ_s softmax_s(q[t, h] · k[s, h'] / √D) v[s, h'],  h' = h / (heads / kv_heads)
// Shapes: q, out [T, heads, D]; k, v [S, kv_heads, D] in f32, or in f16, two in a word.   S = causal ? pos + t + 1 : T.
// Grid: (T / 64, heads). An invocation owns one (row, head) and keeps maximum, sum and output of its softmax in
//   registers; a workgroup walks the keys together, so that each key and value is read once for 64 rows.
// Bytes moved: K and V T / 64 times.   No workgroup memory, no barrier, no score matrix.
// Twin: attention::reference.   Source: arXiv 2205.14135 (online softmax: 1805.02867)
const HEAD_SIZE: u32 = 64u;
const CACHE_F16: u32 = 1u;

struct Params { rows: u32, heads: u32, kv_heads: u32, causal: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
struct Call { rows: u32, pos: u32, step: u32, seed: u32, temperature: f32, top_p: f32, top_k: u32, head_row: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> call: Call;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> k: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;

const PARTS: u32 = HEAD_SIZE / 4u;

fn four_halves(w: vec4<u32>, part: u32) -> vec4<f32> {
    let pair = select(w.xy, w.zw, (part & 1u) == 1u);
    return vec4<f32>(unpack2x16float(pair.x), unpack2x16float(pair.y));
}

// Elements 4 part .. 4 part + 3 of all keys.
fn keys(part: u32) -> vec4<f32> {
    if (CACHE_F16 == 1u) { return four_halves(k[part >> 1u], part); }
    return bitcast<vec4<f32>>(k[part]);
}

fn values(part: u32) -> vec4<f32> {
    if (CACHE_F16 == 1u) { return four_halves(v[part >> 1u], part); }
    return bitcast<vec4<f32>>(v[part]);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let rows = select(params.rows, call.rows, params.rows == 0u);
    let t = id.x;
    if (t >= rows) { return; }
    let seen = select(rows, call.pos + t + 1u, params.causal == 1u);
    let kv = id.y / (params.heads / params.kv_heads);
    let own = (t * params.heads + id.y) * PARTS;
    var query: array<vec4<f32>, PARTS>;
    var sums: array<vec4<f32>, PARTS>;
    for (var i = 0u; i < PARTS; i++) { query[i] = q[own + i] * inverseSqrt(f32(HEAD_SIZE)); }
    var most = -3.0e38;
    var total = 0.0;
    for (var s = 0u; s < seen; s++) {
        let at = (s * params.kv_heads + kv) * PARTS;
        var score = 0.0;
        for (var i = 0u; i < PARTS; i++) { score += dot(query[i], keys(at + i)); }
        if (score > most) {
            let shrink = exp(most - score);
            most = score;
            total *= shrink;
            for (var i = 0u; i < PARTS; i++) { sums[i] *= shrink; }
        }
        let weight = exp(score - most);
        total += weight;
        for (var i = 0u; i < PARTS; i++) { sums[i] += weight * values(at + i); }
    }
    for (var i = 0u; i < PARTS; i++) { out[own + i] = sums[i] / total; }
}

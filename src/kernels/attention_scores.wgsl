// out[layer, h, s] = q[h] · k[s, h'] / √D, the scores of one row for the keys that it sees.
// Shapes: q [heads, D]; k [S, kv_heads, D] as in shared/cache.wgsl; out [L, heads, STRIDE], of it one layer.   S = pos + 1.
// Grid: ⌈S / 64⌉ × heads, one invocation per score.   Bytes moved: K heads / kv_heads times, 4 · heads · S.
// Limits: D a multiple of 4.   The binding `v` is not read.   No workgroup memory, no barrier.
// Twin: attention_weights::scores.   Joined with: call, cache.   Source: arXiv 1706.03762
const HEAD_SIZE: u32 = 64u;
const CACHE_F16: u32 = 1u;

struct Params { rows: u32, heads: u32, kv_heads: u32, layer: u32, stride: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let head = id.y;
    if (id.x > call.pos) { return; }
    let at = (id.x * params.kv_heads + head / (params.heads / params.kv_heads)) * HEAD_PARTS;
    var products = vec4<f32>(0.0);
    for (var i = 0u; i < HEAD_PARTS; i++) { products += q[head * HEAD_PARTS + i] * keys(at + i); }
    let score = dot(products, vec4<f32>(1.0)) * inverseSqrt(f32(HEAD_SIZE));
    out[(params.layer * params.heads + head) * params.stride + id.x] = score;
}

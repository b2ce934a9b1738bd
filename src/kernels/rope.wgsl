// (a, b) ← (a cos − b sin, b cos + a sin) for elements i, i + D/2 of each head of q and k; k, v → cache row pos + t
// Shapes: q [T, heads, D]; k, v [T, kv_heads, D]; table [positions, D/2] of (cos, sin); caches [S, kv_heads, D].
// Grid: (pairs / 2 / 64, T), pairs = (heads + 2 kv_heads) D/2: those of q, then of k, then of v. An invocation owns two
//   neighbouring pairs, whose f16 elements share words.
// Bytes moved: q twice, k and v twice.   Limits: D a multiple of 4.
// Twin: rope::reference.   Joined with: call, cache_write.   Source: arXiv 2104.09864
const CACHE_F16: u32 = 1u;

struct Params { rows: u32, heads: u32, kv_heads: u32, size: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> q: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> k: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> v: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> k_cache: array<u32>;
@group(0) @binding(7) var<storage, read_write> v_cache: array<u32>;

// Rotates elements a, b of two pairs; turn = (cos, sin, cos, sin).
fn rotate(a: vec2<f32>, b: vec2<f32>, turn: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(a * turn.xz - b * turn.yw, b * turn.xz + a * turn.yw);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let t = id.y;
    let half = params.size / 4u; // of a head, in pairs of elements
    let head = id.x / half; // q heads, then k heads, then v heads
    let i = id.x % half;
    let turn = table[(call.pos + t) * half + i];
    if (head < params.heads) {
        let at = (t * params.heads + head) * 2u * half + i;
        let y = rotate(q[at], q[at + half], turn);
        q[at] = y.xy;
        q[at + half] = y.zw;
    } else if (head < params.heads + params.kv_heads) {
        let h = head - params.heads;
        let at = (t * params.kv_heads + h) * 2u * half + i;
        let to = ((call.pos + t) * params.kv_heads + h) * 2u * half + i;
        let y = rotate(k[at], k[at + half], turn);
        put_key(to, y.xy);
        put_key(to + half, y.zw);
    } else if (head < params.heads + 2u * params.kv_heads) {
        let h = head - params.heads - params.kv_heads;
        let at = (t * params.kv_heads + h) * 2u * half + i;
        let to = ((call.pos + t) * params.kv_heads + h) * 2u * half + i;
        put_value(to, v[at]);
        put_value(to + half, v[at + half]);
    }
}

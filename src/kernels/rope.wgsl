// (a, b) ← (a cos − b sin, b cos + a sin) for elements i, i + D/2 of each head of q and k; then k, v → cache row pos + t
// Shapes: q [T, heads, D]; k, v [T, kv_heads, D]; table [positions, D/2] of (cos, sin); caches [S, kv_heads, D].
// Grid: (pairs / 64, T), pairs = (heads + 2 kv_heads) D/2: first those of q, then of k, then of v.
// Bytes moved: q twice, k and v twice.   Twin: rope::reference.   Source: arXiv 2104.09864
struct Params { rows: u32, heads: u32, kv_heads: u32, size: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
struct Call { rows: u32, pos: u32, step: u32, seed: u32, temperature: f32, top_p: f32, top_k: u32, head_row: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> call: Call;
@group(0) @binding(2) var<storage, read_write> q: array<f32>;
@group(0) @binding(3) var<storage, read> k: array<f32>;
@group(0) @binding(4) var<storage, read> v: array<f32>;
@group(0) @binding(5) var<storage, read> table: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> k_cache: array<f32>;
@group(0) @binding(7) var<storage, read_write> v_cache: array<f32>;

fn rotate(a: f32, b: f32, turn: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(a * turn.x - b * turn.y, b * turn.x + a * turn.y);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let t = id.y;
    let half = params.size / 2u;
    let head = id.x / half; // q heads, then k heads, then v heads
    let i = id.x % half;
    let turn = table[(call.pos + t) * half + i];
    if (head < params.heads) {
        let at = (t * params.heads + head) * params.size + i;
        let y = rotate(q[at], q[at + half], turn);
        q[at] = y.x;
        q[at + half] = y.y;
    } else if (head < params.heads + params.kv_heads) {
        let h = head - params.heads;
        let at = (t * params.kv_heads + h) * params.size + i;
        let to = ((call.pos + t) * params.kv_heads + h) * params.size + i;
        let y = rotate(k[at], k[at + half], turn);
        k_cache[to] = y.x;
        k_cache[to + half] = y.y;
    } else if (head < params.heads + 2u * params.kv_heads) {
        let h = head - params.heads - params.kv_heads;
        let at = (t * params.kv_heads + h) * params.size + i;
        let to = ((call.pos + t) * params.kv_heads + h) * params.size + i;
        v_cache[to] = v[at];
        v_cache[to + half] = v[at + half];
    }
}

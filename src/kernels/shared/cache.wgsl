// Reads keys and values [S, kv_heads, D], stored as f32, or as f16 with two in a word. Twin: kernels/cache.rs's `read`.
// The shader declares HEAD_SIZE and CACHE_F16.
@group(0) @binding(3) var<storage, read> k: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<u32>>;

const HEAD_PARTS: u32 = HEAD_SIZE / 4u; // a part is 4 elements of a head

fn unpack_f16x4(w: vec4<u32>, part: u32) -> vec4<f32> {
    let pair = select(w.xy, w.zw, (part & 1u) == 1u);
    return vec4<f32>(unpack2x16float(pair.x), unpack2x16float(pair.y));
}

// Returns a part of the keys, counted from the first key of the cache.
fn keys(part: u32) -> vec4<f32> {
    if (CACHE_F16 == 1u) { return unpack_f16x4(k[part >> 1u], part); }
    return bitcast<vec4<f32>>(k[part]);
}

fn values(part: u32) -> vec4<f32> {
    if (CACHE_F16 == 1u) { return unpack_f16x4(v[part >> 1u], part); }
    return bitcast<vec4<f32>>(v[part]);
}

// Writes keys and values [S, kv_heads, D], stored as f32, or as f16 with two in a word. Twin: kernels/cache.rs's `put`.
// The shader declares CACHE_F16, and the bindings `k_cache` and `v_cache`: array<u32>.

// Clamps first, because pack2x16float is indeterminate beyond the range of f16.
fn packed(y: vec2<f32>) -> u32 {
    return pack2x16float(clamp(y, vec2<f32>(-65504.0), vec2<f32>(65504.0)));
}

// Stores elements 2 pair and 2 pair + 1 of the keys.
fn put_key(pair: u32, y: vec2<f32>) {
    if (CACHE_F16 == 1u) {
        k_cache[pair] = packed(y);
    } else {
        k_cache[2u * pair] = bitcast<u32>(y.x);
        k_cache[2u * pair + 1u] = bitcast<u32>(y.y);
    }
}

fn put_value(pair: u32, y: vec2<f32>) {
    if (CACHE_F16 == 1u) {
        v_cache[pair] = packed(y);
    } else {
        v_cache[2u * pair] = bitcast<u32>(y.x);
        v_cache[2u * pair + 1u] = bitcast<u32>(y.y);
    }
}

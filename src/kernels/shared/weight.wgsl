// Reads weights of every type: the only shader text that knows how a type is stored. Twin: quant's `Tile::load`.
// blocks: 16-byte blocks [K/B][plane_rows], with B = 4 (f32), 8 (f16), 16 (bytes) or 32 (nibbles) values of a row.
// scales: entries [K/32][plane_rows]; for the k types, entries [K/256][plane_rows] follow (see quant/mod.rs).
// WEIGHT_TYPE: 0 f32, 1 f16, 2 q8, 3 q4, 4 q4_1, 5 q5_1, 6 q4_k, 7 q5_k, 8 q6_k.
// Below, q is a stored integer, a group 32 values of a row, and a part 4.
// The shader declares WEIGHT_TYPE, params.k, params.plane_rows, and the bindings `blocks` and `scales`.
const NIBBLES: bool = WEIGHT_TYPE == 3u || WEIGHT_TYPE == 4u || WEIGHT_TYPE == 6u; // 32 values per block
const SIGNED: bool = WEIGHT_TYPE == 2u || WEIGHT_TYPE == 8u; // bytes from −128 to 127, else from 0 to 255
const OFFSET: bool = WEIGHT_TYPE >= 3u && WEIGHT_TYPE <= 7u; // values are q · scale + offset, else q · scale
const HALF_SCALES: bool = WEIGHT_TYPE == 8u; // a scale for each half of a group, else one
const CENTRE: f32 = select(select(0.0, 16.0, OFFSET), 8.0, NIBBLES); // the middle of the range of q
const BLOCK_PARTS: u32 = (1u << min(WEIGHT_TYPE, 2u)) << u32(NIBBLES);

// Returns scale and offset of 16 values of row n of the planes: one `half` of a group.
fn scale_offset(group: u32, half: u32, n: u32) -> vec2<f32> {
    let at = group * params.plane_rows + n;
    if (WEIGHT_TYPE <= 1u) { return vec2<f32>(1.0, 0.0); }
    if (WEIGHT_TYPE == 4u || WEIGHT_TYPE == 5u) { return unpack2x16float(scales[at]); }
    let word = scales[at >> 1u] >> (16u * (at & 1u));
    if (WEIGHT_TYPE <= 3u) { return unpack2x16float(word).x * vec2<f32>(1.0, -8.0); }
    let d = unpack2x16float(scales[(params.k / 64u + group / 8u) * params.plane_rows + n]);
    if (WEIGHT_TYPE == 8u) { return vec2<f32>(d.x * f32(extractBits(bitcast<i32>(word), 8u * half, 8u)), 0.0); }
    return vec2<f32>(d.x * f32(word & 255u), -d.y * f32((word >> 8u) & 255u));
}

// Converts from i32, because software adapters emulate conversions from u32. GPUs convert a byte of a word in one
// instruction.
fn low_nibbles(w: u32) -> vec4<f32> {
    return vec4<f32>(vec4<i32>((vec4<u32>(w & 0x0f0f0f0fu) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u)));
}

fn bytes(w: u32) -> vec4<f32> {
    if (SIGNED) { return vec4<f32>((vec4<i32>(bitcast<i32>(w)) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u)); }
    return vec4<f32>(vec4<i32>((vec4<u32>(w) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u)));
}

// Returns the four q of a part of block w. A constant `part` costs no selections.
fn quants(w: vec4<u32>, part: u32) -> vec4<f32> {
    if (WEIGHT_TYPE == 0u) { return bitcast<vec4<f32>>(w); }
    if (WEIGHT_TYPE == 1u) { return vec4<f32>(unpack2x16float(w[2u * part]), unpack2x16float(w[2u * part + 1u])); }
    if (NIBBLES) { return low_nibbles(w[part & 3u] >> (4u * (part >> 2u))); }
    return bytes(w[part & 3u]);
}

// Returns the four q of a part of row n of the planes.
fn row_quants(part: u32, n: u32) -> vec4<f32> {
    return quants(blocks[part / BLOCK_PARTS * params.plane_rows + n], part % BLOCK_PARTS);
}

// Returns the q of one half of a group of row n of the planes, as bytes. Not for f32 and f16.
fn half_bytes(group: u32, half: u32, n: u32) -> vec4<u32> {
    if (NIBBLES) { return (blocks[group * params.plane_rows + n] >> vec4<u32>(4u * half)) & vec4<u32>(0x0f0f0f0fu); }
    return blocks[(2u * group + half) * params.plane_rows + n];
}

// Returns four weights from their q, and the scale and offset of their group.
fn dequantized(q: vec4<f32>, a: vec2<f32>) -> vec4<f32> {
    if (WEIGHT_TYPE <= 1u) { return q; }
    if (OFFSET) { return q * a.x + a.y; }
    return q * a.x;
}

// Returns the four weights of a part of row n of the planes.
fn row_weights(part: u32, n: u32) -> vec4<f32> {
    return dequantized(row_quants(part, n), scale_offset(part / 8u, (part / 4u) & 1u, n));
}

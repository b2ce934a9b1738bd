// out[t] = table[ids[t]], or image_embeds[ids[t] − 2³¹] when the top bit is set
// Shapes: table one tile [rows, H] as blocks and scales (see matmul.wgsl); H is params.k; image_embeds [rows, H]; ids [T]; out [T, H].
// Grid: (H / 4 / 64, T): an invocation per 4 values.   Bytes moved: a row per row.
// Twin: embed_rows::reference
const WEIGHT_TYPE: u32 = 3u; // 0 f32, 1 f16, 2 q8, 3 q4, 4 q4_1, 5 q5_1, 6 q4_k, 7 q5_k, 8 q6_k

struct Params { m: u32, k: u32, rows: u32, first: u32, plane_rows: u32, p5: u32, p6: u32, p7: u32 }
struct Call { rows: u32, pos: u32, step: u32, seed: u32, temperature: f32, top_p: f32, top_k: u32, head_row: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> call: Call;
@group(0) @binding(2) var<storage, read> blocks: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> scales: array<u32>;
@group(0) @binding(4) var<storage, read> image_embeds: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> ids: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<vec4<f32>>;

const NIBBLES: bool = WEIGHT_TYPE == 3u || WEIGHT_TYPE == 4u || WEIGHT_TYPE == 6u; // 32 in a block
const SIGNED: bool = WEIGHT_TYPE == 2u || WEIGHT_TYPE == 8u; // bytes −128 … 127, else 0 … 255
const OFFSET: bool = WEIGHT_TYPE >= 3u && WEIGHT_TYPE <= 7u; // values are q · scale + offset, else q · scale
const PARTS: u32 = (1u << min(WEIGHT_TYPE, 2u)) << u32(NIBBLES); // vec4 per block

// Scale and offset of 16 values of row n of the planes, the `half` of their group of 32.
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

// Conversions from i32: software adapters have to emulate those from u32.
fn low_nibbles(w: u32) -> vec4<f32> {
    return vec4<f32>(vec4<i32>((vec4<u32>(w) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(15u)));
}

fn bytes(w: u32) -> vec4<f32> {
    if (SIGNED) { return vec4<f32>((vec4<i32>(bitcast<i32>(w)) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u)); }
    return vec4<f32>(vec4<i32>((vec4<u32>(w) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u)));
}

// Four values of a block, without their scale; a constant `part` saves selections.
fn quants(w: vec4<u32>, part: u32) -> vec4<f32> {
    if (WEIGHT_TYPE == 0u) { return bitcast<vec4<f32>>(w); }
    if (WEIGHT_TYPE == 1u) { return vec4<f32>(unpack2x16float(w[2u * part]), unpack2x16float(w[2u * part + 1u])); }
    if (NIBBLES) { return low_nibbles(w[part & 3u] >> (4u * (part >> 2u))); }
    return bytes(w[part & 3u]);
}

// Values 4i .. 4i + 3 of row n of the tile.
fn table_part(n: u32, i: u32) -> vec4<f32> {
    let q = quants(blocks[(i / PARTS) * params.plane_rows + n], i % PARTS);
    let a = scale_offset(i / 8u, (i / 4u) % 2u, n);
    if (OFFSET) { return q * a.x + a.y; }
    return q * a.x;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let parts = params.k / 4u;
    if (id.x >= parts) { return; }
    let token = ids[id.y];
    let at = id.y * parts + id.x;
    if (token >= 0x80000000u) {
        out[at] = image_embeds[(token - 0x80000000u) * parts + id.x];
    } else if (token >= params.first && token - params.first < params.rows) {
        out[at] = table_part(token - params.first, id.x);
    }
}

// out[t] = table[ids[t]], or image_embeds[ids[t] − 2³¹] when the top bit is set
// Shapes: table one tile [n, H] in blocks [H/B][n] (see matmul.wgsl); image_embeds [rows, H]; ids [T]; out [T, H].
// Grid: (H / 4 / 64, T): an invocation per 4 values.   Bytes moved: a row per row.
// Twin: embed_rows::reference
const WEIGHT_TYPE: u32 = 3u; // 0 f32, 1 f16, 2 q8, 3 q4

struct Params { rows: u32, h: u32, n: u32, first: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
struct Call { rows: u32, pos: u32, step: u32, seed: u32, temperature: f32, top_p: f32, top_k: u32, head_row: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> call: Call;
@group(0) @binding(2) var<storage, read> blocks: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> scales: array<u32>;
@group(0) @binding(4) var<storage, read> image_embeds: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> ids: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<vec4<f32>>;

fn scale(index: u32) -> f32 {
    let pair = unpack2x16float(scales[index >> 1u]);
    return select(pair.x, pair.y, (index & 1u) == 1u);
}

// Values 4i .. 4i + 3 of row n of the tile.
fn table_part(n: u32, i: u32) -> vec4<f32> {
    let parts = 1u << WEIGHT_TYPE; // vec4 per block
    let block = blocks[(i / parts) * params.n + n];
    let part = i % parts;
    if (WEIGHT_TYPE == 0u) { return bitcast<vec4<f32>>(block); }
    if (WEIGHT_TYPE == 1u) { return vec4<f32>(unpack2x16float(block[2u * part]), unpack2x16float(block[2u * part + 1u])); }
    let d = scale((i / 8u) * params.n + n);
    let w = block[part % 4u];
    if (WEIGHT_TYPE == 2u) {
        return d * vec4<f32>((vec4<i32>(bitcast<i32>(w)) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
    }
    let nibbles = vec4<u32>(w >> (4u * (part / 4u))) >> vec4<u32>(0u, 8u, 16u, 24u);
    return d * (vec4<f32>(nibbles & vec4<u32>(15u)) - 8.0);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let parts = params.h / 4u;
    if (id.x >= parts) { return; }
    let token = ids[id.y];
    let at = id.y * parts + id.x;
    if (token >= 0x80000000u) {
        out[at] = image_embeds[(token - 0x80000000u) * parts + id.x];
    } else if (token >= params.first && token - params.first < params.n) {
        out[at] = table_part(token - params.first, id.x);
    }
}

// out[t] = table[ids[t]], or image_embeds[ids[t] − 2³¹] when the top bit is set
// Shapes: table [rows, H], a tile as in shared/weight.wgsl, H = params.k; image_embeds [rows, H]; ids [T]; out [T, H].
// Grid: (H / 4 / 64, T): an invocation per 4 values.   Bytes moved: a row of the table and of out per row.
// Limits: H a multiple of 4. Ids outside the tile leave their row of out as it is.
// Twin: embed_rows::reference.   Joined with: call, weight.
const WEIGHT_TYPE: u32 = 3u; // as in shared/weight.wgsl

struct Params { m: u32, k: u32, rows: u32, first: u32, plane_rows: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> blocks: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> scales: array<u32>;
@group(0) @binding(4) var<storage, read> image_embeds: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> ids: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let parts = params.k / 4u;
    if (id.x >= parts) { return; }
    let token = ids[id.y];
    let at = id.y * parts + id.x;
    if (token >= 0x80000000u) {
        out[at] = image_embeds[(token - 0x80000000u) * parts + id.x];
    } else if (token >= params.first && token - params.first < params.rows) {
        out[at] = row_weights(id.x, token - params.first);
    }
}
